// KTO steps on made-up rows, through the same calls as the training loop: compile, score the reference, step, clip,
// AdamW. Measures how long they take. It does not know tables, peers or other processes.

import { createReporter } from "../../../shared/progress.ts";
import { ReferenceCache } from "../../../shared/store/reference_cache.ts";
import { WorkerPool } from "../../../workers/pool.ts";
import { clipGradients, createAdamW } from "../adamw.ts";
import { type KtoBatch, ktoStep, mismatchedPairs } from "../kto_step.ts";
import { planRun } from "../loop.ts";
import { findModel, openModel, startTraining } from "../model.ts";
import { GradientBlocks } from "../parameters.ts";
import { layoutFor, ReferenceScorer } from "../scorer.ts";
import { automaticLearningRate } from "../settings.ts";
import { trainedPart } from "../trained_part.ts";
import { type MemoryPeak, PeakMemory } from "./memory.ts";
import { countTokens, syntheticRows } from "./rows.ts";
import { type StepSettings, trainSettingsOf } from "./settings.ts";

/** What was measured of one configuration. */
export interface StepMeasurement extends MemoryPeak {
  tokensPerSecond: number;
  secondsPerStep: number;
}

/** A model that is ready to take the steps of a configuration. */
export interface Steps {
  /** Where the model's files are. */
  folder: string;
  batches: KtoBatch[];
  /** Takes optimizer step `index` on its batch; the reference is scored in it unless it was precomputed. */
  take: (index: number) => Promise<void>;
}

/** Compiles the model in `pool`, makes the rows and, where asked for, precomputes their reference log-probs. */
export async function prepareSteps(settings: StepSettings, pool: WorkerPool): Promise<Steps> {
  const train = trainSettingsOf(settings);
  const model = openModel(
    await findModel(settings.model, settings.dtype, createReporter({ json: true })),
    settings.dtype,
  );
  const { trained, fill } = await trainedPart(train, model);
  const { policy, compiled } = await startTraining(
    model,
    trained,
    { kind: "kto", beta: train.beta },
    pool,
    "cpu",
    fill,
  );
  const { batchSize, warmupSteps, steps, tokens, seed } = settings;
  const rows = syntheticRows({
    rows: batchSize * (warmupSteps + steps),
    tokens,
    vocabulary: compiled.vocabulary,
    seed,
  });
  const { batches } = planRun(rows, train);
  const layout = layoutFor(compiled, "cpu", train.tokensPerMicroBatch);
  const optimizer = createAdamW(policy.views.map((view) => view.length));
  const blocks = new GradientBlocks(policy);
  const learningRate = automaticLearningRate(model.folder.config, false);
  const freshReference = async (batches: KtoBatch[]) => {
    const reference = new ReferenceScorer(pool, ReferenceCache.open(":memory:"), "bench", layout);
    await reference.prepare(batches.flatMap((batch) => [batch.rows, mismatchedPairs(batch)]));
    return reference;
  };
  const known = settings.precomputed ? await freshReference(batches) : undefined;
  return {
    folder: compiled.folder,
    batches,
    async take(index) {
      const batch = batches[index]!;
      const reference = known ?? await freshReference([batch]);
      const weights = { desirable: 1, undesirable: 1 };
      const { gradients } = await ktoStep(pool, batch, reference, layout, weights, index, blocks);
      clipGradients(gradients, train.maxGradNorm);
      optimizer.step(policy.views, gradients, learningRate);
      if (!known) reference.cache.close();
    },
  };
}

/**
 * Times a configuration in this process, whose peak memory is then the configuration's.
 *
 * @param onStep called after every step, warm-up included
 */
export async function measureSteps(settings: StepSettings, onStep: () => void): Promise<StepMeasurement> {
  const memory = new PeakMemory();
  const pool = await WorkerPool.start(settings.workers, console.error);
  try {
    const { folder, batches, take } = await prepareSteps(settings, pool);
    memory.sample();
    let started = performance.now();
    for (let index = 0; index < batches.length; index++) {
      if (index === settings.warmupSteps) started = performance.now();
      await take(index);
      memory.sample();
      onStep();
    }
    const seconds = (performance.now() - started) / 1000;
    const tokens = countTokens(batches.slice(settings.warmupSteps).flatMap(({ rows }) => rows));
    return {
      tokensPerSecond: tokens / seconds,
      secondsPerStep: seconds / settings.steps,
      ...memory.peak(folder),
    };
  } finally {
    await pool.stop();
  }
}
