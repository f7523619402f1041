// How far answers are from the reference that they would be trained against: their log-prob when they were given, which
// is in the store, against the reference's now. It changes nothing and filters nothing.

import { InterruptedError } from "../../../shared/errors.ts";
import type { Reporter } from "../../../shared/progress.ts";
import { type Staleness, staleness } from "../../../shared/feedback/hygiene.ts";
import type { FeedbackRow } from "../../../shared/feedback/row.ts";
import { tokenizeRows } from "../../../shared/feedback/tokenize.ts";
import { contextLengthOf } from "../../../shared/runtime/model_sizes.ts";
import { findModel, openModel } from "../../../shared/runtime/open_model.ts";
import { ReferenceCache } from "../../../shared/store/reference_cache.ts";
import { WorkerPool } from "../../../workers/pool.ts";
import { startScoring } from "../model.ts";
import { layoutFor, ReferenceScorer } from "../scorer.ts";
import type { TrainerSettings } from "./settings.ts";
import type { LabelRow } from "./training_file.ts";

/** Longest rows that are measured, as trained, in tokens. */
const maxLength = 1024;

/** Rows that are measured where nobody asked for stale ones to be left out: enough to see a share of a few percent. */
const sample = 512;

/**
 * Measures rows whose answer's log-prob was stored.
 *
 * @param all whether every row is measured, or a sample
 * @param interrupted asked while rows are scored; true ends the measuring
 * @throws InputError for an unusable model
 * @throws InterruptedError
 */
export async function measureStaleness(
  settings: TrainerSettings,
  rows: readonly LabelRow[],
  all: boolean,
  reporter: Reporter,
  interrupted: () => boolean,
): Promise<Staleness> {
  const known = rows.filter(({ log_prob }) => log_prob !== null);
  const every = all ? 1 : Math.max(1, Math.ceil(known.length / sample));
  const chosen = known.filter((_, index) => index % every === 0);
  if (chosen.length === 0) return staleness([]);
  const model = openModel(await findModel(settings.model, settings.dtype, reporter), settings.dtype);
  const asRows = chosen.map(({ prompt, completion, label, tools, chat_template_kwargs }, index): FeedbackRow => ({
    index,
    line: index + 1,
    prompt,
    completion,
    label,
    // As the answer was given, and as it is trained on.
    ...(tools ? { tools } : {}),
    ...(chat_template_kwargs ? { templateArguments: chat_template_kwargs } : {}),
  }));
  const { rows: tokenized } = tokenizeRows(asRows, model.tokenizer, {
    maxLength,
    contextLength: contextLengthOf(model.folder.config),
    // A row that says what another says is as stale as that one.
    dropDuplicates: false,
  });
  const pool = await WorkerPool.start(settings.workers ?? navigator.hardwareConcurrency, reporter.warn);
  // Not the run's own cache: what the run finds there was scored in the layout of its batches.
  const cache = ReferenceCache.open(":memory:");
  const progress = reporter.progress({ label: "staleness", total: tokenized.length, unit: "rows" });
  try {
    const { compiled } = await startScoring(model, undefined, pool, settings.device);
    const reference = new ReferenceScorer(pool, cache, "staleness", layoutFor(compiled, settings.device, undefined));
    await reference.prepare([tokenized], (count) => {
      progress.advance(count);
      if (interrupted()) throw new InterruptedError("Interrupted while the age of answers was measured.");
    });
    const scored = new Map(tokenized.map((row) => [row.index, reference.of(row)]));
    return staleness(chosen.map(({ row, log_prob, completion_tokens }, index) => ({
      id: row,
      answeredLogProb: log_prob,
      answeredTokens: completion_tokens,
      referenceLogProbs: scored.get(index) ?? null,
    })));
  } finally {
    progress.done();
    await pool.stop();
    cache.close();
  }
}
