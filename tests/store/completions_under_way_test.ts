// Completions that are judged before they have their answers.

import { assert, assertEquals } from "@std/assert";
import { findCompletion, listCompletions, storeCompletion } from "../../shared/store/completions.ts";
import {
  beginCompletion,
  dropAbandoned,
  dropCompletion,
  endCompletion,
} from "../../shared/store/completions_under_way.ts";
import { deleteEndUser } from "../../shared/store/end_users.ts";
import { exportFeedback } from "../../shared/store/export_feedback.ts";
import { currentWatermark, getLabel, labelHistory, listLabels, putLabel } from "../../shared/store/labels.ts";
import { databaseTest } from "./databases.ts";
import { collect, completion, everything, thumb } from "./records.ts";

databaseTest("a completion under way can be judged, and is listed and exported once it ends", async (database) => {
  const whole = completion("a", { metadata: { trace: "1" } }, ["one", "two"]);
  await beginCompletion(database, whole);
  const first = await putLabel(database, thumb("a", { choice: 1, tags: ["slow"], endUser: "ann" }));
  await putLabel(database, thumb("a", { choice: 1, tags: ["slow", "late"], endUser: "ann", label: false }));
  const early = await currentWatermark(database);
  assertEquals(
    (await findCompletion(database, "a"))!.choices.map(({ content, finishReason }) => [content, finishReason]),
    [
      ["", "in_progress"],
      ["", "in_progress"],
    ],
  );
  assertEquals((await listCompletions(database, { limit: 9 })).items, []);
  assertEquals(await collect(exportFeedback(database)), []);

  assertEquals(await endCompletion(database, "a", whole.choices), true);
  assertEquals(await findCompletion(database, "a"), whole);
  assertEquals((await listCompletions(database, { limit: 9 })).items, [whole]);
  const [row, ...rest] = await collect(exportFeedback(database, { tag: "late" }));
  assertEquals(rest, []);
  assertEquals([row!.completion, row!.label, row!.id], [[{ role: "assistant", content: "two" }], false, first.id]);
  assertEquals(await collect(exportFeedback(database, {}, { watermark: early })), [], "a snapshot stays as it was");
  assertEquals((await labelHistory(database, first.id)).map(({ kind, version, tags }) => [kind, version, tags]), [
    ["set", 1, ["slow"]],
    ["replaced", 2, ["slow", "late"]],
  ]);
  assertEquals((await getLabel(database, first.id))!.version, 2);
  assertEquals((await putLabel(database, thumb("a", { choice: 1, endUser: "ann" }))).version, 3);
});

databaseTest(
  "of a person who is deleted while their answer is under way, nothing is kept at its end",
  async (database) => {
    await storeCompletion(database, completion("other"));
    const before = await everything(database);
    const theirs = completion("a", { endUser: "ann", metadata: { trace: "ann's" } }, ["said to Ann"]);
    await beginCompletion(database, theirs);
    await putLabel(database, thumb("a"));
    await deleteEndUser(database, "ann");
    assertEquals(await endCompletion(database, "a", theirs.choices), false);
    const { completions, choices, completion_metadata, label_events } = JSON.parse(await everything(database));
    const then = JSON.parse(before);
    assertEquals([completions, choices], [then.completions, then.choices]);
    assertEquals([completion_metadata, label_events], [[], []]);
  },
);

databaseTest("what came to nothing, or was abandoned, goes unless somebody has judged it", async (database) => {
  const at = (createdAt: number) => ({ createdAt, metadata: { trace: "1" } });
  for (const id of ["nothing", "judged"]) await beginCompletion(database, completion(id, at(5)));
  await beginCompletion(database, completion("old", at(1)));
  await storeCompletion(database, completion("whole", at(1)));
  const { id } = await putLabel(database, thumb("judged"));
  for (const id of ["nothing", "judged", "whole"]) await dropCompletion(database, id);
  await dropAbandoned(database, 5);
  for (const id of ["nothing", "old"]) assertEquals(await findCompletion(database, id), undefined, id);
  for (const id of ["judged", "whole"]) assert(await findCompletion(database, id), id);
  assertEquals((await listLabels(database, {}, { limit: 9 })).items.map((label) => label.id), [id]);
  assertEquals(await endCompletion(database, "whole", []), false, "it has its answers");
});
