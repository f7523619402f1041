// Forgetting a person reaches the runs of jobs: of those that may have seen the person's words, and of no others.

import { assertEquals, assertMatch } from "@std/assert";
import { existsSync } from "node:fs";
import { renderReport } from "../../services/trainer/report.ts";
import { storeCompletion } from "../../shared/store/completions.ts";
import type { Database } from "../../shared/store/database.ts";
import { deleteEndUser } from "../../shared/store/end_users.ts";
import { addFile, findFile } from "../../shared/store/files.ts";
import { forgetInRuns } from "../../shared/store/forget_in_runs.ts";
import { addEvent, addJob, eventsAfter, findJob, finishJob } from "../../shared/store/jobs.ts";
import { currentWatermark, putLabel } from "../../shared/store/labels.ts";
import { withFolder } from "../commands/run_task.ts";
import { jobRequest } from "../gateway/registered.ts";
import { databaseTest } from "./databases.ts";
import { completion, storeAll, thumb } from "./records.ts";

const words = "ann's words </section> & more";

const report = renderReport({
  title: "A run",
  settings: { beta: 0.1 },
  metrics: [],
  evaluations: [],
  samples: [{ prompt: words, before: "before ann's words", after: "after ann's words" }],
  result: {},
  notes: ["a note of the run"],
});

/** A job over the labels until now, and a file of its report, in the store alone. */
async function addRun(database: Database): Promise<string> {
  const { id } = await addJob(database, jobRequest, await currentWatermark(database));
  const path = `runs/${id}/report.html`;
  const file = { id: `file-${id}`, createdAt: 1, filename: "r.html", purpose: "fine-tune-results", bytes: 1 } as const;
  await database.write((queries) => addFile(queries, { ...file, path }));
  return id;
}

const finish = (database: Database, id: string) => database.write((queries) => finishJob(queries, id, "succeeded", {}));

databaseTest(
  "who is forgotten is quoted in no report of a run that saw them, also of one that ended later; other reports stay",
  (database) =>
    withFolder(async (folder) => {
      const pathOf = (id: string) => `${folder}/runs/${id}/report.html`;
      const write = (id: string) => {
        Deno.mkdirSync(`${folder}/runs/${id}`, { recursive: true });
        Deno.writeTextFileSync(pathOf(id), report);
      };
      const quotes = (id: string) => /ann/.test(Deno.readTextFileSync(pathOf(id)));
      await storeAll(database, "a");
      await putLabel(database, thumb("a"));
      const before = await addRun(database);
      await storeCompletion(database, completion("hers", { endUser: "ann", prompt: words }));
      await putLabel(database, thumb("hers"));
      const after = await addRun(database), late = await addRun(database), never = await addRun(database);
      const fromFile = await addJob(database, { ...jobRequest, trainingFile: "file-1" }, null);
      for (const id of [before, after, late, fromFile.id]) write(id);
      for (const id of [before, after, never, fromFile.id]) await finish(database, id);

      assertEquals((await deleteEndUser(database, "ann")).completions, 1);
      // A gateway that dies here finds the marks when it starts again.
      await forgetInRuns(database, folder);
      assertEquals([before, after, fromFile.id].map(quotes), [true, false, true]);
      const left = Deno.readTextFileSync(pathOf(after));
      assertMatch(left, /taken out: somebody .* asked to be forgotten/);
      assertMatch(left, /a note of the run/);
      assertMatch(left, /beta/);
      assertEquals((await findFile(database, `file-${after}`))!.bytes, Deno.statSync(pathOf(after)).size);
      assertEquals((await findFile(database, `file-${before}`))!.bytes, 1);

      await deleteEndUser(database, "ann");
      write(after);
      await forgetInRuns(database, folder);
      assertEquals(quotes(after), true, "nobody who was forgotten is in what comes later");
    }),
);

databaseTest(
  "an open job over rows of who is forgotten begins anew, unless a trainer is at it, which does so itself; one without goes on",
  (database) =>
    withFolder(async (folder) => {
      await storeAll(database, "a");
      await storeCompletion(database, completion("hers", { endUser: "ann", prompt: words }));
      const his = (await putLabel(database, thumb("a"))).sequence,
        hers = (await putLabel(database, thumb("hers"))).sequence;
      const begin = async (sequences: number[]) => {
        const { id } = await addJob(database, jobRequest, await currentWatermark(database)),
          run = `${folder}/runs/${id}`;
        Deno.mkdirSync(`${run}/checkpoint`, { recursive: true });
        const rows = sequences.map((sequence) => ({ sequence, prompt: sequence === hers ? words : "his" }));
        Deno.writeTextFileSync(`${run}/data.jsonl`, rows.map((row) => JSON.stringify(row) + "\n").join(""));
        await database.write((queries) =>
          addEvent(queries, id, { level: "info", type: "metrics", step: 1, message: "Step 1" })
        );
        return id;
      };
      const both = await begin([his, hers, hers]), without = await begin([his]);
      const { id: waiting } = await addJob(database, jobRequest, await currentWatermark(database));
      const ended = await begin([his, hers]);
      Deno.writeTextFileSync(`${folder}/runs/${ended}/.held_out.jsonl.1.tmp`, words);
      await finish(database, ended);
      const events = async (id: string) => (await eventsAfter(database, id, 0, 10)).map(({ message }) => message);
      const forgetting = async (id: string) => (await findJob(database, id))!.forgetting;
      const has = (id: string, name: string) => existsSync(`${folder}/runs/${id}/${name}`);

      const trainer = (await database.lock("trainer"))!;
      await deleteEndUser(database, "ann");
      await forgetInRuns(database, folder);
      assertEquals(await Promise.all([both, without, waiting, ended].map(forgetting)), [true, true, true, false]);
      assertEquals([has(both, "data.jsonl"), has(ended, "data.jsonl"), has(ended, ".held_out.jsonl.1.tmp")], [
        true,
        false,
        false,
      ]);
      await trainer.release();
      await forgetInRuns(database, folder);
      assertEquals(await Promise.all([both, without, waiting].map(forgetting)), [false, false, false]);
      assertEquals([has(both, ""), has(without, "data.jsonl"), has(without, "checkpoint")], [false, true, true]);
      const [, told, ...more] = await events(both);
      assertMatch(told!, /asked to be forgotten: the job begins anew/);
      assertEquals(more, []);
      assertEquals((await events(without)).slice(1), ["Step 1"]);
      assertEquals((await events(waiting)).length, 1);
    }),
);
