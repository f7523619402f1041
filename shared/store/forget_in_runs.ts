// Runs of jobs, where somebody whose words they hold was forgotten: a run that is over loses what quotes people, an open
// one its folder, so that the job begins anew over the rows that are left. Knows where runs lie in the data folder and
// which of their files hold words, not how a run makes them.

import { createReadStream } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { writeFileAtomic } from "../atomic_file.ts";
import { withoutSamples } from "../report_samples.ts";
import { dropRows, rowsName } from "../run_rows.ts";
import { addEvent } from "./jobs.ts";
import type { Database, Queries } from "./queries.ts";

/** What is said of a job that begins anew; of nobody in particular. */
const begunAnew =
  "Somebody whose words were among the rows has asked to be forgotten: the job begins anew, over the rows that are left.";

/** Marks the jobs that may have seen a label's event of that number, whatever is left of it in their folders. */
export async function markForgetting(queries: Queries, sequence: number): Promise<void> {
  await queries.run("UPDATE jobs SET forgets = forgets + 1 WHERE watermark >= $1", [sequence]);
}

/** Marks the jobs over an uploaded file, out of which somebody's rows are taken. */
export async function markForgettingFile(queries: Queries, file: string): Promise<void> {
  const sql = "UPDATE jobs SET forgets = forgets + 1 WHERE watermark IS NULL AND request LIKE $1";
  await queries.run(sql, [`%"trainingFile":${JSON.stringify(file)}%`]);
}

/**
 * Takes people's words out of the runs of marked jobs. A job that a trainer is at, or may yet take, is the trainer's:
 * it sees the mark at its next step. So this is called again until none is marked.
 */
export async function forgetInRuns(database: Database, dataFolder: string): Promise<void> {
  const jobs = await database.all<{ id: string; forgets: number; finishedAt: number | null }>(
    `SELECT id, forgets, finished_at AS "finishedAt" FROM jobs WHERE forgets > 0`,
  );
  for (const { id, forgets, finishedAt } of jobs) {
    if (finishedAt === null) continue;
    await forgetSamples(database, dataFolder, join("runs", id, "report.html"));
    await dropRows(join(dataFolder, "runs", id));
    await unmark(database, id, forgets);
  }
  const open = jobs.filter(({ finishedAt }) => finishedAt === null);
  if (open.length === 0) return;
  // Held by a trainer for as long as it lives.
  const lock = await database.lock("trainer");
  if (!lock) return;
  try {
    for (const { id } of open) await forgetInJob(database, dataFolder, id);
  } finally {
    await lock.release();
  }
}

/** Discards the run of a marked open job where it holds rows that are gone; by whoever has the trainer's lock. */
export async function forgetInJob(database: Database, dataFolder: string, id: string): Promise<void> {
  for (;;) {
    const job = await database.get<{ forgets: number; watermark: number | null }>(
      "SELECT forgets, watermark FROM jobs WHERE id = $1 AND forgets > 0 AND finished_at IS NULL",
      [id],
    );
    if (!job) return;
    const folder = join(dataFolder, "runs", id);
    if (job.watermark === null ? await isThere(folder) : await lostRows(database, join(folder, rowsName))) {
      await database.write(async (queries) => {
        // Steps of the same number come again.
        await queries.run("DELETE FROM job_events WHERE job_id = $1 AND step IS NOT NULL", [id]);
        await queries.run("UPDATE jobs SET data = NULL, progress = NULL WHERE id = $1", [id]);
        await addEvent(queries, id, { level: "info", type: "message", message: begunAnew });
      });
      await Deno.remove(folder, { recursive: true });
    }
    await unmark(database, id, job.forgets);
  }
}

/** Unless it was marked again. */
async function unmark(database: Database, id: string, forgets: number): Promise<void> {
  await database.run("UPDATE jobs SET forgets = 0 WHERE id = $1 AND forgets = $2", [id, forgets]);
}

async function forgetSamples(database: Database, dataFolder: string, path: string): Promise<void> {
  const report = await unlessGone(Deno.readTextFile(join(dataFolder, path)));
  if (report === undefined) return;
  const left = withoutSamples(report);
  if (left !== report) await writeFileAtomic(join(dataFolder, path), left);
  const { length } = new TextEncoder().encode(left);
  await database.run("UPDATE files SET bytes = $2 WHERE path = $1", [path, length]);
}

/** Events that are asked for at once. */
const eventsAtOnce = 500;

/** Whether an exported file has rows of events that are no longer in the store. */
async function lostRows(database: Database, path: string): Promise<boolean> {
  if (!await isThere(path)) return false;
  let sequences = new Set<number>();
  const areGone = async () => {
    const asked = [...sequences];
    sequences = new Set();
    const places = asked.map((_, i) => `$${i + 1}`).join();
    const sql = `SELECT COUNT(*) AS count FROM label_events WHERE sequence IN (${places})`;
    return Number((await database.get<{ count: number }>(sql, asked))!.count) < asked.length;
  };
  for await (const line of createInterface({ input: createReadStream(path) })) {
    sequences.add(JSON.parse(line).sequence);
    if (sequences.size === eventsAtOnce && await areGone()) return true;
  }
  return sequences.size > 0 && await areGone();
}

const isThere = async (path: string) => await unlessGone(Deno.stat(path)) !== undefined;

async function unlessGone<Result>(result: Promise<Result>): Promise<Result | undefined> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
