// Scores a feedback file: the log-prob of every row's completion under the base model (through the cache) or under an
// adapter. A model that the compiler refuses is scored by transformers.js itself. It does not know training.

import { join } from "node:path";
import type { Lora } from "../../shared/compiler/compile.ts";
import { ensureWritableFile, writeFileAtomic } from "../../shared/atomic_file.ts";
import { counted } from "../../shared/counted.ts";
import { InputError, RefusedModelError } from "../../shared/errors.ts";
import { sequenceLength } from "../../shared/feedback/micro_batch.ts";
import type { TokenizedRow } from "../../shared/feedback/tokenize.ts";
import { lockOutputPath } from "../../shared/output_lock.ts";
import type { Reporter } from "../../shared/progress.ts";
import { cacheFolder } from "../../shared/runtime/cache_folder.ts";
import type { Device } from "../../shared/runtime/session.ts";
import { isStockFile } from "../../shared/runtime/open_model.ts";
import { ReferenceCache, sequenceKey } from "../../shared/store/reference_cache.ts";
import { WorkerPool } from "../../workers/pool.ts";
import { findModel, type OpenModel, openModel, referenceKey, startScoring } from "./model.ts";
import { readRows } from "./read_rows.ts";
import { allFinite, layoutFor, logProb, rowsPerSlice, scoreSequences } from "./scorer.ts";
import { adapterPart, type TrainedPart } from "./trained_part.ts";

export interface ScoreSettings {
  model: string | undefined;
  adapter: string | undefined;
  data: string;
  out: string;
  dtype: string;
  device: Device;
  workers: number;
  tokensPerMicroBatch?: number | undefined;
  maxLength: number;
}

/** One line of the output. */
export interface RowScore {
  index: number;
  /** Sum over the completion's tokens, in nats. */
  log_prob: number;
  tokens: number;
  /** From the reference cache. */
  cached: boolean;
}

/** Where log-probs of rows that the cache does not have come from. */
type Score = (rows: TokenizedRow[], onDone: (rows: number) => void) => Promise<Float32Array[]>;

/** The compiled scoring graph, or transformers.js where the compiler refuses the model. */
async function openScorer(
  settings: ScoreSettings,
  model: OpenModel,
  part: TrainedPart<Lora> | undefined,
  pool: WorkerPool,
  reporter: Reporter,
): Promise<Score> {
  const { device } = settings;
  try {
    const { compiled } = await startScoring(model, part, pool, device);
    const layout = layoutFor(compiled, device, settings.tokensPerMicroBatch);
    return (rows, onDone) => scoreSequences(pool, rows, layout, "policy", 0, onDone);
  } catch (error) {
    if (!(error instanceof RefusedModelError) || part !== undefined || !isStockFile(model)) throw error;
    reporter.warn(`${error.message} Scoring with transformers.js instead, one row at a time.`);
    await pool.prepare((worker) => worker.openStock({ folder: model.folder.path, dtype: model.dtype, device }));
    return (rows, onDone) =>
      pool.map(
        rows,
        (worker, { promptIds, completionIds }) => worker.scoreStock({ promptIds, completionIds }),
        () => onDone(1),
      );
  }
}

/**
 * The first row whose log-probs are not finite when it is scored alone: in a micro-batch NaN spreads to its neighbours.
 * Rows before it get their log-probs.
 */
async function findBroken<Suspect extends { row: TokenizedRow; i: number }>(
  suspects: readonly Suspect[],
  logProbs: (Float32Array | undefined)[],
  score: Score,
): Promise<Suspect | undefined> {
  for (const suspect of suspects) {
    const [alone] = await score([suspect.row], () => {});
    logProbs[suspect.i] = alone;
    if (!allFinite(alone!)) return suspect;
  }
}

/**
 * Scores every row of a feedback file and writes one JSON line per row. What was scored is cached slice by slice, so that
 * an end at any moment costs little.
 *
 * @throws InputError for unusable model, data or adapter, or an output that cannot be written
 * @throws Error naming the row whose log-prob is not finite
 */
export async function score(settings: ScoreSettings, reporter: Reporter): Promise<RowScore[]> {
  const { device } = settings;
  const model = openModel(await findModel(settings.model, settings.dtype, reporter), settings.dtype);
  const part = settings.adapter === undefined ? undefined : await adapterPart(settings.adapter, model);
  const { rows, notes, warnings } = await readRows(settings.data, model, {
    workers: settings.workers,
    reporter,
    maxLength: settings.maxLength,
    dropDuplicates: false,
  });
  for (const note of notes) reporter.line(note);
  for (const warning of warnings) reporter.warn(`Warning: ${warning}`);
  if (rows.length === 0) {
    throw new InputError(`${settings.data}: no row is left to score (${[...notes, ...warnings].join(" ")})`);
  }
  await ensureWritableFile(settings.out);
  using _lock = await lockOutputPath(settings.out);
  const cache = settings.adapter === undefined
    ? ReferenceCache.open(join(cacheFolder(), "reference.sqlite"))
    : undefined;
  const pool = await WorkerPool.start(settings.workers, reporter.warn);
  const progress = reporter.progress({ label: "scoring", total: rows.length, unit: "rows" });
  try {
    const modelKey = await referenceKey(model, device);
    const keys = rows.map((row) => sequenceKey(modelKey, row));
    const found = rows.map((row, i) => cache?.find(keys[i]!, row.completionIds.length));
    const missing = rows.flatMap((row, i) => found[i] && allFinite(found[i]) ? [] : [{ row, i }]);
    progress.advance(rows.length - missing.length);
    const logProbs = [...found];
    if (missing.length > 0) {
      const scorer = await openScorer(settings, model, part, pool, reporter);
      for (let start = 0; start < missing.length; start += rowsPerSlice) {
        const slice = missing.slice(start, start + rowsPerSlice);
        const scored = await scorer(slice.map(({ row }) => row), (count) => progress.advance(count));
        slice.forEach(({ i }, k) => logProbs[i] = scored[k]!);
        const broken = await findBroken(slice.filter(({ i }) => !allFinite(logProbs[i]!)), logProbs, scorer);
        const finite = slice.filter(({ i }) => allFinite(logProbs[i]!));
        cache?.store(finite.map(({ i }) => ({ key: keys[i]!, logProbs: logProbs[i]! })));
        if (broken) {
          throw new Error(
            `The log-prob of the row of line ${broken.row.line} is not finite (${logProb(logProbs[broken.i]!)}): try ` +
              `--dtype fp32.`,
          );
        }
      }
    }
    const computed = new Set(missing.map(({ i }) => i));
    const scores = rows.map((row, i): RowScore => ({
      index: row.index,
      log_prob: logProb(logProbs[i]!),
      tokens: row.completionIds.length,
      cached: !computed.has(i),
    }));
    await writeFileAtomic(settings.out, scores.map((line) => JSON.stringify(line) + "\n").join(""));
    const tokens = rows.reduce((sum, row) => sum + sequenceLength(row), 0);
    progress.done();
    reporter.line(
      `${counted(rows.length, "row")}, ${counted(tokens, "token")}, ${
        rows.length - missing.length
      } from the cache. Written to ${settings.out}.`,
    );
    reporter.event("done", { rows: rows.length, cached: rows.length - missing.length });
    return scores;
  } finally {
    progress.done();
    await pool.stop();
    cache?.close();
  }
}
