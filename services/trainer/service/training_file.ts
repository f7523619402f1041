// The rows of a job as a file in its folder: an upload, or the labels of a snapshot. The same job gives the same file
// however often it is begun, so that a run goes on where it stopped. It does not know what is done with the rows.

import { join } from "node:path";
import { writeFileAtomic } from "../../../shared/atomic_file.ts";
import { InputError } from "../../../shared/errors.ts";
import {
  hygieneReport,
  inspectLabels,
  type Staleness,
  withoutContradictions,
  withoutStale,
} from "../../../shared/feedback/hygiene.ts";
import { rowsName } from "../../../shared/run_rows.ts";
import type { Database } from "../../../shared/store/database.ts";
import { type ExportedRow, exportFeedback } from "../../../shared/store/export_feedback.ts";
import { findFile } from "../../../shared/store/files.ts";
import { type Job, noteData } from "../../../shared/store/jobs.ts";

/** The job's rows. */
export interface TrainingFile {
  path: string;
  /** What people call it. */
  name: string;
}

/** An exported row whose id no other row has. */
export type LabelRow = ExportedRow & { row: string };

const isThere = (path: string) => Deno.stat(path).then(() => true, () => false);

/**
 * Writes the job's rows into its folder, unless they are there, and notes in the job what is known of them.
 *
 * @param measure how far answers moved from the reference since they were given
 * @throws InputError where there are no rows
 */
export async function prepareTrainingFile(
  database: Database,
  dataFolder: string,
  job: Job,
  folder: string,
  measure: (rows: readonly LabelRow[]) => Promise<Staleness>,
): Promise<TrainingFile> {
  const { trainingFile, labels } = job.request;
  if (trainingFile !== "labels") {
    const file = await findFile(database, trainingFile);
    if (!file) throw new InputError(`${trainingFile}: the file was deleted before the job began; upload it again.`);
    const path = join(dataFolder, file.path);
    if (await isThere(path)) return { path, name: file.filename };
    throw new InputError(`${file.filename}: its content is gone from the data folder; upload it again.`);
  }
  const path = join(folder, rowsName);
  if (await isThere(path)) return { path, name: "labels" };
  const all = await selectedRows(database, job);
  const identified = all.map((row) => ({ ...row, id: row.row }));
  const hygiene = inspectLabels(identified), stale = await measure(all);
  let rows = identified;
  if (labels.drop_contradictions) rows = withoutContradictions(rows, hygiene);
  if (labels.drop_stale !== undefined) rows = withoutStale(rows, stale, Number(labels.drop_stale));
  await noteData(database, job.id, {
    source: "labels",
    watermark: job.watermark,
    rows: rows.length,
    desirable: rows.filter(({ label }) => label).length,
    undesirable: rows.filter(({ label }) => !label).length,
    left_out: all.length - rows.length,
    hygiene: hygieneReport(hygiene, stale),
  });
  if (rows.length === 0) {
    throw new InputError("No label is left to train on; widen the selection, or press some thumbs.");
  }
  await writeFileAtomic(path, rows.map((row) => JSON.stringify(row) + "\n").join(""));
  return { path, name: "labels" };
}

async function selectedRows(database: Database, job: Job): Promise<LabelRow[]> {
  const { tag, model, since, until, max_age_days } = job.request.labels;
  // Counted from when the job was made, so that a job that is begun again means the same labels.
  const oldest = max_age_days === undefined ? 0 : job.createdAt - Number(max_age_days) * 86_400_000;
  const filters = {
    tag: tag === undefined ? undefined : String(tag),
    model: model === undefined ? undefined : String(model),
    until: until === undefined ? undefined : Number(until),
    since: Math.max(oldest, Number(since ?? 0)),
  };
  const rows: LabelRow[] = [];
  for await (const row of exportFeedback(database, filters, { watermark: job.watermark ?? 0 })) {
    rows.push({ ...row, row: row.is_correction ? `${row.id} correction` : row.id });
  }
  return rows;
}
