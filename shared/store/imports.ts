// Which imports are published. Rows of an import come into the tables slice by slice, with its id in `import_id`; nobody
// sees them before one small write publishes them all, and where that never comes they are deleted. Does not know how rows
// are read or moved.

import { waitForLock } from "./wait_for_lock.ts";
import type { Database, Lock, Queries } from "./queries.ts";
import { StoreUnavailableError } from "./unavailable.ts";

/** Staged rows that are looked at in one write. */
export const rowsPerSlice = 100;

/** How long an import waits for others, in milliseconds. */
const patience = 10 * 60_000;

/** The condition that a row of `table` is none of an import under way. */
export const published = (table: string): string =>
  `NOT EXISTS (SELECT 1 FROM imports i WHERE i.id = ${table}.import_id AND i.published IS NULL)`;

/** The condition that an event of `table` was there for others at a watermark, whose placeholder is given. */
export const publishedBy = (table: string, watermark: string): string =>
  `(${table}.import_id IS NULL OR
    EXISTS (SELECT 1 FROM imports i WHERE i.id = ${table}.import_id AND i.published <= ${watermark}))`;

/** Waits until no other import of this database moves rows. @throws StoreUnavailableError where that takes too long */
export async function lockImports(database: Database): Promise<Lock> {
  const lock = await waitForLock(database, "import", patience);
  if (lock) return lock;
  throw new StoreUnavailableError("another import is still under way");
}

/** Begins an import; what comes with its id is not seen from now on. */
export async function beginImport(database: Database, importId: string): Promise<void> {
  await database.run("INSERT INTO imports (id, moved) VALUES ($1, 0)", [importId]);
}

/** Counts labels that came, which are not yet to be counted as labels. */
export async function noteMoved(queries: Queries, importId: string, labels: number): Promise<void> {
  await queries.run("UPDATE imports SET moved = moved + $2 WHERE id = $1", [importId, labels]);
}

/**
 * Shows all rows of an import at once, as of a number that no watermark had before: a snapshot from before stays without
 * them.
 */
export async function publish(queries: Queries, importId: string): Promise<void> {
  // The number is that of an event which is gone again.
  const [event] = await queries.all<{ sequence: number }>(
    `INSERT INTO label_events (label_id, kind, at, version, completion_id, choice, end_user, label, tags)
     SELECT label_id, kind, at, version, completion_id, choice, end_user, label, '[]' FROM label_events
     WHERE sequence = (SELECT e.sequence FROM staged_rows s
       JOIN label_events e ON e.label_id = s.label_id AND e.import_id = s.import_id
       WHERE s.import_id = $1 ORDER BY s.position DESC LIMIT 1)
     RETURNING sequence`,
    [importId],
  );
  if (!event) {
    await queries.run("DELETE FROM imports WHERE id = $1", [importId]);
    return;
  }
  await queries.run("DELETE FROM label_events WHERE sequence = $1", [event.sequence]);
  await queries.run("UPDATE imports SET published = $2 WHERE id = $1", [importId, event.sequence]);
}

/** Ends an import: deletes what it staged, and what it moved unless it was published. In slices. */
export async function endImport(database: Database, importId: string): Promise<void> {
  const sql = "SELECT published FROM imports WHERE id = $1";
  const begun = await database.get<{ published: number | null }>(sql, [importId]);
  const undone = begun?.published === null;
  const last = await database.all<{ last: number | null }>(
    "SELECT MAX(position) AS last FROM staged_rows WHERE import_id = $1",
    [importId],
  );
  for (let start = 0; start <= (last[0]?.last ?? -1); start += rowsPerSlice) {
    await database.write(async (queries) => {
      const place = [importId, start, start + rowsPerSlice];
      if (undone) await undo(queries, place);
      await queries.run(`DELETE FROM staged_rows AS s WHERE ${slice}`, place);
    });
  }
  if (undone) await database.run("DELETE FROM imports WHERE id = $1", [importId]);
}

/** Staged rows of a slice: `$1` is the import, `$2` and `$3` the positions. */
export const slice = "s.import_id = $1 AND s.position >= $2 AND s.position < $3";

async function undo(queries: Queries, place: [string, number, number] | (string | number)[]): Promise<void> {
  const staged = (column: string) => `(SELECT s.${column} FROM staged_rows s WHERE ${slice})`;
  await queries.run(`DELETE FROM labels WHERE import_id = $1 AND id IN ${staged("label_id")}`, place);
  await queries.run(`DELETE FROM label_events WHERE import_id = $1 AND label_id IN ${staged("label_id")}`, place);
  await queries.run(`DELETE FROM choices WHERE import_id = $1 AND completion_id IN ${staged("completion_id")}`, place);
  // A slice may hold one answer of a completion, and the next another.
  await queries.run(
    `DELETE FROM completions WHERE import_id = $1 AND id IN ${staged("completion_id")}
       AND NOT EXISTS (SELECT 1 FROM choices a WHERE a.completion_id = completions.id)`,
    place,
  );
}

/** Ends imports that were killed; within `lockImports`. */
export async function endKilledImports(database: Database): Promise<void> {
  const killed = await database.all<{ id: string }>("SELECT id FROM imports WHERE published IS NULL");
  for (const { id } of killed) await endImport(database, id);
}
