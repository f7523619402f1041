// Rows from elsewhere: all of a stream or nothing of it.

import assert from "node:assert/strict";
import { InputError } from "../../shared/errors.ts";
import type { Database } from "../../shared/store/database.ts";
import { exportFeedback } from "../../shared/store/export_feedback.ts";
import { IdempotencyConflictError } from "../../shared/store/idempotency.ts";
import { type ImportedRow, importFeedback } from "../../shared/store/import_feedback.ts";
import { currentWatermark, listLabels, putLabel } from "../../shared/store/labels.ts";
import { databaseTest } from "./databases.ts";
import { collect, count, everything, storeAll, tablesOf, thumb } from "./records.ts";

async function* stream(rows: Omit<ImportedRow, "index" | "line">[]): AsyncGenerator<ImportedRow> {
  for (const [index, row] of rows.entries()) yield { index, line: index + 1, ...row };
}

databaseTest("imported rows are exported as they came, in their order", async (database) => {
  const rows: Omit<ImportedRow, "index" | "line">[] = [
    { prompt: "a", completion: "b \0", label: true },
    {
      prompt: [{ role: "user", content: "q", name: "Ann" }],
      completion: [{ role: "assistant", content: "r" }],
      label: false,
      endUser: "ann",
      reason: "why",
      tags: ["x", "y"],
      tools: [{ type: "function" }],
      templateArguments: { enable_thinking: false },
    },
    {
      prompt: [{ role: "user", content: "q" }],
      completion: [{ role: "assistant", content: "", tool_calls: [1] }, { role: "tool", content: "2" }],
      label: true,
    },
  ];
  assert.deepEqual(await importFeedback(database, stream(rows)), { rows: 3, desirable: 2, undesirable: 1 });
  const exported = await collect(exportFeedback(database));
  assert.deepEqual(
    exported.map(({ prompt, completion, label, tools, chat_template_kwargs, end_user, reason, tags }) => ({
      prompt,
      completion,
      label,
      ...(tools ? { tools } : {}),
      ...(chat_template_kwargs ? { templateArguments: chat_template_kwargs } : {}),
      ...(end_user ? { endUser: end_user, reason, tags } : {}),
    })),
    rows,
  );
  assert(exported.every(({ model, source, log_prob }) => model === null && source === "import" && log_prob === null));
  assert.equal(await currentWatermark(database), exported[2]!.sequence);
  const { items: [tagged] } = await listLabels(database, { tag: "y", source: "import" }, { limit: 9 });
  assert.equal(tagged?.reason, "why");
  const replaced = await putLabel(database, thumb(tagged.completionId, { endUser: "ann" }));
  assert.deepEqual([replaced.id, replaced.version], [tagged.id, 2]);
});

databaseTest("a stream that breaks leaves nothing, whenever it breaks", async (database) => {
  const before = await everything(database);
  for (const good of [0, 3, 100, 250]) {
    const broken = (async function* () {
      yield* stream(Array.from({ length: good }, (_, i) => ({ prompt: `${i}`, completion: "x", label: true })));
      throw new InputError(`upload:${good + 1}: not JSON`);
    })();
    await assert.rejects(importFeedback(database, broken), new RegExp(`upload:${good + 1}:`));
    assert.equal(await everything(database), before);
  }
});

databaseTest("a slow stream keeps nobody from labelling, and shows nothing before it is whole", async (database) => {
  await storeAll(database, "a");
  let sent = 0;
  const slow = (async function* () {
    for (const row of Array.from({ length: 300 }, () => ({ prompt: "p", completion: "x", label: true }))) {
      if (++sent % 100 === 0) {
        await putLabel(database, thumb("a", { endUser: `${sent}` }));
        assert.equal(await count(database, "labels"), sent / 100);
      }
      yield* stream([row]);
    }
  })();
  assert.deepEqual(await importFeedback(database, slow), { rows: 300, desirable: 300, undesirable: 0 });
  assert.equal(await count(database, "labels"), 303);
  assert.equal(await count(database, "staged_rows"), 0);
});

databaseTest("thousands of rows keep their order, and an import sent again is done once", async (database) => {
  const rows = Array.from({ length: 2345 }, (_, i) => ({ prompt: `${i}`, completion: "x", label: i % 3 === 0 }));
  const request = { scope: "import", key: "k", bodyHash: "h" };
  const send = () => importFeedback(database, stream(rows), request);
  const [first, second] = await Promise.all([send(), send()]);
  assert.deepEqual(first, { rows: 2345, desirable: 782, undesirable: 1563 });
  assert.deepEqual(second, first);
  const exported = await collect(exportFeedback(database));
  assert.deepEqual(exported.map(({ prompt }) => prompt), rows.map(({ prompt }) => prompt));
  assert(exported.every(({ sequence }, i) => i === 0 || sequence > exported[i - 1]!.sequence));
  await assert.rejects(importFeedback(database, stream([]), { ...request, bodyHash: "g" }), IdempotencyConflictError);
  assert.equal(await stagedRows(database), 0);
});

databaseTest("what a killed import has staged is gone after the next one a day later", async (database) => {
  const row = ["import-old", 0, 5, "c", "l", '"p"', "{}", '"c"', "ann", 1, "[]"];
  await database.run(
    `INSERT INTO staged_rows (import_id, position, staged_at, completion_id, label_id, prompt, parameters, content,
       end_user, label, tags) VALUES (${row.map((_, i) => `$${i + 1}`).join()})`,
    row,
  );
  await importFeedback(database, stream([]));
  assert.equal(await stagedRows(database), 0);
  for (const table of await tablesOf(database)) assert.equal(await count(database, table), 0, table);
});

const stagedRows = (database: Database) => count(database, "staged_rows");
