// Rows from elsewhere become completions with a label each, all of them or none. They are staged first, so that no
// other write waits for a slow stream, moved in slices that nobody sees, and published in one small write. Nothing but one
// block of them is in memory. Does not know how rows are read.

import type { FeedbackRow } from "../feedback/row.ts";
import type { StoredCompletion } from "./completions.ts";
import { forgottenMark, forgottenSince, personHash } from "./forgotten.ts";
import { answerOnce, findAnswer, type Idempotency } from "./idempotency.ts";
import { timeOrderedId } from "./ids.ts";
import { endImport, endKilledImports, lockImports } from "./imports.ts";
import { type Caller, withoutKey } from "./keys.ts";
import { joinStaged, type MovedLabels, moveStaged, publishMoved } from "./move_staged.ts";
import type { Database, Value } from "./queries.ts";

/** A row, and who judged it. */
export interface ImportedRow extends FeedbackRow {
  endUser?: string | undefined;
  reason?: string | undefined;
  tags?: readonly string[] | undefined;
  /** Where the row came out of an export: its label and its answer, which keep their ids. */
  origin?: Origin | undefined;
}

/** What an export says of a row beside the judgement. */
export interface Origin {
  labelId: string;
  completionId: string;
  choice: number;
  isCorrection: boolean;
  /** Milliseconds since 1970: of two rows of a label the newer holds. undefined is when it is imported. */
  judgedAt: number | undefined;
  source: StoredCompletion["source"];
  model: string | null;
  base: string | null;
  adapter: string | null;
  adapterVersion: string | null;
  askedBy: string | null;
  logProb: number | null;
  tokens: number;
}

/** What was imported: rows of the file, and what became of them as labels. */
export interface ImportedFeedback extends MovedLabels {
  rows: number;
  desirable: number;
  undesirable: number;
  /** What was to be said of the rows. */
  notes: string[];
}

const rowsPerInsert = 100;
/** Rows staged that long ago, in milliseconds, belong to an import that was killed. */
const longestImport = 24 * 60 * 60 * 1000;

/**
 * Imports rows; resolves once they are durable.
 *
 * @param begun `forgottenMark` as it was when the request began, where that was earlier: nothing is taken in of whom was
 * deleted since
 * @param notes asked once all rows were read: kept with the answer to a request that may be sent again
 * @throws What `rows` throws, InputError for ids that are something else here, and IdempotencyConflictError: then nothing
 * is left of them.
 */
export async function importFeedback(
  database: Database,
  rows: AsyncIterable<ImportedRow>,
  idempotency?: Idempotency,
  caller: Caller = withoutKey,
  notes: () => string[] = () => [],
  begun?: number,
): Promise<ImportedFeedback> {
  const importId = timeOrderedId("import-");
  await deleteLeftovers(database);
  try {
    const { owned, ...read } = await stage(database, importId, rows, begun ?? await forgottenMark(database));
    const lock = await lockImports(database);
    try {
      await endKilledImports(database);
      const earlier = await findAnswer<ImportedFeedback>(database, idempotency);
      if (earlier) return earlier;
      const joined = owned ? await joinStaged(database, importId) : 0;
      const moved = await moveStaged(database, importId, caller);
      return await database.write((queries) =>
        answerOnce(queries, idempotency, async () => {
          const labels = await publishMoved(queries, importId, moved, caller);
          return { ...read, ...labels, unchanged: labels.unchanged + joined, notes: notes() };
        })
      );
    } finally {
      await lock.release();
    }
  } finally {
    await endImport(database, importId);
  }
}

/** Deletes rows whose import was killed before it moved any, in slices. */
async function deleteLeftovers(database: Database): Promise<void> {
  const killed = await database.all<{ id: string }>(
    `SELECT import_id AS id FROM staged_rows WHERE position = 0 AND staged_at < $1
       AND NOT EXISTS (SELECT 1 FROM imports i WHERE i.id = import_id)`,
    [Date.now() - longestImport],
  );
  for (const { id } of killed) await endImport(database, id);
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
  "line",
  "own",
  "choice",
  "is_correction",
  "at",
  "source",
  "model",
  "base",
  "adapter",
  "adapter_version",
  "asked_by",
  "log_prob",
  "tokens",
];

/** @returns rows that were read, and whether any came out of an export */
async function stage(database: Database, importId: string, rows: AsyncIterable<ImportedRow>, mark: number) {
  const begun = Date.now();
  let block: Value[][] = [];
  let position = 0, desirable = 0, owned = false;
  const flush = async () => {
    const rows = block;
    block = [];
    await database.write(async (queries) => {
      // A deletion takes what is staged already; rows that come after it are left where they are.
      const gone = await forgottenSince(queries, mark);
      const people = [stagedColumns.indexOf("end_user"), stagedColumns.indexOf("asked_by")];
      const isGone = (row: Value[]) => people.some((at) => row[at] != null && gone.has(personHash(String(row[at]))));
      const kept = gone.size === 0 ? rows : rows.filter((row) => !isGone(row));
      if (kept.length > 0) await queries.run(insertRows("staged_rows", stagedColumns, kept.length), kept.flat());
    });
  };
  for await (const row of rows) {
    const { content, messages } = contentOf(row.completion), { origin } = row;
    if (row.label) desirable++;
    owned ||= origin !== undefined;
    block.push([
      importId,
      position++,
      Date.now(),
      origin?.completionId ?? timeOrderedId("import-"),
      origin?.labelId ?? timeOrderedId("label-"),
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
      row.line,
      Number(origin !== undefined),
      origin?.choice ?? 0,
      Number(origin?.isCorrection ?? false),
      origin?.judgedAt ?? begun,
      origin?.source ?? "import",
      origin?.model ?? "",
      origin?.base ?? null,
      origin?.adapter ?? null,
      origin?.adapterVersion ?? null,
      // Whose words a row of elsewhere holds is not known; so it is forgotten with who judged it.
      origin ? origin.askedBy : row.endUser ?? null,
      origin?.logProb ?? null,
      origin?.tokens ?? 0,
    ]);
    if (block.length === rowsPerInsert) await flush();
  }
  await flush();
  return { rows: position, desirable, undesirable: position - desirable, owned };
}

/** The text of an answer; where it is more than one plain message, its messages too. */
function contentOf(completion: FeedbackRow["completion"]) {
  if (typeof completion === "string") return { content: completion, messages: null };
  const [only] = completion;
  const plain = completion.length === 1 && only?.role === "assistant" && Object.keys(only).length === 2;
  return { content: completion.map(({ content }) => content).join("\n"), messages: plain ? null : completion };
}

function insertRows(table: string, columns: readonly string[], count: number): string {
  const row = (r: number) => `(${columns.map((_, c) => `$${r * columns.length + c + 1}`).join(", ")})`;
  return `INSERT INTO ${table} (${columns.join(", ")}) VALUES ${
    Array.from({ length: count }, (_, r) => row(r)).join()
  }`;
}
