// Rows from elsewhere become completions with a label each, all of them or none. They are staged first, so that no
// other write waits for a slow stream, and nothing but one block of them is in memory. Does not know how rows are read.

import { setImmediate } from "node:timers/promises";
import type { FeedbackRow } from "../feedback/row.ts";
import { answerOnce, type Idempotency } from "./idempotency.ts";
import { timeOrderedId } from "./ids.ts";
import type { Database, Queries, Value } from "./queries.ts";

/** A row, and who judged it. */
export interface ImportedRow extends FeedbackRow {
  endUser?: string | undefined;
  reason?: string | undefined;
  tags?: readonly string[] | undefined;
}

/** What was imported. */
export interface ImportedFeedback {
  rows: number;
  desirable: number;
  undesirable: number;
}

const rowsPerInsert = 100;
/** Rows that are moved before others in this process get a turn. */
const rowsPerMove = 1000;
/** Rows staged that long ago, in milliseconds, belong to an import that was killed. */
const longestImport = 24 * 60 * 60 * 1000;

/**
 * Imports rows; resolves once they are durable.
 *
 * @throws What `rows` throws, and IdempotencyConflictError: then nothing is left of them.
 */
export async function importFeedback(
  database: Database,
  rows: AsyncIterable<ImportedRow>,
  idempotency?: Idempotency,
): Promise<ImportedFeedback> {
  const importId = timeOrderedId("import-");
  await database.run("DELETE FROM staged_rows WHERE staged_at < $1", [Date.now() - longestImport]);
  try {
    await stage(database, importId, rows);
    return await database.write((queries) => answerOnce(queries, idempotency, () => moveStaged(queries, importId)));
  } finally {
    await database.run("DELETE FROM staged_rows WHERE import_id = $1", [importId]);
  }
}

const stagedColumns = [
  "import_id",
  "position",
  "staged_at",
  "completion_id",
  "label_id",
  "prompt",
  "parameters",
  "content",
  "messages",
  "end_user",
  "label",
  "reason",
  "tags",
];

async function stage(database: Database, importId: string, rows: AsyncIterable<ImportedRow>): Promise<void> {
  let block: Value[][] = [];
  let position = 0;
  const flush = async () => {
    if (block.length > 0) await database.run(insertRows("staged_rows", stagedColumns, block.length), block.flat());
    block = [];
  };
  for await (const row of rows) {
    const { content, messages } = contentOf(row.completion);
    block.push([
      importId,
      position++,
      Date.now(),
      timeOrderedId("import-"),
      timeOrderedId("label-"),
      JSON.stringify(row.prompt),
      JSON.stringify({
        ...(row.tools ? { tools: row.tools } : {}),
        ...(row.templateArguments ? { chat_template_kwargs: row.templateArguments } : {}),
      }),
      JSON.stringify(content),
      messages && JSON.stringify(messages),
      row.endUser ?? "",
      Number(row.label),
      row.reason === undefined ? null : JSON.stringify(row.reason),
      JSON.stringify([...new Set(row.tags)]),
    ]);
    if (block.length === rowsPerInsert) await flush();
  }
  await flush();
}

/** The text of an answer; where it is more than one plain message, its messages too. */
function contentOf(completion: FeedbackRow["completion"]) {
  if (typeof completion === "string") return { content: completion, messages: null };
  const [only] = completion;
  const plain = completion.length === 1 && only?.role === "assistant" && Object.keys(only).length === 2;
  return { content: completion.map(({ content }) => content).join("\n"), messages: plain ? null : completion };
}

async function moveStaged(queries: Queries, importId: string): Promise<ImportedFeedback> {
  const at = Date.now();
  const moved = { rows: 0, desirable: 0, undesirable: 0 };
  const [end] = await queries.all<{ last: number | null }>(
    "SELECT MAX(position) AS last FROM staged_rows WHERE import_id = $1",
    [importId],
  );
  for (let start = 0; start <= (end?.last ?? -1); start += rowsPerMove) {
    const [counts] = await queries.all<{ rows: number; desirable: number }>(
      `SELECT COUNT(*) AS rows, CAST(COALESCE(SUM(s.label), 0) AS BIGINT) AS desirable ${page}`,
      [importId, start, start + rowsPerMove],
    );
    const { rows, desirable } = counts as { rows: number; desirable: number };
    moved.rows += rows;
    moved.desirable += desirable;
    moved.undesirable += rows - desirable;
    await movePage(queries, importId, start, at);
    await setImmediate();
  }
  return moved;
}

const page = "FROM staged_rows s WHERE s.import_id = $1 AND s.position >= $2 AND s.position < $3";

/** Makes completions and labels of the rows from `start` on, which are staged no longer. */
async function movePage(queries: Queries, importId: string, start: number, at: number): Promise<void> {
  const place = [importId, start, start + rowsPerMove];
  await queries.run(
    `INSERT INTO completions (id, created_at, source, model, prompt, parameters, end_user, prompt_tokens)
     SELECT s.completion_id, CAST($4 AS BIGINT), 'import', '', s.prompt, s.parameters, NULLIF(s.end_user, ''), 0 ${page}`,
    [...place, at],
  );
  await queries.run(
    `INSERT INTO choices (completion_id, choice, content, messages, finish_reason, tokens)
     SELECT s.completion_id, 0, s.content, s.messages, 'stop', 0 ${page}`,
    place,
  );
  await queries.run(
    `INSERT INTO label_events (label_id, kind, at, version, completion_id, choice, end_user, label, reason, tags)
     SELECT s.label_id, 'set', CAST($4 AS BIGINT), 1, s.completion_id, 0, s.end_user, s.label, s.reason, s.tags ${page}
     ORDER BY s.position`,
    [...place, at],
  );
  const staged = page.replace("WHERE", "JOIN label_events e ON e.label_id = s.label_id WHERE");
  await queries.run(
    `INSERT INTO labels (id, completion_id, choice, end_user, created_at, sequence)
     SELECT s.label_id, s.completion_id, 0, s.end_user, e.at, e.sequence ${staged}`,
    place,
  );
  const tagged = await queries.all<{ sequence: number; tags: string }>(
    `SELECT e.sequence, s.tags ${staged} AND s.tags <> '[]'`,
    place,
  );
  for (const { sequence, tags } of tagged) {
    for (const tag of JSON.parse(tags) as string[]) {
      await queries.run("INSERT INTO label_tags (tag, sequence) VALUES ($1, $2)", [tag, sequence]);
    }
  }
  await queries.run("DELETE FROM staged_rows WHERE import_id = $1 AND position >= $2 AND position < $3", place);
}

function insertRows(table: string, columns: readonly string[], count: number): string {
  const row = (r: number) => `(${columns.map((_, c) => `$${r * columns.length + c + 1}`).join(", ")})`;
  return `INSERT INTO ${table} (${columns.join(", ")}) VALUES ${
    Array.from({ length: count }, (_, r) => row(r)).join()
  }`;
}
