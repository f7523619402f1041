// Training without being asked: when a job is added, when none is, and that only the gate promotes what nobody looked at.

import { assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { createSchedule } from "../../../services/trainer/service/schedule.ts";
import { startTrainerService } from "../../../services/trainer/service/service.ts";
import { parseTrainerSettings, type TrainerSettings } from "../../../services/trainer/service/settings.ts";
import { InputError } from "../../../shared/errors.ts";
import { readFeedback } from "../../../shared/feedback/read.ts";
import { silent } from "../../../shared/progress.ts";
import { embeddedFeedback, embeddedModelFolder } from "../../../shared/runtime/embedded_model.ts";
import { findModel, identityOf, openModel } from "../../../shared/runtime/open_model.ts";
import { type Database, openDatabase } from "../../../shared/store/database.ts";
import { importFeedback } from "../../../shared/store/import_feedback.ts";
import { addJob, eventsAfter, type Job, listJobs } from "../../../shared/store/jobs.ts";
import { currentWatermark, putLabel } from "../../../shared/store/labels.ts";
import { noteServedBase } from "../../../shared/store/presence.ts";
import { listAliases } from "../../../shared/store/aliases.ts";
import { listPromotions, promote } from "../../../shared/store/promotions.ts";
import { listAdapters, registerAdapter } from "../../../shared/store/registry.ts";
import { withFolder } from "../../commands/run_task.ts";
import { adapterNamed, jobRequest } from "../../gateway/registered.ts";
import { databaseTest } from "../../store/databases.ts";
import { storeAll, thumb } from "../../store/records.ts";
import { pause } from "./service_processes.ts";
import { trainerSettings } from "./trainer_settings.ts";

/**
 * A schedule that looks so many milliseconds later, while the clock on the wall may say something else. It returns the jobs
 * that were added since.
 */
function scripted(database: Database, changes: Partial<TrainerSettings>) {
  const schedule = createSchedule(trainerSettings(changes), database, () => {});
  const wall = Date.now, own = performance.now;
  let passed = 0, ahead = 0;
  return async (milliseconds: number, onTheWall = milliseconds): Promise<Job[]> => {
    const before = new Set((await listJobs(database, 1000)).map(({ id }) => id));
    passed += milliseconds;
    ahead += onTheWall;
    Date.now = () => wall() + ahead;
    performance.now = () => own.call(performance) + passed;
    try {
      await schedule.look();
    } finally {
      Date.now = wall;
      performance.now = own;
    }
    return (await listJobs(database, 1000)).filter(({ id }) => !before.has(id));
  };
}

async function press(database: Database, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await putLabel(database, thumb("a", { endUser: crypto.randomUUID() }));
}

databaseTest(
  "every N new labels make one job over all labels so far, and not another until N more came",
  async (database) => {
    await storeAll(database, "a");
    const look = scripted(database, { every: 5, promote: true });
    assertEquals(await look(0), []);
    await press(database, 4);
    assertEquals(await look(5000), []);
    await press(database, 1);
    assertEquals(await look(100), [], "it has looked just now");
    const [job, ...more] = await look(5000);
    assertEquals(more, []);
    assertEquals([job?.request.trainingFile, job?.request.promote, job?.request.model], ["labels", true, "base"]);
    assertStrictEquals(job?.watermark, await currentWatermark(database));
    for (let i = 0; i < 3; i++) assertEquals(await look(60_000), [], "the same labels again");
    await press(database, 4);
    assertEquals(await look(5000), []);
    await press(database, 1);
    assertEquals((await look(5000)).length, 1);
    // A person's job takes the new labels as well.
    await press(database, 4);
    await addJob(database, jobRequest, await currentWatermark(database));
    await addJob(database, { ...jobRequest, trainingFile: "file-1" }, null);
    await press(database, 4);
    assertEquals(await look(5000), []);
    // One who begins anew knows what the one before had done.
    assertEquals(await scripted(database, { every: 5 })(5000), []);
  },
);

databaseTest(
  "a cron expression makes a job at its times and only if a label is new; neither asked for, none is made",
  async (database) => {
    await storeAll(database, "a");
    const rarely = { cron: "0 0 29 2 *" }, years = 9 * 365 * 24 * 60 * 60 * 1000;
    const look = scripted(database, rarely);
    assertEquals(await look(years), [], "there are no labels");
    const late = scripted(database, rarely), never = scripted(database, {});
    await press(database, 1);
    assertEquals(await never(years), []);
    // Unless it is 3 o'clock within this second.
    if (new Date(Date.now() + 1000).getHours() === new Date().getHours()) assertEquals(await late(0), []);
    const [job, ...more] = await late(years);
    assertEquals(more, []);
    assertEquals([job?.request.metadata, job?.request.promote], [{ asked_by: "cron" }, false]);
    assertEquals(await late(years), [], "the same labels again");
  },
);

databaseTest("a clock that is set back by years holds up no schedule", async (database) => {
  await storeAll(database, "a");
  const years = 9 * 365 * 24 * 60 * 60 * 1000;
  const look = scripted(database, { every: 1 }), nightly = scripted(database, { cron: "0 3 * * *" });
  assertEquals([await look(0), await nightly(0)], [[], []]);
  assertEquals([await look(5000, years), await nightly(5000, years)], [[], []], "there are no labels");
  await press(database, 1);
  assertEquals((await look(5000, -2 * years)).length, 1);
  await press(database, 1);
  assertEquals(await nightly(5000, -2 * years), [], "3 o'clock is yet to come");
  assertEquals((await nightly(5000, 24 * 60 * 60 * 1000)).length, 1);
});

Deno.test("a cron expression that is none, and promotion without a time to train, are refused by their flag", () => {
  const options = { dataDir: "data", dtype: "auto", device: "auto" as const };
  assertMatch(
    assertThrows(() => parseTrainerSettings({ ...options, trainCron: "soon" }), InputError).message,
    /^--train-cron "soon": .*0 3 \* \* \*/,
  );
  assertThrows(
    () => parseTrainerSettings({ ...options, autoPromote: true }),
    Error,
    "--auto-promote: say when to train",
  );
});

Deno.test("the gate's bounds of behaviour are off unless they are given", () => {
  const options = { dataDir: "data", dtype: "auto", device: "auto" as const };
  const off = parseTrainerSettings(options).behaviourBounds;
  assertEquals(off, { length: undefined, refusal: undefined, agreement: undefined });
  const on = parseTrainerSettings({ ...options, gateLength: 1.5, gateRefusal: 0.1, gateAgreement: 0 }).behaviourBounds;
  assertEquals(on, { length: 1.5, refusal: 0.1, agreement: 0 });
});

const foreignBase = "another@ffff";

/** What a gateway with the trainer's own `--model` says that it serves. */
const sameBase = async () => await identityOf(openModel(await findModel(embeddedModelFolder, "auto", silent), "auto"));

/** Imports labels, lets a service train without being asked until its job is over, and looks at what is promoted. */
async function unattended(
  folder: string,
  served: string,
  flip: (index: number) => boolean,
  look: (database: Database, job: Job, said: string) => Promise<void>,
): Promise<void> {
  const database = await openDatabase(`${folder}/prospect.sqlite`);
  // What answers now was trained for another base than the trainer's: no job may fail for that.
  await registerAdapter(database, adapterNamed("foreign", { base: foreignBase }));
  await noteServedBase(database, foreignBase);
  const said = { version: null, reason: null, override: false, by: null };
  await database.write((queries) => promote(queries, "prospect", "base:foreign", said));
  await noteServedBase(database, served);
  const { rows } = await readFeedback(embeddedFeedback);
  async function* imported() {
    for (const row of rows.slice(0, 400)) yield { ...row, label: flip(row.index) ? !row.label : row.label };
  }
  await importFeedback(database, imported());
  const service = await startTrainerService(
    trainerSettings({ dataFolder: folder, every: 100, promote: true }),
    () => {},
  );
  try {
    let job: Job | undefined;
    while (!job || job.finishedAt === null) {
      await Promise.race([pause(100), service.ended]);
      [job] = await listJobs(database, 1);
    }
    assertEquals(job.status, "succeeded", JSON.stringify(job.error));
    const events = await eventsAfter(database, job.id, 0, 1000);
    await look(database, job, events.map(({ message }) => message).join("\n"));
    assertEquals((await listJobs(database, 10)).length, 1);
  } finally {
    await service.stop();
    await database.close();
  }
}

/** Runs with a cache of its own. */
function serviceTest(sentence: string, use: (folder: string) => Promise<void>): void {
  Deno.test(sentence, () =>
    withFolder(async (folder) => {
      const before = Deno.env.get("PROSPECT_CACHE");
      Deno.env.set("PROSPECT_CACHE", `${folder}/cache`);
      try {
        await use(folder);
      } finally {
        if (before === undefined) Deno.env.delete("PROSPECT_CACHE");
        else Deno.env.set("PROSPECT_CACHE", before);
      }
    }));
}

serviceTest(
  "labels whose newest half is flipped are trained on unasked, and the gate keeps the result from being promoted",
  async (folder) =>
    unattended(folder, await sameBase(), (index) => index >= 200, async (database, _, said) => {
      const [adapter] = await listAdapters(database);
      assertEquals(adapter?.gate?.passed, false);
      assertMatch(said, /Gate: Held-out AUC .*chance/);
      assertEquals((await listAliases(database)).get("prospect")?.arms, [{ model: "base:foreign", weight: 1 }]);
      assertEquals((await listPromotions(database, "prospect")).length, 1);
    }),
);

serviceTest(
  "sound labels are trained on unasked and promoted through the gate, also where what answered before cannot be measured",
  async (folder) =>
    unattended(folder, await sameBase(), () => false, async (database, job, said) => {
      const [adapter] = await listAdapters(database);
      assertEquals(adapter?.gate?.passed, true, JSON.stringify(adapter?.gate));
      assertMatch(said, /base:foreign is not in the registry for this base/);
      const model = `base:${job.outcome!.adapter}`;
      assertEquals((await listAliases(database)).get("prospect")?.arms, [{ model, weight: 1 }]);
      const last = (await listPromotions(database, "prospect")).at(-1)!;
      assertEquals([last.from, last.to, last.override, last.by], ["base:foreign", model, false, null]);
    }),
);

serviceTest(
  "a trainer with another model than the gateway's trains to the end and promotes nothing, and the job says why",
  (folder) =>
    unattended(folder, foreignBase, () => false, async (database, job, said) => {
      const [adapter] = await listAdapters(database);
      assertEquals([adapter?.jobId, adapter?.gate?.passed], [job.id, true], JSON.stringify(adapter?.gate));
      assertMatch(said, /Not promoted: base:\S+ is for the base model \S+@\w+; the gateway serves another@ffff\./);
      assertMatch(said, /The job succeeded\.$/);
      assertEquals((await listAliases(database)).get("prospect")?.arms, [{ model: "base:foreign", weight: 1 }]);
      assertEquals((await listPromotions(database, "prospect")).length, 1);
    }),
);
