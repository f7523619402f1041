// The queue of jobs: its order, who takes what, what a cancelled or returned job is, and events that a job gone on with
// tells again.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import {
  addEvent,
  addJob,
  cancelJob,
  eventsAfter,
  eventsBefore,
  findJob,
  finishJob,
  type JobRequest,
  listJobs,
  noteData,
  noteProgress,
  openJobs,
  returnJob,
  takeJob,
} from "../../shared/store/jobs.ts";
import { openDatabase } from "../../shared/store/database.ts";
import { databaseTest } from "./databases.ts";
import { count } from "./records.ts";

const request: JobRequest = {
  trainingFile: "labels",
  model: "base",
  seed: 3,
  suffix: null,
  hyperparameters: { beta: 0.2, n_epochs: "auto" },
  labels: { tag: "tone" },
  metadata: { who: "ann" },
  promote: false,
};

databaseTest(
  "jobs are listed and taken in the order in which they were added, whatever their ids' clocks said",
  async (database) => {
    const first = await addJob(database, request, 1);
    // As if it had been made before the clock was set back by years.
    const early = "ftjob-" + "f".repeat(36);
    await database.run("DELETE FROM job_events");
    await database.run("UPDATE jobs SET id = $1 WHERE id = $2", [early, first.id]);
    const { id: second } = await addJob(database, request, 2), { id: third } = await addJob(database, request, 3);
    const ids = async (jobs: Promise<{ id: string }[]>) => (await jobs).map(({ id }) => id);
    assertEquals(await ids(openJobs(database)), [early, second, third]);
    assertEquals(await ids(listJobs(database, 2)), [third, second]);
    assertEquals(await ids(listJobs(database, 2, second)), [early]);
    assertStrictEquals((await takeJob(database))?.id, early);
  },
);

databaseTest("jobs are taken in the order in which they were added, each once while it goes well", async (database) => {
  const added = [];
  for (let i = 0; i < 3; i++) added.push(await addJob(database, { ...request, seed: i }, 7 + i));
  assertEquals(added[1], {
    ...added[1]!,
    status: "queued",
    request: { ...request, seed: 1 },
    watermark: 8,
    startedAt: null,
    finishedAt: null,
    cancelling: false,
    attempts: 0,
    progress: null,
    data: null,
    outcome: null,
    error: null,
  });
  for (const { id } of added) {
    const taken = await takeJob(database);
    assertEquals([taken?.id, taken?.status, taken?.attempts], [id, "running", 1]);
    assertEquals((await openJobs(database))[0]!.id, id, "the running one stands first");
    const outcome = { adapter: "a", trainedTokens: 9, files: ["file-1"] };
    await database.write((queries) => finishJob(queries, id, "succeeded", { outcome }));
    assertEquals((await findJob(database, id))?.outcome, outcome);
  }
  assertEquals(await takeJob(database), undefined);
  assertEquals((await listJobs(database, 2)).map(({ id }) => id), [added[2]!.id, added[1]!.id]);
  assertEquals((await listJobs(database, 2, added[1]!.id)).map(({ id }) => id), [added[0]!.id]);
});

databaseTest(
  "a job whose trainer died is taken again before all others, and counts the attempts that got nowhere",
  async (database) => {
    const first = await addJob(database, request, null), second = await addJob(database, request, null);
    const began = (await takeJob(database))!.startedAt;
    const again = await takeJob(database);
    assertEquals([again?.id, again?.attempts, again?.startedAt], [first.id, 2, began]);
    await noteProgress(database, first.id, undefined, true);
    assertEquals((await takeJob(database))?.attempts, 2, "it got further, so it counts anew");
    const progress = { label: "training", done: 1, total: 9, unit: "steps", rate: null, etaSeconds: null };
    await noteProgress(database, first.id, progress, false);
    assertEquals((await findJob(database, first.id))?.progress, progress);
    await noteProgress(database, first.id, undefined, false);
    assertEquals((await findJob(database, first.id))?.progress, progress);
    await returnJob(database, first.id);
    const returned = await findJob(database, first.id);
    assertEquals([returned?.status, returned?.attempts, returned?.progress], ["queued", 1, null]);
    assertEquals((await openJobs(database)).map(({ id }) => id), [first.id, second.id], "back to the front");
  },
);

databaseTest("two takers at once never get two jobs: there is one at a time", async (database) => {
  const { id } = await addJob(database, request, null);
  await addJob(database, request, null);
  const taken = await Promise.all([takeJob(database), takeJob(database), takeJob(database)]);
  assertEquals(taken.map((job) => job?.id), [id, id, id]);
});

databaseTest(
  "a queued job is cancelled at once and never taken, a running one is only marked, one that is over stays",
  async (database) => {
    const first = await addJob(database, request, null), second = await addJob(database, request, null);
    await takeJob(database);
    const running = await cancelJob(database, first.id);
    assertEquals([running?.status, running?.cancelling, running?.finishedAt], ["running", true, null]);
    const queued = await cancelJob(database, second.id);
    assertEquals(queued?.status, "cancelled");
    assert(queued!.finishedAt! >= queued!.createdAt);
    const error = { code: "worker_failure", message: "It died." };
    await database.write((queries) => finishJob(queries, first.id, "failed", { error }));
    const over = await cancelJob(database, first.id);
    assertEquals([over?.status, over?.error], ["failed", error]);
    assertEquals(await takeJob(database), undefined);
    assertEquals(await cancelJob(database, "ftjob-none"), undefined);
    await returnJob(database, first.id);
    assertEquals((await findJob(database, first.id))?.status, "failed", "what is over cannot be returned");
    const last = (await eventsBefore(database, first.id, Number.MAX_SAFE_INTEGER, 1))[0];
    assertEquals([last?.level, last?.message], ["error", "It died."]);
  },
);

databaseTest(
  "metrics of a step are told once however often it is taken, messages as often as they are said",
  async (database) => {
    const { id } = await addJob(database, request, null), other = await addJob(database, request, null);
    const step = (step: number, loss: number) => ({
      level: "info" as const,
      type: "metrics" as const,
      step,
      message: `Step ${step}`,
      data: { step, loss },
    });
    const said = { level: "warn" as const, type: "message" as const, message: "said" };
    assertEquals(await addEvent(database, id, step(1, 0.5)), true);
    assertEquals(await addEvent(database, id, step(2, 0.4)), true);
    assertEquals(await addEvent(database, id, step(1, 99)), false);
    assertEquals(await addEvent(database, other.id, step(1, 0.3)), true, "another job's step is another");
    for (let i = 0; i < 2; i++) assertEquals(await addEvent(database, id, said), true);
    const all = await eventsAfter(database, id, 0, 100);
    assertEquals(all.map(({ message }) => message), [
      "The job waits for its turn.",
      "Step 1",
      "Step 2",
      "said",
      "said",
    ]);
    assertEquals(all[1]!.data, { step: 1, loss: 0.5 });
    assertEquals(await eventsAfter(database, id, all[1]!.sequence, 2), all.slice(2, 4));
    assertEquals(await eventsBefore(database, id, all[3]!.sequence, 2), [all[2], all[1]]);
  },
);

databaseTest(
  "what a job leaves is there exactly if it succeeded, and what was noted outlives the process",
  async (database, place) => {
    const { id } = await addJob(database, request, null);
    await takeJob(database);
    const before = await count(database, "job_events");
    await assertRejects(
      () =>
        database.write(async (queries) => {
          await finishJob(queries, id, "succeeded", {});
          throw new Error("the disk is full");
        }),
      Error,
      "disk is full",
    );
    assertEquals((await findJob(database, id))?.status, "running");
    assertStrictEquals(await count(database, "job_events"), before);
    await noteData(database, id, { rows: 4 });
    const again = await openDatabase(place.where);
    try {
      assertEquals((await findJob(again, id))?.data, { rows: 4 });
    } finally {
      await again.close();
    }
  },
);
