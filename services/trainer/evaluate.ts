// Measures an adapter on feedback: AUC of the reward against the thumbs, margin, class means; on the embedded world also
// how many answers to unseen prompts are judged desirable. It changes nothing.

import { join } from "node:path";
import { InputError } from "../../shared/errors.ts";
import { type Reporter, withProgress } from "../../shared/progress.ts";
import { cacheFolder } from "../../shared/runtime/cache_folder.ts";
import { embeddedFeedback, embeddedModelFolder } from "../../shared/runtime/embedded_model.ts";
import { ReferenceCache } from "../../shared/store/reference_cache.ts";
import { WorkerPool } from "../../workers/pool.ts";
import { answerPrompts } from "./generate.ts";
import { findModel, openModel, referenceKey, startGeneration, startScoring } from "./model.ts";
import { readRows } from "./read_rows.ts";
import { evaluateRewards, rewardsOfBase } from "./rewards.ts";
import type { ScoreSettings } from "./score.ts";
import { layoutFor, ReferenceScorer } from "./scorer.ts";
import { adapterFeeds, adapterPart } from "./trained_part.ts";
import { evaluationQuestions, judgeAnswers, worldSampling } from "./world_evaluation.ts";

export interface EvaluateSettings extends Omit<ScoreSettings, "out" | "data"> {
  data: string | undefined;
  beta: number;
  seed: number;
}

export interface EvaluationResult {
  auc: { value: number; low: number; high: number } | null;
  margin: number | null;
  rewards: { chosen: number | null; rejected: number | null };
  counts: { desirable: number; undesirable: number };
  desirable_rate?: { value: number; prompts: number };
}

/** Evaluates an adapter (or the base model, whose rewards are all 0). @throws InputError for unusable input */
export async function evaluate(settings: EvaluateSettings, reporter: Reporter): Promise<EvaluationResult> {
  const { device } = settings;
  const model = openModel(await findModel(settings.model, settings.dtype, reporter), settings.dtype);
  const embedded = model.folder.path === embeddedModelFolder;
  if (settings.data === undefined && !embedded) throw new InputError("--data: say which feedback file to evaluate on.");
  const path = settings.data ?? embeddedFeedback;
  const { rows, notes, warnings } = await readRows(path, model, {
    workers: settings.workers,
    reporter,
    maxLength: settings.maxLength,
  });
  for (const note of notes) reporter.line(note);
  for (const warning of warnings) reporter.warn(`Warning: ${warning}`);
  if (rows.length === 0) {
    throw new InputError(`${path}: no row is left to evaluate on (${[...notes, ...warnings].join(" ")})`);
  }
  const part = settings.adapter === undefined ? undefined : await adapterPart(settings.adapter, model);
  if (!part) reporter.line("Without --adapter every reward is 0 by definition, and the AUC 0.5.");
  const cache = ReferenceCache.open(join(cacheFolder(), "reference.sqlite"));
  const pool = await WorkerPool.start(settings.workers, reporter.warn);
  const counting = (label: string) => ({ label, total: rows.length, unit: "rows" });
  try {
    const measure = async () => {
      // Also for the base, so that a model that cannot be used is told.
      const { compiled } = await startScoring(model, part, pool, device);
      if (!part) return rewardsOfBase(rows);
      const layout = layoutFor(compiled, device, settings.tokensPerMicroBatch);
      const reference = new ReferenceScorer(pool, cache, await referenceKey(model, device), layout);
      await withProgress(reporter, counting("reference"), (advance) => reference.prepare([rows], advance));
      return await withProgress(
        reporter,
        counting("policy"),
        (advance) => evaluateRewards(rows, pool, reference, layout, settings.beta, 0, advance),
      );
    };
    const { auc, margin, rewards } = await measure();
    const desirable = rows.filter(({ label }) => label).length;
    const result: EvaluationResult = {
      auc: auc ?? null,
      margin: margin ?? null,
      rewards,
      counts: { desirable, undesirable: rows.length - desirable },
    };
    if (embedded) {
      await startGeneration(model, pool, device, part?.adapter && adapterFeeds(part.adapter));
      const questions = evaluationQuestions();
      const prompts = questions.map(({ text }) => [{ role: "user", content: text }]);
      const answers = await answerPrompts(pool, model.tokenizer, prompts, { ...worldSampling, seed: settings.seed });
      result.desirable_rate = { value: judgeAnswers(questions, answers).rate, prompts: prompts.length };
    }
    return result;
  } finally {
    await pool.stop();
    cache.close();
  }
}
