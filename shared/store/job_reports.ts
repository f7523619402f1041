// Reports of jobs, where somebody whom they may quote was forgotten: their samples are taken out. Knows where a job's
// report lies in the data folder, not what is in it.

import { join } from "node:path";
import { writeFileAtomic } from "../atomic_file.ts";
import { withoutSamples } from "../report_samples.ts";
import type { Database, Queries } from "./queries.ts";

/** Marks the jobs that may have seen a label's event of that number, whatever is left of it in their folders. */
export async function markForgetting(queries: Queries, sequence: number): Promise<void> {
  await queries.run("UPDATE jobs SET forgets = 1 WHERE watermark >= $1", [sequence]);
}

/**
 * Takes the samples out of the reports of marked jobs. A job that goes on stays marked, since it may yet write its report;
 * so this is called again until none is.
 */
export async function forgetSamples(database: Database, dataFolder: string): Promise<void> {
  const jobs = await database.all<{ id: string; finishedAt: number | null }>(
    `SELECT id, finished_at AS "finishedAt" FROM jobs WHERE forgets = 1`,
  );
  for (const { id, finishedAt } of jobs) {
    const path = join("runs", id, "report.html");
    const report = await readIfThere(join(dataFolder, path));
    if (report !== undefined) {
      const left = withoutSamples(report);
      if (left !== report) await writeFileAtomic(join(dataFolder, path), left);
      const { length } = new TextEncoder().encode(left);
      await database.run("UPDATE files SET bytes = $2 WHERE path = $1", [path, length]);
    }
    if (finishedAt !== null) await database.run("UPDATE jobs SET forgets = 0 WHERE id = $1", [id]);
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
