// Files that clients uploaded or runs left behind: what they are called and where in the data folder they lie. Does not
// read or write their content.

import { timeOrderedId } from "./ids.ts";
import type { Database, Queries, Value } from "./queries.ts";

export interface StoredFile {
  id: string;
  /** Milliseconds since 1970. */
  createdAt: number;
  filename: string;
  purpose: "fine-tune" | "fine-tune-results";
  bytes: number;
  /** Relative to the data folder. */
  path: string;
}

const select = `SELECT id, created_at AS "createdAt", filename, purpose, bytes, path FROM files`;

/** An id for a file that is about to be stored. */
export const newFileId = (): string => timeOrderedId("file-");

/** Adds a file whose content is in its place; within a write, `queries` are that write's. */
export async function addFile(
  queries: Queries,
  { id, createdAt, filename, purpose, bytes, path }: StoredFile,
): Promise<void> {
  await queries.run(
    "INSERT INTO files (id, created_at, filename, purpose, bytes, path) VALUES ($1, $2, $3, $4, $5, $6)",
    [id, createdAt, filename, purpose, bytes, path],
  );
}

export async function findFile(database: Queries, id: string): Promise<StoredFile | undefined> {
  return await database.get<StoredFile>(`${select} WHERE id = $1`, [id]);
}

/** The newest files, newest first; with `after` those that are older, with `purpose` those that are for it. */
export function listFiles(
  database: Database,
  limit: number,
  { after, purpose }: { after?: string | undefined; purpose?: string | undefined } = {},
): Promise<StoredFile[]> {
  const values: Value[] = [limit], conditions: string[] = [];
  if (after !== undefined) conditions.push(`id < $${values.push(after)}`);
  if (purpose !== undefined) conditions.push(`purpose = $${values.push(purpose)}`);
  const where = conditions.length > 0 ? ` WHERE ${conditions.join(" AND ")}` : "";
  return database.all(`${select}${where} ORDER BY id DESC LIMIT $1`, values);
}

/** Notes that a file has got shorter. */
export async function noteSize(database: Database, id: string, bytes: number): Promise<void> {
  await database.run("UPDATE files SET bytes = $2 WHERE id = $1", [id, bytes]);
}

/** Forgets a file. @returns Whether there was one. */
export async function deleteFile(database: Database, id: string): Promise<boolean> {
  return await database.run("DELETE FROM files WHERE id = $1", [id]) > 0;
}
