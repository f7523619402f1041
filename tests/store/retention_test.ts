// What a store lets go in time, and what it keeps however old it is.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import type { Database } from "../../shared/store/database.ts";
import { exportFeedback } from "../../shared/store/export_feedback.ts";
import { addEvent, addJob, finishJob } from "../../shared/store/jobs.ts";
import { currentWatermark, deleteLabel, getLabel, labelHistory, putLabel } from "../../shared/store/labels.ts";
import { compactEvents, deleteUnjudged, finishedTraces, longestHistory } from "../../shared/store/retention.ts";
import { jobRequest } from "../gateway/registered.ts";
import { databaseTest } from "./databases.ts";
import { collect, completion, count, storeAll, thumb } from "./records.ts";
import { storeCompletion } from "../../shared/store/completions.ts";

/** As if all that was said of answers was said long ago. */
const age = (database: Database) => database.run("UPDATE label_events SET at = at - 86400000");

databaseTest("answers that nobody judged go when their time is over, and no others", async (database) => {
  for (let i = 0; i < 600; i++) await storeCompletion(database, completion(`old ${i}`, { createdAt: 5 }));
  await storeCompletion(database, completion("new", { createdAt: 100, metadata: { a: "b" } }));
  await putLabel(database, thumb("old 7"));
  const label = await putLabel(database, thumb("old 8"));
  await deleteLabel(database, label.id);
  while (await deleteUnjudged(database, 50) > 0);
  const left = await database.all<{ id: string }>("SELECT id FROM completions ORDER BY id");
  assertEquals(left.map(({ id }) => id), ["new", "old 7", "old 8"]);
  assertEquals(await count(database, "choices"), 3);
  while (await deleteUnjudged(database, 101) > 0);
  assertEquals(await count(database, "completions"), 2);
  assertStrictEquals(await count(database, "completion_metadata"), 0);
});

databaseTest("a label that is replaced without end keeps a bounded history, and what it is", async (database) => {
  await storeAll(database, "a", "b");
  const other = await putLabel(database, thumb("b", { reason: "once" }));
  const set = async (times: number) => {
    for (let i = 0; i < times; i++) await putLabel(database, thumb("a", { reason: `reason ${i}`, tags: ["t"] }));
    return await putLabel(database, thumb("a", { reason: "last" }));
  };
  const label = await set(40);
  while (await compactEvents(database) > 0);
  assertEquals((await labelHistory(database, label.id)).length, 41, "an export that is under way may need it");
  await age(database);
  while (await compactEvents(database) > 0);
  const history = await labelHistory(database, label.id);
  assertEquals(history.map(({ version }) => version), Array.from({ length: longestHistory }, (_, i) => 32 + i));
  assertStrictEquals(await count(database, "label_tags"), longestHistory - 1);
  assertEquals((await getLabel(database, label.id))?.reason, "last");
  assertEquals((await labelHistory(database, other.id)).length, 1);
});

databaseTest(
  "a snapshot that a job under way names gives the same rows after compaction, until it is over",
  async (database) => {
    await storeAll(database, "a");
    await putLabel(database, thumb("a", { reason: "in the snapshot" }));
    const watermark = await currentWatermark(database);
    const rows = () => collect(exportFeedback(database, {}, { watermark }));
    const before = await rows();
    const job = await addJob(database, jobRequest, watermark);
    for (let i = 0; i < 30; i++) await putLabel(database, thumb("a", { reason: `later ${i}` }));
    await age(database);
    const events = await count(database, "label_events");
    while (await compactEvents(database) > 0);
    assert(await count(database, "label_events") < events);
    const [row] = await rows();
    assertEquals({ ...row, created_at: before[0]!.created_at }, before[0]);
    await database.write((queries) => finishJob(queries, job.id, "failed", {}));
    while (await compactEvents(database) > 0);
    assertStrictEquals(await count(database, "label_events"), longestHistory);
  },
);

databaseTest(
  "traces of a job that left nothing are told once they are old, those of others are not",
  async (database) => {
    const failed = await addJob(database, jobRequest, null), going = await addJob(database, jobRequest, null);
    await database.write((queries) => finishJob(queries, failed.id, "failed", {}));
    await database.write((queries) => addEvent(queries, going.id, { level: "info", type: "message", message: "on" }));
    assertEquals(await finishedTraces(database, Date.now() - 1000), []);
    assertEquals(await finishedTraces(database, Date.now() + 1000), [failed.id]);
  },
);
