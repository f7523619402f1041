// Labels as training rows, from snapshots that stay what they were.

import { assertEquals } from "@std/assert";
import { withFolder } from "../commands/run_task.ts";
import { readFeedback } from "../../shared/feedback/read.ts";
import { storeCompletion } from "../../shared/store/completions.ts";
import { deleteEndUser } from "../../shared/store/end_users.ts";
import { exportFeedback } from "../../shared/store/export_feedback.ts";
import { currentWatermark, deleteLabel, putLabel } from "../../shared/store/labels.ts";
import { databaseTest } from "./databases.ts";
import { collect, completion, storeAll, thumb } from "./records.ts";

databaseTest("a row holds the exact prompt, the answer and where they come from", async (database) => {
  const arm = {
    adapter: "curt",
    adapterVersion: "v2",
    alias: "prospect",
    parameters: { tools: [{ type: "function" }] },
  };
  await storeCompletion(database, completion("chat", arm, ["one", "two"]));
  await storeCompletion(database, completion("text", { source: "text", prompt: "Once", model: "tiny" }, [" upon"]));
  const label = await putLabel(
    database,
    thumb("chat", { choice: 1, endUser: "ann", label: false, reason: "curt", tags: ["tone"] }),
  );
  await putLabel(database, thumb("text"));
  const [chat, text] = await collect(exportFeedback(database));
  assertEquals(Object.keys(chat!).slice(0, 3), ["prompt", "completion", "label"]);
  assertEquals(chat, {
    prompt: completion("chat").prompt,
    completion: [{ role: "assistant", content: "two" }],
    label: false,
    tools: [{ type: "function" }],
    id: label.id,
    completion_id: "chat",
    choice: 1,
    end_user: "ann",
    reason: "curt",
    tags: ["tone"],
    is_correction: false,
    model: "prospect",
    base: "tiny",
    adapter: "curt",
    adapter_version: "v2",
    source: "chat",
    log_prob: -1.25,
    completion_tokens: 3,
    asked_by: null,
    created_at: label.updatedAt,
    sequence: label.sequence,
  });
  assertEquals([text!.prompt, text!.completion, text!.label], ["Once", " upon", true]);
});

databaseTest("a correction makes two rows, and each counts under its own label", async (database) => {
  await storeAll(database, "a", "b");
  await putLabel(database, thumb("a", { label: false, correction: "better" }));
  await putLabel(database, thumb("b"));
  const rows = async (label?: boolean) =>
    (await collect(exportFeedback(database, { label }))).map((row) =>
      `${row.label} ${row.is_correction} ${row.log_prob} ${(row.completion[0] as { content: string }).content}`
    );
  const [not, better, b] = ["false false -1.25 answer of a", "true true null better", "true false -1.25 answer of b"];
  assertEquals(await rows(), [not, better, b]);
  assertEquals(await rows(true), [better, b]);
  assertEquals(await rows(false), [not]);
});

databaseTest("an export that labels arrive in is what stood when it began, oldest first", async (database) => {
  await storeAll(database, "a");
  await Promise.all(
    Array.from({ length: 1234 }, (_, i) => putLabel(database, thumb("a", { endUser: `${i}`, label: i % 2 === 0 }))),
  );
  const first = (await collect(exportFeedback(database, { endUser: "3" })))[0]!;
  const rows = [];
  for await (const row of exportFeedback(database)) {
    if (rows.length % 400 === 0) {
      await putLabel(database, thumb("a", { endUser: `new ${rows.length}` }));
      // One that was not reached yet, and one that was.
      await putLabel(database, thumb("a", { endUser: `${rows.length + 30}`, label: rows.length % 2 !== 0 }));
      await deleteLabel(database, first.id);
    }
    rows.push(row);
  }
  assertEquals(
    rows.map((row) => [row.end_user, row.label]),
    Array.from({ length: 1234 }, (_, i) => [
      `${i}`,
      i % 2 === 0,
    ]),
  );
});

databaseTest("a watermark gives the same rows again whatever is said later, but for the deleted", async (database) => {
  await storeAll(database, "a", "b");
  const one = await putLabel(database, thumb("a", { endUser: "ann", tags: ["x"] }));
  const two = await putLabel(database, thumb("a", { endUser: "bob", label: false }));
  const three = await putLabel(database, thumb("b", { endUser: "eve" }));
  await deleteLabel(database, three.id);
  const watermark = await currentWatermark(database);
  const snapshot = () => collect(exportFeedback(database, {}, { watermark }));
  const rows = await snapshot();
  assertEquals(rows.map(({ id }) => id), [one.id, two.id]);
  await putLabel(database, thumb("a", { endUser: "ann", label: false, correction: "other" }));
  await putLabel(database, thumb("b", { endUser: "eve" }));
  await deleteLabel(database, two.id);
  assertEquals(await snapshot(), rows);
  assertEquals(await collect(exportFeedback(database, { tag: "x", label: true }, { watermark })), rows.slice(0, 1));
  assertEquals((await collect(exportFeedback(database))).map((row) => [row.end_user, row.label]), [
    ["ann", false],
    ["ann", true],
    ["eve", true],
  ]);
  await deleteEndUser(database, "ann");
  assertEquals(await snapshot(), rows.slice(1));
});

databaseTest("what is exported is read by the trainer as the rows it was made of", async (database) => {
  await storeAll(database, "a");
  await storeCompletion(database, completion("text", { source: "text", prompt: "Once" }, [" upon\u2028"]));
  await putLabel(database, thumb("a", { label: false, correction: "better" }));
  await putLabel(database, thumb("text"));
  await withFolder(async (folder) => {
    const rows = await collect(exportFeedback(database));
    await Deno.writeTextFile(`${folder}/feedback.jsonl`, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const { prompt } = completion("a");
    const said = (content: string) => [{ role: "assistant", content }];
    const read = (await readFeedback(`${folder}/feedback.jsonl`)).rows.map(({ remarks: _, ...row }) => row);
    assertEquals(read, [
      { index: 0, line: 1, prompt, completion: said("answer of a"), label: false },
      { index: 1, line: 2, prompt, completion: said("better"), label: true },
      { index: 2, line: 3, prompt: "Once", completion: " upon\u2028", label: true },
    ]);
  });
});
