// What a store lets go in time, in slices: answers that nobody judged, what labels were long ago, and the traces of jobs
// that left no adapter. Snapshots of labels that a job or an adapter names keep their rows. It deletes no files.

import type { Database } from "./queries.ts";

/** Rows that are deleted in one write. */
const rowsPerWrite = 250;

/** Events of a label that are kept for its history. */
export const longestHistory = 10;

/** An event may be needed that long after it was replaced, in milliseconds: an export may be under way, a job be asked for. */
const grace = 60 * 60 * 1000;

const list = (values: readonly unknown[]) => values.map((_, index) => `$${index + 1}`).join(", ");

/** Deletes some answers that were given before that time, of which nothing was ever said. @returns how many; 0 if none is left */
export async function deleteUnjudged(database: Database, before: number): Promise<number> {
  const old = await database.all<{ id: string }>(
    `SELECT u.completion_id AS id FROM unjudged u JOIN completions c ON c.id = u.completion_id
     WHERE u.created_at < $1 AND c.under_way = 0
       AND NOT EXISTS (SELECT 1 FROM label_events e WHERE e.completion_id = u.completion_id)
     ORDER BY u.created_at, u.completion_id LIMIT ${rowsPerWrite}`,
    [before],
  );
  if (old.length === 0) return 0;
  const ids = old.map(({ id }) => id);
  // One of them may have been judged since.
  const which = `IN (${list(ids)}) AND NOT EXISTS (SELECT 1 FROM label_events e WHERE e.completion_id =`;
  await database.write(async (queries) => {
    await queries.run(`DELETE FROM choices WHERE completion_id ${which} choices.completion_id)`, ids);
    await queries.run(`DELETE FROM completions WHERE id ${which} completions.id)`, ids);
  });
  return ids.length;
}

/** Watermarks of snapshots that are still to give their rows: of jobs that go on, and of jobs whose adapter is registered. */
const living = `SELECT j.watermark FROM jobs j WHERE j.watermark IS NOT NULL
  AND (j.finished_at IS NULL OR EXISTS (SELECT 1 FROM adapters a WHERE a.job_id = j.id))`;

/**
 * Deletes some events of labels that were replaced more than `longestHistory` times since, unless a living snapshot has
 * them.
 *
 * @returns how many; 0 where none is left
 */
export function compactEvents(database: Database): Promise<number> {
  return database.run(
    `DELETE FROM label_events WHERE sequence IN (
       SELECT e.sequence FROM label_events n
       JOIN label_events e ON e.label_id = n.label_id AND e.version <= n.version - ${longestHistory}
       JOIN label_events x ON x.label_id = e.label_id AND x.sequence =
         (SELECT MIN(y.sequence) FROM label_events y WHERE y.label_id = e.label_id AND y.sequence > e.sequence)
       WHERE n.version > ${longestHistory} AND x.at < $1
         AND NOT EXISTS (SELECT 1 FROM labels l WHERE l.sequence = e.sequence)
         AND NOT EXISTS (SELECT 1 FROM (${living}) w WHERE w.watermark >= e.sequence AND w.watermark < x.sequence)
       LIMIT ${rowsPerWrite})`,
    [Date.now() - grace],
  );
}

/** Jobs that ended before that time and left nothing that is registered or kept as a file, some at a time. */
export async function finishedTraces(database: Database, before: number): Promise<string[]> {
  const jobs = await database.all<{ id: string }>(
    `SELECT j.id FROM jobs j WHERE j.finished_at < $1 AND EXISTS (SELECT 1 FROM job_events e WHERE e.job_id = j.id)
       AND NOT EXISTS (SELECT 1 FROM adapters a WHERE a.job_id = j.id)
       AND NOT EXISTS (SELECT 1 FROM files f WHERE f.path LIKE 'runs/' || j.id || '/%')
     ORDER BY j.id LIMIT ${rowsPerWrite}`,
    [before],
  );
  return jobs.map(({ id }) => id);
}

/** Deletes what was told of a job while it ran; the job itself stays in the list. */
export async function deleteJobEvents(database: Database, jobId: string): Promise<void> {
  await database.run("DELETE FROM job_events WHERE job_id = $1", [jobId]);
}
