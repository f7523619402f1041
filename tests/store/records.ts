// Completions and questions that the store's tests share.

import type { Database } from "../../shared/store/database.ts";
import { storeCompletion, type StoredCompletion } from "../../shared/store/completions.ts";
import type { ImportedRow } from "../../shared/store/import_feedback.ts";
import type { Judgement } from "../../shared/store/labels.ts";

/** A chat completion with one answer, or with the answers given. */
export function completion(
  id: string,
  changes: Partial<StoredCompletion> = {},
  answers: string[] = [`answer of ${id}`],
): StoredCompletion {
  return {
    id,
    createdAt: 1_764_000_000_000,
    source: "chat",
    model: "prospect",
    base: "tiny",
    adapter: null,
    adapterVersion: null,
    alias: null,
    prompt: [{ role: "system", content: "Be brief." }, { role: "user", content: `question of ${id}` }],
    parameters: { temperature: 0.5 },
    endUser: null,
    metadata: null,
    safetyIdentifier: null,
    writer: null,
    promptTokens: 7,
    choices: answers.map((content, index) => ({ index, content, finishReason: "stop", tokens: 3, logProb: -1.25 })),
    ...changes,
  };
}

/** Stores completions of these ids. */
export async function storeAll(database: Database, ...ids: string[]): Promise<void> {
  for (const id of ids) await storeCompletion(database, completion(id));
}

/** A thumb up on the first answer by nobody in particular, with what is given instead. */
export function thumb(completionId: string, changes: Partial<Judgement> = {}): Judgement {
  return { completionId, choice: 0, endUser: "", label: true, ...changes };
}

/** Rows of a table. */
export async function count(database: Database, table: string): Promise<number> {
  const [row] = await database.all<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`);
  return row!.n;
}

/** Every table but that of the versions. */
export async function tablesOf(database: Database): Promise<string[]> {
  const rows = await database.all<{ name: string }>(
    database.kind === "sqlite"
      ? "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
      : "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'",
  );
  return rows.map(({ name }) => name).filter((name) => name !== "migrations").sort();
}

/** All that the tables hold, as text; but which imports there were, which holds no words. */
export async function everything(database: Database): Promise<string> {
  const contents: Record<string, unknown> = {};
  for (const table of await tablesOf(database)) {
    if (table !== "imports") contents[table] = await database.all(`SELECT * FROM ${table}`);
  }
  return JSON.stringify(contents);
}

/** All items of an iterable. */
export const collect = <Item>(items: AsyncIterable<Item>): Promise<Item[]> => Array.fromAsync(items);

/** Rows to be imported, every third of them desirable. */
export async function* numbered(rows: number, endUser?: string): AsyncGenerator<ImportedRow> {
  for (let index = 0; index < rows; index++) {
    yield { index, line: index + 1, prompt: `prompt ${index}`, completion: "x", label: index % 3 === 0, endUser };
  }
}
