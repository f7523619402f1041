// Measures what the promotion gate decides from: a candidate adapter against the model it was trained on and against the
// current adapter, on held-out rows, on its own answers, and on the probe prompts. It decides nothing and writes nothing.

import { join } from "node:path";
import type { Lora } from "../../shared/compiler/compile.ts";
import { InterruptedError } from "../../shared/errors.ts";
import type { FeedbackRow } from "../../shared/feedback/row.ts";
import { type TokenizedRow, tokenizeRows } from "../../shared/feedback/tokenize.ts";
import type { Sequence } from "../../shared/feedback/micro_batch.ts";
import type { Reporter } from "../../shared/progress.ts";
import { cacheFolder } from "../../shared/runtime/cache_folder.ts";
import type { ChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";
import { contextLengthOf } from "../../shared/runtime/model_sizes.ts";
import type { Device } from "../../shared/runtime/session.ts";
import { ReferenceCache } from "../../shared/store/reference_cache.ts";
import { WorkerPool } from "../../workers/pool.ts";
import { auc, aucDifference } from "./auc.ts";
import type { CandidateMeasurements, ProbeMeasurement } from "./gate.ts";
import { answerInTokens, type Asked, leavesRoom, type TokenAnswer } from "./generate.ts";
import { readTrainedPrompts } from "./held_out.ts";
import { adaptGeneration, findModel, openModel, referenceKey, startGeneration, startScoring } from "./model.ts";
import { probePrompts } from "./probe_prompts.ts";
import { rewardsOf } from "./rewards.ts";
import { layoutFor, logRatio, ReferenceScorer, scoreSequences } from "./scorer.ts";
import { adapterFeeds, adapterPart, type TrainedPart } from "./trained_part.ts";

export interface CandidateSettings {
  /** Folder or hub id; undefined is the embedded model. */
  model: string | undefined;
  dtype: string;
  device: Device;
  workers: number;
  /** The candidate's PEFT folder. */
  adapter: string;
  /** The current adapter's; undefined is the base model. */
  current: string | undefined;
  /** Rows that the candidate was not trained on. */
  heldOut: readonly FeedbackRow[];
  maxLength: number;
  /** Of the sampled answers. */
  seed: number;
}

/** Held-out prompts that are answered for the KL. The mean of 64 answers is known to about a tenth of their spread. */
const klPrompts = 64;
const mostNewTokens = 128;

/** Answers to `prompts` and to the probe prompts. */
interface Answers {
  sampled: TokenAnswer[];
  candidateProbes: TokenAnswer[];
  baseProbes: TokenAnswer[];
}

/**
 * Measures a candidate.
 *
 * The KL is the mean of Σ_t (log π − log π_ref) over answers that the candidate itself samples at temperature 1 to
 * held-out prompts, without the largest and smallest twentieth of them. All of them would be unbiased for
 * KL(π ‖ π_ref), but one answer in hundreds that runs away at that temperature adds as many nats as all others
 * together, and whether it is among 64 is luck; endless answers have a rule of their own. Estimates from the rows'
 * completions would be cheaper, but those were sampled from other policies.
 *
 * @param interrupted asked between shares of work
 * @throws InputError for an unusable model or adapter
 * @throws InterruptedError
 */
export async function measureCandidate(
  settings: CandidateSettings,
  reporter: Reporter,
  interrupted: () => boolean = () => false,
): Promise<CandidateMeasurements> {
  const { device, adapter, current } = settings;
  const model = openModel(await findModel(settings.model, settings.dtype, reporter), settings.dtype);
  const { tokenizer } = model;
  const candidate = await adapterPart(adapter, model);
  const other = current === undefined ? undefined : await adapterPart(current, model);
  const contextLength = contextLengthOf(model.folder.config);
  const { rows } = tokenizeRows(settings.heldOut, tokenizer, { maxLength: settings.maxLength, contextLength });
  const prompts = distinctPrompts(rows, settings.heldOut).slice(0, klPrompts)
    .filter((prompt) => leavesRoom(tokenizer, prompt, contextLength));
  const probes = probePrompts(tokenizer.hasChatTemplate).map((prompt) => ({ prompt }));
  const unseen = current === undefined ? undefined : await readTrainedPrompts(current);
  const compared = rows.map(({ promptKey }) => !unseen?.has(promptKey));

  const counted = (label: string, total: number, unit: string) => {
    const progress = reporter.progress({ label, total, unit });
    const onDone = (count: number) => {
      progress.advance(count);
      if (interrupted()) throw new InterruptedError("Interrupted while the candidate was measured.");
    };
    return { onDone, done: () => progress.done() };
  };

  const answering = async (): Promise<Answers> => {
    const { onDone, done } = counted("gate: answers", prompts.length + 2 * probes.length, "prompts");
    const greedy = { temperature: 0, maxNewTokens: mostNewTokens, contextLength, seed: settings.seed };
    const pool = await WorkerPool.start(settings.workers, reporter.warn);
    try {
      await startGeneration(model, pool, device);
      const baseProbes = await answerInTokens(pool, tokenizer, probes, greedy, onDone);
      await adaptGeneration(pool, adapterFeeds(candidate.adapter!));
      const candidateProbes = await answerInTokens(pool, tokenizer, probes, greedy, onDone);
      const sampled = await answerInTokens(pool, tokenizer, prompts, { ...greedy, temperature: 1 }, onDone);
      return { sampled, candidateProbes, baseProbes };
    } finally {
      done();
      await pool.stop();
    }
  };

  const modelKey = await referenceKey(model, device);
  const scoring = async (part: TrainedPart<Lora>, scored: TokenizedRow[], own: Sequence[]) => {
    const { onDone, done } = counted("gate: scores", scored.length + own.length, "rows");
    const cache = ReferenceCache.open(join(cacheFolder(), "reference.sqlite"));
    const pool = await WorkerPool.start(settings.workers, reporter.warn);
    try {
      const { compiled } = await startScoring(model, part, pool, device);
      const layout = layoutFor(compiled, device, undefined);
      const reference = new ReferenceScorer(pool, cache, modelKey, layout);
      await reference.prepare([scored, own], onDone);
      const rewards = await rewardsOf(scored, pool, reference, layout, 1, 0);
      const policy = await scoreSequences(pool, own, layout, "policy", 0);
      return { rewards, logRatios: policy.map((logProbs, i) => logRatio(logProbs, reference.of(own[i]!))) };
    } finally {
      done();
      await pool.stop();
      cache.close();
    }
  };

  const { sampled, candidateProbes, baseProbes } = await answering();
  const own = sequencesOf(sampled, endTokenOf(rows, tokenizer));
  const { rewards, logRatios } = await scoring(candidate, rows, own);
  const others = other ? (await scoring(other, rows, [])).rewards : rows.map(() => 0);

  const labels = rows.map(({ label }) => label);
  const onlyCompared = <Value>(values: Value[]) => values.filter((_, i) => compared[i]);
  const difference = aucDifference(onlyCompared(rewards), onlyCompared(others), onlyCompared(labels));
  const currentAuc = other ? auc(onlyCompared(others), onlyCompared(labels)) : { value: 0.5, low: 0.5, high: 0.5 };
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    auc: auc(rewards, labels) ?? null,
    currentAuc: difference ? currentAuc ?? null : null,
    aucDifference: difference ?? null,
    comparedRows: compared.filter(Boolean).length,
    kl: own.length === 0 ? null : mean(middle(logRatios)),
    klTokens: own.length === 0 ? 0 : mean(own.map(({ completionIds }) => completionIds.length)),
    probes: { base: measureProbes(baseProbes), candidate: measureProbes(candidateProbes) },
  };
}

/** Each prompt once, in the order of the rows. */
function distinctPrompts(rows: readonly TokenizedRow[], source: readonly FeedbackRow[]): Asked[] {
  const byIndex = new Map(source.map((row) => [row.index, row]));
  const first = new Map<string, number>();
  for (const { promptKey, index } of rows) if (!first.has(promptKey)) first.set(promptKey, index);
  return [...first.values()].map((index) => byIndex.get(index)!);
}

/** The token that ends a completion of this data: of several end tokens a chat template writes one. */
function endTokenOf(rows: readonly TokenizedRow[], { eosTokenId, eosTokenIds }: ChatTokenizer): number | undefined {
  for (const { completionIds } of rows) {
    const end = completionIds.findLast((id) => eosTokenIds.includes(id));
    if (end !== undefined) return end;
  }
  return eosTokenId;
}

/** Answers as sequences to score, with the end token where they ended. An answer without tokens has nothing to score. */
function sequencesOf(answers: readonly TokenAnswer[], endToken: number | undefined): Sequence[] {
  return answers.map(({ promptIds, answerIds, ended }) => ({
    promptIds,
    completionIds: ended && endToken !== undefined ? [...answerIds, endToken] : answerIds,
  })).filter(({ completionIds }) => completionIds.length > 0);
}

/** Share of the answers left out at either end. */
const outlying = 1 / 20;

function middle(values: readonly number[]): number[] {
  const out = Math.floor(values.length * outlying);
  return values.toSorted((a, b) => a - b).slice(out, values.length - out);
}

/** Length, repetition and endings of a model's answers to the probe prompts. */
export function measureProbes(answers: readonly TokenAnswer[]): ProbeMeasurement {
  let tokens = 0, cut = 0, fourGrams = 0, distinct = 0;
  for (const { answerIds, ended } of answers) {
    tokens += answerIds.length;
    if (!ended) cut++;
    const grams = answerIds.slice(3).map((_, i) => answerIds.slice(i, i + 4).join(" "));
    fourGrams += grams.length;
    distinct += new Set(grams).size;
  }
  return {
    prompts: answers.length,
    meanTokens: tokens / answers.length,
    distinctFourGrams: fourGrams === 0 ? 1 : distinct / fourGrams,
    cutOff: cut / answers.length,
  };
}
