// Rows from elsewhere: all of a stream or nothing of it.

import { assert, assertEquals, assertExists, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { InputError } from "../../shared/errors.ts";
import { storeCompletion } from "../../shared/store/completions.ts";
import type { Database } from "../../shared/store/database.ts";
import { deleteEndUser } from "../../shared/store/end_users.ts";
import { type ExportedRow, exportFeedback } from "../../shared/store/export_feedback.ts";
import { IdempotencyConflictError } from "../../shared/store/idempotency.ts";
import { type ImportedRow, importFeedback } from "../../shared/store/import_feedback.ts";
import { currentWatermark, deleteLabel, getLabel, listLabels, putLabel } from "../../shared/store/labels.ts";
import { databaseTest } from "./databases.ts";
import { collect, completion, count, everything, storeAll, tablesOf, thumb } from "./records.ts";

async function* stream(rows: Omit<ImportedRow, "index" | "line">[]): AsyncGenerator<ImportedRow> {
  for (const [index, row] of rows.entries()) yield { index, line: index + 1, ...row };
}

const nothing = { rows: 0, desirable: 0, undesirable: 0, added: 0, replaced: 0, unchanged: 0, different: 0, notes: [] };

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
  assertEquals(await importFeedback(database, stream(rows)), {
    ...nothing,
    rows: 3,
    desirable: 2,
    undesirable: 1,
    added: 3,
  });
  const exported = await collect(exportFeedback(database));
  assertEquals<unknown>(
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
  assertEquals(
    await collect(exportFeedback(database, {}, { watermark: await currentWatermark(database) })),
    exported,
  );
  const { items: [tagged] } = await listLabels(database, { tag: "y", source: "import" }, { limit: 9 });
  assertExists(tagged);
  assertEquals(tagged.reason, "why");
  const replaced = await putLabel(database, thumb(tagged.completionId, { endUser: "ann" }));
  assertEquals([replaced.id, replaced.version], [tagged.id, 2]);
});

databaseTest("a stream that breaks leaves nothing, whenever it breaks", async (database) => {
  const before = await everything(database);
  for (const good of [0, 3, 100, 250]) {
    const broken = (async function* () {
      yield* stream(Array.from({ length: good }, (_, i) => ({ prompt: `${i}`, completion: "x", label: true })));
      throw new InputError(`upload:${good + 1}: not JSON`);
    })();
    await assertRejects(() => importFeedback(database, broken), InputError, `upload:${good + 1}:`);
    assertStrictEquals(await everything(database), before);
  }
});

databaseTest("a slow stream keeps nobody from labelling, and shows nothing before it is whole", async (database) => {
  await storeAll(database, "a");
  let sent = 0;
  const slow = (async function* () {
    for (const row of Array.from({ length: 300 }, () => ({ prompt: "p", completion: "x", label: true }))) {
      if (++sent % 100 === 0) {
        await putLabel(database, thumb("a", { endUser: `${sent}` }));
        assertStrictEquals(await count(database, "labels"), sent / 100);
      }
      yield* stream([row]);
    }
  })();
  assertEquals(await importFeedback(database, slow), { ...nothing, rows: 300, desirable: 300, added: 300 });
  assertEquals(await count(database, "labels"), 303);
  assertStrictEquals(await count(database, "staged_rows"), 0);
});

databaseTest("thousands of rows keep their order, and an import sent again is done once", async (database) => {
  const rows = Array.from({ length: 2345 }, (_, i) => ({ prompt: `${i}`, completion: "x", label: i % 3 === 0 }));
  const request = { scope: "import", key: "k", bodyHash: "h" };
  const send = () => importFeedback(database, stream(rows), request);
  const [first, second] = await Promise.all([send(), send()]);
  assertEquals(first, { ...nothing, rows: 2345, desirable: 782, undesirable: 1563, added: 2345 });
  assertEquals(second, first);
  const exported = await collect(exportFeedback(database));
  assertEquals(exported.map(({ prompt }) => prompt), rows.map(({ prompt }) => prompt));
  assert(exported.every(({ sequence }, i) => i === 0 || sequence > exported[i - 1]!.sequence));
  await assertRejects(
    () => importFeedback(database, stream([]), { ...request, bodyHash: "g" }),
    IdempotencyConflictError,
  );
  assertStrictEquals(await stagedRows(database), 0);
});

databaseTest("what a killed import has staged is gone after the next one a day later", async (database) => {
  const row = ["import-old", 0, 5, "c", "l", '"p"', "{}", '"c"', "ann", 1, "[]"];
  await database.run(
    `INSERT INTO staged_rows (import_id, position, staged_at, completion_id, label_id, prompt, parameters, content,
       end_user, label, tags) VALUES (${row.map((_, i) => `$${i + 1}`).join()})`,
    row,
  );
  await importFeedback(database, stream([]));
  assertStrictEquals(await stagedRows(database), 0);
  for (const table of await tablesOf(database)) assertStrictEquals(await count(database, table), 0, table);
});

const stagedRows = (database: Database) => count(database, "staged_rows");

/** What an import is given of exported rows. */
const again = (rows: ExportedRow[]) =>
  stream(rows.map((row): Omit<ImportedRow, "index" | "line"> => ({
    prompt: row.prompt,
    completion: row.completion,
    label: row.label,
    endUser: row.end_user,
    reason: row.reason ?? undefined,
    tags: row.tags,
    origin: {
      labelId: row.id,
      completionId: row.completion_id,
      choice: row.choice,
      isCorrection: row.is_correction,
      judgedAt: row.created_at,
      source: row.source as "chat",
      model: row.model,
      base: row.base,
      adapter: row.adapter,
      adapterVersion: row.adapter_version,
      askedBy: row.asked_by,
      logProb: row.log_prob,
      tokens: row.completion_tokens,
    },
  })));

const withoutNumbers = (rows: ExportedRow[]) => rows.map(({ sequence: _, ...row }) => row);

/** A store's labels of every kind: on several choices, by several people, corrected, replaced. */
async function judge(database: Database): Promise<ExportedRow[]> {
  await storeCompletion(
    database,
    completion("a", { endUser: "zoe", adapter: "new", adapterVersion: "v1" }, ["one", "two"]),
  );
  await storeCompletion(database, completion("b", { source: "text", prompt: "once", alias: "prospect" }));
  await putLabel(database, thumb("a", { endUser: "ann", reason: "nice \0", tags: ["tone", "fact"] }));
  await putLabel(database, thumb("a", { choice: 1, label: false, correction: "better" }));
  await putLabel(database, thumb("b", { endUser: "bob" }));
  await putLabel(database, thumb("b", { endUser: "bob", label: false, correction: "best" }));
  return await collect(exportFeedback(database));
}

databaseTest("an export taken in again changes nothing, in whatever order its rows are", async (database) => {
  const rows = await judge(database), before = await everything(database);
  for (const file of [rows, rows.toReversed(), [...rows, ...rows]]) {
    const taken = await importFeedback(database, again(file));
    assertEquals([taken.rows, taken.added, taken.replaced, taken.unchanged], [file.length, 0, 0, 3]);
    assertStrictEquals(taken.different, 0);
    assertStrictEquals(await everything(database), before);
  }
  // Corrections alone, as an export of desirable rows has them.
  const desirable = rows.filter(({ label }) => label);
  assertEquals(desirable.filter(({ is_correction }) => is_correction).length, 2);
  assertEquals((await importFeedback(database, again(desirable))).unchanged, 3);
  assertStrictEquals(await everything(database), before);
});

databaseTest(
  "an export taken in by an empty store is exported as the same rows, and once however often",
  async (database) => {
    const rows = await judge(database);
    for (const table of ["label_tags", "labels", "label_events", "choices", "completions"]) {
      await database.run(`DELETE FROM ${table}`);
    }
    // Shuffled: a correction may come before what it corrects.
    const taken = await importFeedback(database, again(rows.toReversed()));
    assertEquals([taken.rows, taken.added], [5, 3]);
    assertEquals(withoutNumbers(await collect(exportFeedback(database))), withoutNumbers(rows));
    assertEquals((await importFeedback(database, again(rows))).unchanged, 3);
    assertEquals(withoutNumbers(await collect(exportFeedback(database))), withoutNumbers(rows));
    // Whose question it was came along, so that it goes with them.
    assertEquals((await deleteEndUser(database, "zoe")).completions, 1);
  },
);

databaseTest("of a label's two states the newer holds, whether it is the file's or the store's", async (database) => {
  const rows = await judge(database);
  const changed = rows.map((row) =>
    row.end_user === "ann"
      ? { ...row, label: false, reason: "no", tags: ["late"], created_at: row.created_at + 1 }
      : row
  );
  const taken = await importFeedback(database, again(changed));
  assertEquals([taken.added, taken.replaced, taken.unchanged, taken.different], [0, 1, 2, 0]);
  const [hers] = (await listLabels(database, { endUser: "ann" }, { limit: 1 })).items;
  assertEquals([hers!.label, hers!.reason, hers!.tags, hers!.version], [false, "no", ["late"], 2]);
  const older = await importFeedback(database, again(rows));
  assertEquals([older.replaced, older.unchanged, older.different], [0, 3, 1]);
  assertEquals((await getLabel(database, hers!.id))?.label, false);
  await deleteLabel(database, hers!.id);
  assertEquals([(await importFeedback(database, again(changed))).different, await count(database, "labels")], [
    1,
    2,
  ]);
  const restored = await importFeedback(
    database,
    again(changed.map((row) => ({ ...row, created_at: Date.now() + 60_000 }))),
  );
  assertEquals([restored.added, restored.unchanged], [1, 2]);
  assertEquals((await getLabel(database, hers!.id))?.version, 3);
});

databaseTest(
  "ids that are something else here are refused by their line, and nothing is taken in",
  async (database) => {
    const rows = await judge(database), [first] = rows as [ExportedRow];
    const before = await everything(database);
    const wrong: [Partial<ExportedRow>, RegExp][] = [
      [{ end_user: "eve" }, /body:5: the id label-\S+ is here for another answer or another person/],
      [{ choice: 1 }, /body:5: the id/],
      [{ completion_id: "b" }, /body:5: the id/],
      [
        { id: "label-new", end_user: "eve", prompt: [{ role: "user", content: "another" }] },
        /body:5: the completion_id a is/,
      ],
      [
        { id: "label-new", end_user: "eve", completion: [{ role: "assistant", content: "else" }] },
        /body:5: the completion_id/,
      ],
    ];
    for (const [change, message] of wrong) {
      assertMatch(
        (await assertRejects(
          () => importFeedback(database, again([...rows.slice(1), { ...first, ...change }])),
          InputError,
        )).message,
        message,
      );
      assertStrictEquals(await everything(database), before);
    }
    const fresh = { ...first, id: "label-new", completion_id: "c" };
    const twice = again([fresh, { ...fresh, completion_id: "d" }]);
    await assertRejects(
      () => importFeedback(database, twice),
      Error,
      "body:2: the id label-new is on another answer in an earlier line",
    );
    assertStrictEquals(await everything(database), before);
  },
);
