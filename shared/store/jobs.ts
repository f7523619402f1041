// Training jobs as a durable queue, and what is told of them while they run. The gateway adds jobs, one trainer takes them
// in order; either may die at any moment. Does not know how a job is done.

import { timeOrderedId } from "./ids.ts";
import type { Database, Queries, Value } from "./queries.ts";

export type JobStatus = "queued" | "running" | "succeeded" | "failed" | "cancelled";

/** What is to be done. */
export interface JobRequest {
  /** A file's id, or "labels" for the labels in the store. */
  trainingFile: string;
  /** `base` or `base:ADAPTER`, where training starts. */
  model: string;
  seed: number;
  suffix: string | null;
  hyperparameters: Record<string, number | "auto">;
  /** Which labels, and what is left out of them. */
  labels: Record<string, string | number | boolean>;
  metadata: Record<string, string>;
  /** Promote the adapter if it passes the gate. */
  promote: boolean;
}

export interface Job {
  id: string;
  /** Milliseconds since 1970. */
  createdAt: number;
  startedAt: number | null;
  finishedAt: number | null;
  status: JobStatus;
  request: JobRequest;
  /** The snapshot of the labels that is trained on; null for a file. */
  watermark: number | null;
  /** Someone asked for it to be cancelled. */
  cancelling: boolean;
  /** Somebody was forgotten whose words may be among its rows; see `forgetInRuns`. */
  forgetting: boolean;
  /** Times that it was begun without getting any further than the time before. */
  attempts: number;
  progress: JobProgress | null;
  /** What is known of the rows. */
  data: Record<string, unknown> | null;
  outcome: JobOutcome | null;
  error: { code: string; message: string } | null;
}

export interface JobProgress {
  label: string;
  done: number;
  total: number;
  unit: string;
  /** Units per second. */
  rate: number | null;
  etaSeconds: number | null;
}

export interface JobOutcome {
  /** The adapter's name in the registry. */
  adapter: string;
  trainedTokens: number;
  /** Ids of files. */
  files: string[];
}

export interface JobEvent {
  sequence: number;
  jobId: string;
  /** Milliseconds since 1970. */
  at: number;
  level: "info" | "warn" | "error";
  type: "message" | "metrics";
  /** The optimizer step of metrics. */
  step: number | null;
  message: string;
  data: Record<string, unknown> | null;
}

type Encoded = { [Field in keyof Job]: Value };

const select = `SELECT id, created_at AS "createdAt", started_at AS "startedAt", finished_at AS "finishedAt", status,
  request, watermark, cancelling, forgets AS forgetting, attempts, progress, data, outcome, error FROM jobs`;

const parse = (text: Value) => text === null ? null : JSON.parse(text as string);

const jobOf = (row: Encoded): Job => ({
  ...row as unknown as Job,
  request: parse(row.request),
  cancelling: row.cancelling === 1,
  forgetting: Number(row.forgetting) > 0,
  progress: parse(row.progress),
  data: parse(row.data),
  outcome: parse(row.outcome),
  error: parse(row.error),
});

/** Adds a job at the end of the queue; within a write. */
export async function addJob(queries: Queries, request: JobRequest, watermark: number | null): Promise<Job> {
  const id = timeOrderedId("ftjob-");
  await queries.run(
    `INSERT INTO jobs (id, created_at, status, request, watermark, cancelling, attempts, sequence)
     VALUES ($1, $2, 'queued', $3, $4, 0, 0, (SELECT COALESCE(MAX(sequence), 0) + 1 FROM jobs))`,
    [id, Date.now(), JSON.stringify(request), watermark],
  );
  await addEvent(queries, id, { level: "info", type: "message", message: "The job waits for its turn." });
  return (await findJob(queries, id))!;
}

export async function findJob(database: Queries, id: string): Promise<Job | undefined> {
  const row = await database.get<Encoded>(`${select} WHERE id = $1`, [id]);
  return row && jobOf(row);
}

/** Jobs, the one that was added last first; with `after` those that were added before that one. */
export async function listJobs(database: Database, limit: number, after?: string): Promise<Job[]> {
  const rows = after === undefined
    ? await database.all<Encoded>(`${select} ORDER BY sequence DESC LIMIT $1`, [limit])
    : await database.all<Encoded>(
      `${select} WHERE sequence < (SELECT sequence FROM jobs WHERE id = $2) ORDER BY sequence DESC LIMIT $1`,
      [limit, after],
    );
  return rows.map(jobOf);
}

/** Jobs that are not over, in the order in which they are done: the running one first. */
export async function openJobs(database: Queries): Promise<Job[]> {
  const rows = await database.all<Encoded>(
    `${select} WHERE status IN ('queued', 'running') ORDER BY CASE status WHEN 'running' THEN 0 ELSE 1 END, sequence`,
  );
  return rows.map(jobOf);
}

/** Takes the next job of the queue, or one that a trainer which died has left; undefined where there is none. */
export function takeJob(database: Database): Promise<Job | undefined> {
  return database.write(async (queries) => {
    const [next] = await openJobs(queries);
    if (!next) return undefined;
    await queries.run(
      "UPDATE jobs SET status = 'running', started_at = COALESCE(started_at, $2), attempts = attempts + 1 WHERE id = $1",
      [next.id, Date.now()],
    );
    return await findJob(queries, next.id);
  });
}

/** Puts a running job back to the front of the queue, to be gone on with. */
export async function returnJob(database: Database, id: string): Promise<void> {
  await database.run(
    "UPDATE jobs SET status = 'queued', attempts = attempts - 1, progress = NULL WHERE id = $1 AND status = 'running'",
    [id],
  );
}

/**
 * Notes how far a job is.
 *
 * @param progress undefined leaves what is shown
 * @param advanced whether it got further than ever before, so that its attempts count anew
 */
export async function noteProgress(
  database: Database,
  id: string,
  progress: JobProgress | null | undefined,
  advanced: boolean,
): Promise<void> {
  if (advanced) await database.run("UPDATE jobs SET attempts = 1 WHERE id = $1", [id]);
  if (progress === undefined) return;
  await database.run("UPDATE jobs SET progress = $2 WHERE id = $1", [id, progress && JSON.stringify(progress)]);
}

/** Notes what is known of a job's rows. */
export async function noteData(queries: Queries, id: string, data: Record<string, unknown>): Promise<void> {
  await queries.run("UPDATE jobs SET data = $2 WHERE id = $1", [id, JSON.stringify(data)]);
}

/**
 * Ends a job. Within a write, so that what a job leaves behind is there exactly if it succeeded.
 *
 * @param error of a failed job
 * @returns whether it was not over yet: a job ends once, whoever did it
 */
export async function finishJob(
  queries: Queries,
  id: string,
  status: "succeeded" | "failed" | "cancelled",
  { outcome = null, error = null }: { outcome?: JobOutcome | null; error?: Job["error"] },
): Promise<boolean> {
  const ended = await queries.run(
    `UPDATE jobs SET status = $2, finished_at = $3, outcome = $4, error = $5, progress = NULL
     WHERE id = $1 AND finished_at IS NULL`,
    [id, status, Date.now(), outcome && JSON.stringify(outcome), error && JSON.stringify(error)],
  );
  if (ended === 0) return false;
  const message = {
    succeeded: "The job succeeded.",
    failed: error?.message ?? "The job failed.",
    cancelled: "The job was cancelled.",
  }[status];
  await addEvent(queries, id, { level: status === "failed" ? "error" : "info", type: "message", message });
  return true;
}

/**
 * Asks for a job to be cancelled: a queued one is at once, a running one at its next step; within a write.
 *
 * @returns the job after that
 */
export async function cancelJob(queries: Queries, id: string): Promise<Job | undefined> {
  const job = await findJob(queries, id);
  if (job?.status === "queued") await finishJob(queries, id, "cancelled", {});
  else if (job?.status === "running") await queries.run("UPDATE jobs SET cancelling = 1 WHERE id = $1", [id]);
  return await findJob(queries, id);
}

/** Tells of a job. Metrics of a step that were told already are not told again. @returns whether it was news */
export async function addEvent(
  queries: Queries,
  jobId: string,
  event: Pick<JobEvent, "level" | "type" | "message"> & Partial<Pick<JobEvent, "step" | "data">>,
): Promise<boolean> {
  const { level, type, message, step = null, data = null } = event;
  const added = await queries.run(
    `INSERT INTO job_events (job_id, at, level, type, step, message, data) VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (job_id, step) DO NOTHING`,
    [jobId, Date.now(), level, type, step, message, data && JSON.stringify(data)],
  );
  return added > 0;
}

type EncodedEvent = { [Field in keyof JobEvent]: Value };

const selectEvents = `SELECT sequence, job_id AS "jobId", at, level, type, step, message, data FROM job_events`;
const eventOf = (row: EncodedEvent): JobEvent => ({ ...row as unknown as JobEvent, data: parse(row.data) });

/** Events after `sequence`, oldest first. */
export const eventsAfter = (database: Database, jobId: string, sequence: number, limit: number) =>
  events(database, "sequence > $2 ORDER BY sequence", [jobId, sequence, limit]);

/** Events before `sequence`, newest first. */
export const eventsBefore = (database: Database, jobId: string, sequence: number, limit: number) =>
  events(database, "sequence < $2 ORDER BY sequence DESC", [jobId, sequence, limit]);

async function events(database: Database, which: string, values: [string, number, number]): Promise<JobEvent[]> {
  return (await database.all<EncodedEvent>(`${selectEvents} WHERE job_id = $1 AND ${which} LIMIT $3`, values))
    .map(eventOf);
}
