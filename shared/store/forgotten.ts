// People who were deleted a while ago, by a hash of their name: what was under way then is not kept when it comes. Does not
// know what is kept of anybody.

import { createHash } from "node:crypto";
import type { Database, Queries } from "./queries.ts";

/** How long something may be under way, in milliseconds; then nobody needs to know of the deletion. */
const longest = 24 * 60 * 60 * 1000;

/** A name as it is remembered. */
export const personHash = (endUser: string): string => createHash("sha256").update(endUser).digest("hex");

/** Notes a deletion; within its write. @param writer whose things are deleted; null is everybody's */
export async function noteForgotten(queries: Queries, endUser: string, writer: string | null): Promise<void> {
  const sql = "INSERT INTO forgotten (person, writer, at) VALUES ($1, $2, $3)";
  await queries.run(sql, [personHash(endUser), writer, Date.now()]);
}

/** A number that all later deletions are beyond: asked for when something begins. */
export async function forgottenMark(queries: Queries): Promise<number> {
  const row = await queries.get<{ mark: number }>("SELECT COALESCE(MAX(sequence), 0) AS mark FROM forgotten");
  return row?.mark ?? 0;
}

/** Whether a person was deleted after something of theirs began; within the write that would keep it. */
export async function wasForgotten(
  queries: Queries,
  mark: number,
  endUser: string,
  writer: string | null,
): Promise<boolean> {
  const row = await queries.get(
    `SELECT 1 AS found FROM forgotten WHERE person = $1 AND sequence > $2 AND (writer IS NULL OR writer = $3) LIMIT 1`,
    [personHash(endUser), mark, writer],
  );
  return row !== undefined;
}

/** Hashes of all whose everything was deleted after something of many people began. */
export async function forgottenSince(queries: Queries, mark: number): Promise<Set<string>> {
  const sql = "SELECT person FROM forgotten WHERE sequence > $1 AND writer IS NULL";
  return new Set((await queries.all<{ person: string }>(sql, [mark])).map(({ person }) => person));
}

/** Forgets deletions that nothing can still be under way from. */
export async function dropOldForgotten(database: Database): Promise<void> {
  await database.run("DELETE FROM forgotten WHERE at < $1", [Date.now() - longest]);
}
