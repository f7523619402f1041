// Forgetting a person reaches the reports of runs: of those that may have seen the person's words, and of no others.

import assert from "node:assert/strict";
import { renderReport } from "../../services/trainer/report.ts";
import { storeCompletion } from "../../shared/store/completions.ts";
import type { Database } from "../../shared/store/database.ts";
import { deleteEndUser } from "../../shared/store/end_users.ts";
import { addFile, findFile } from "../../shared/store/files.ts";
import { forgetSamples } from "../../shared/store/job_reports.ts";
import { addJob, finishJob } from "../../shared/store/jobs.ts";
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
  "who is forgotten is quoted in no report of a run that saw them, also of one that ends later; other reports stay",
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
      const after = await addRun(database), open = await addRun(database), never = await addRun(database);
      const fromFile = await addJob(database, { ...jobRequest, trainingFile: "file-1" }, null);
      for (const id of [before, after, open, fromFile.id]) write(id);
      for (const id of [before, after, never, fromFile.id]) await finish(database, id);

      assert.equal((await deleteEndUser(database, "ann")).completions, 1);
      // A gateway that dies here finds the marks when it starts again.
      await forgetSamples(database, folder);
      assert.deepEqual([before, after, open, fromFile.id].map(quotes), [true, false, false, true]);
      const left = Deno.readTextFileSync(pathOf(after));
      assert.match(left, /taken out: somebody .* asked to be forgotten/);
      assert.match(left, /a note of the run/);
      assert.match(left, /beta/);
      assert.equal((await findFile(database, `file-${after}`))!.bytes, Deno.statSync(pathOf(after)).size);
      assert.equal((await findFile(database, `file-${before}`))!.bytes, 1);

      // The run that was under way writes what it has seen, and ends.
      write(open);
      await forgetSamples(database, folder);
      assert.equal(quotes(open), false);
      write(open);
      await finish(database, open);
      await forgetSamples(database, folder);
      assert.equal(quotes(open), false);
      write(open);
      await forgetSamples(database, folder);
      assert.equal(quotes(open), true, "nobody who was forgotten is in what comes after its end");
    }),
);
