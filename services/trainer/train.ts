// One training run from settings to files: opens model and data, scores the reference, runs the loop, and leaves
// adapter, metrics, run.json and report behind. The command and the trainer service both call this; it parses no
// arguments and sets no exit codes.

import { join } from "node:path";
import { ensureWritableFolder } from "../../shared/atomic_file.ts";
import { counted } from "../../shared/counted.ts";
import { InputError, InterruptedError } from "../../shared/errors.ts";
import { countUnpaired } from "../../shared/feedback/pairing.ts";
import { lockOutputFolder, type OutputLock } from "../../shared/output_lock.ts";
import { type Reporter, withProgress } from "../../shared/progress.ts";
import { parseTensorName, writeAdapter } from "../../shared/runtime/adapter.ts";
import { cacheFolder } from "../../shared/runtime/cache_folder.ts";
import { embeddedFeedback } from "../../shared/runtime/embedded_model.ts";
import { contextLengthOf, widthOf } from "../../shared/runtime/model_sizes.ts";
import { returnAllMemory } from "../../shared/runtime/native_memory.ts";
import type { Device } from "../../shared/runtime/session.ts";
import { ReferenceCache } from "../../shared/store/reference_cache.ts";
import { WorkerPool } from "../../workers/pool.ts";
import { readCheckpoint, removeCheckpoint, type RunState } from "./checkpoint.ts";
import { prepareData, type TrainingData } from "./data.ts";
import { exportFullModel } from "./full_model.ts";
import { PromptSet, readTrainedPrompts, writeTrainedPrompts } from "./held_out.ts";
import { type KtoBatch, mismatchedPairs } from "./kto_step.ts";
import { planRun, runLoop } from "./loop.ts";
import { findModel, openModel, referenceKey, startTraining } from "./model.ts";
import { printResult, type RunResult, writeOutputs } from "./outputs.ts";
import { saveLora, servingFeeds } from "./parameters.ts";
import { runIdentity } from "./run_identity.ts";
import { answerSamples, type SampleAnswers } from "./sample_answers.ts";
import { layoutFor, ReferenceScorer } from "./scorer.ts";
import { automaticLearningRate, measuredWidth, type TrainSettings } from "./settings.ts";
import { describeStart, newAdapterConfig, settingsOf, trainedPart } from "./trained_part.ts";

/** Finds the device that `auto` stands for. A GPU is only used where asked for: sessions on it are not bit-exact. */
const deviceOf = (settings: TrainSettings): Device => settings.device === "webgpu" ? "webgpu" : "cpu";

/**
 * Scores what the run will need of the reference: the batches that it takes, and what is held out.
 *
 * @throws InterruptedError; what was scored by then is stored
 */
async function prepareReference(
  reference: ReferenceScorer,
  batches: KtoBatch[],
  data: TrainingData,
  reporter: Reporter,
  interrupted: () => boolean,
): Promise<void> {
  const lists = [...batches.flatMap((batch) => [batch.rows, mismatchedPairs(batch)]), data.heldOut];
  const total = lists.reduce((sum, list) => sum + list.length, 0);
  await withProgress(
    reporter,
    { label: "reference", total, unit: "rows" },
    (advance) =>
      reference.prepare(lists, (count) => {
        advance(count);
        if (!interrupted()) return;
        throw new InterruptedError(
          "Interrupted while the reference was scored; go on with the same command and --resume.",
        );
      }),
  );
}

/** What rows mean for z0 that no other answer of their batch can be held against. */
function describeUnpaired(unpaired: number, rows: number): string {
  if (unpaired < rows) {
    return `${unpaired} of ${
      counted(rows, "row")
    } without a mismatched answer in the batch; z0 is the mean over the others.`;
  }
  return `no row has a mismatched answer in its batch, so z0 is 0 throughout; take a --batch-size of 2 or more, and rows ` +
    `of more than one prompt.`;
}

/**
 * Runs a training job.
 *
 * It may be called again and again, by one caller at a time for a folder; a second is refused. With `resume` it goes on after
 * an end at any moment, a crash included, and ends as if nothing had happened; where there is nothing yet it begins.
 *
 * @param interrupted asked between steps and while the reference is scored; true ends the run, with a checkpoint once
 * steps were taken
 * @throws InputError for unusable input (nothing is written before it is known to be usable)
 * @throws InterruptedError
 */
export async function train(
  settings: TrainSettings,
  reporter: Reporter,
  interrupted: () => boolean,
): Promise<RunResult> {
  const started = performance.now();
  const { out } = settings;
  const embedded = settings.model === undefined;
  if (!embedded && settings.data === undefined) {
    throw new InputError(
      "--data: say which feedback file to train on (the embedded one only fits the embedded model).",
    );
  }
  // Before the long work, where that is possible: a folder that is not there yet is made once all is known to be usable.
  const isThere = await Deno.stat(out).then(({ isDirectory }) => isDirectory, () => false);
  using early = isThere ? await lockOutputFolder(out) : undefined;
  const device = deviceOf(settings);
  const model = openModel(await findModel(settings.model, settings.dtype, reporter), settings.dtype);
  const trainedBefore = settings.initAdapter ? await readTrainedPrompts(settings.initAdapter) : new PromptSet();
  const data = await prepareData(settings.data ?? embeddedFeedback, model, settings, trainedBefore, reporter, () => {
    if (interrupted()) throw new InterruptedError("Interrupted while rows were tokenised; nothing was trained yet.");
  });
  const { trained, fill, adapter } = await trainedPart(settings, model);
  const plan = planRun(data.train, settings, contextLengthOf(model.folder.config));
  const unpaired = countUnpaired(plan.batches.flatMap(({ partners }) => partners));
  if (unpaired > 0) data.warnings.push(describeUnpaired(unpaired, data.train.length));
  if (settings.learningRate === "auto" && widthOf(model.folder.config) === undefined) {
    data.warnings.push(
      `${model.folder.path}/config.json does not say how wide the model is; the learning rate is that of a width of ` +
        `${measuredWidth}: choose one with --learning-rate.`,
    );
  }
  if (adapter) reporter.line(describeStart(settings.initAdapter!, adapter));
  for (const note of data.notes) reporter.line(note);
  for (const warning of data.warnings) reporter.warn(`Warning: ${warning}`);

  const modelKey = await referenceKey(model, device);
  const cachePath = join(cacheFolder(), "reference.sqlite");
  const cache = ReferenceCache.open(cachePath);
  const workers = settings.workers ?? navigator.hardwareConcurrency;
  const pool = await WorkerPool.start(workers, reporter.warn);
  let late: OutputLock | undefined;
  try {
    const trainable = await startTraining(model, trained, { kind: "kto", beta: settings.beta }, pool, device, fill);
    const { policy, compiled } = trainable;
    const config = settings.full ? undefined : adapter?.config ?? newAdapterConfig(settings, compiled.layers, model);
    await ensureWritableFolder(out);
    late = early ? undefined : await lockOutputFolder(out);
    const identity = runIdentity(settings, modelKey, [...data.train, ...data.heldOut]);
    const resumed = settings.resume ? await readCheckpoint(out, identity, policy.length) : undefined;
    if (!settings.resume) await removeCheckpoint(out);
    if (settings.resume) {
      reporter.line(
        resumed ? `Going on after step ${resumed.state.step}.` : "No checkpoint here yet: starting from the beginning.",
      );
    }
    const { workers: before = workers } = resumed?.state ?? {};
    if (before !== workers) {
      reporter.warn(
        `The run began with ${
          counted(before, "worker")
        }: with ${workers}, it ends as it would have but for rounding, not ` +
          `to the same bytes.`,
      );
    }
    const layout = layoutFor(compiled, device, settings.tokensPerMicroBatch);
    const reference = new ReferenceScorer(pool, cache, modelKey, layout);
    await prepareReference(reference, plan.batchesFrom(resumed?.state.step ?? 0), data, reporter, interrupted);
    const { computed, cached } = reference;
    reporter.event("reference", { computed, cached });
    reporter.line(`Reference log-probs: ${computed} computed, ${cached} from the cache (${cachePath}).`);

    // Steps take the most memory of a run: what came before leaves a hundred megabytes that nothing reads any more.
    returnAllMemory();
    const learningRate = settings.learningRate === "auto"
      ? automaticLearningRate(model.folder.config, settings.full)
      : settings.learningRate;
    const fresh: RunState = {
      runKey: identity.key,
      identity,
      step: 0,
      workers,
      evaluations: [],
      stoppedEarly: false,
      tokens: 0,
      seconds: 0,
    };
    const { metrics, state, kept } = await runLoop({
      model: trainable,
      plan,
      heldOut: data.heldOut,
      reference,
      layout,
      weights: data.weights,
      learningRate,
      settings,
      state: fresh,
      resumed,
      reporter,
      interrupted,
    });

    await pool.stop();
    let answered: SampleAnswers = { samples: [] };
    if (config === undefined || trained.kind === "full") await exportFullModel(join(out, "model"), model, policy);
    else {
      const tuned = { config, tensors: saveLora(policy) };
      await writeAdapter(join(out, "adapter"), tuned);
      const trainedOn = [...trainedBefore.toJSON(), ...data.train.map(({ promptKey }) => promptKey)];
      await writeTrainedPrompts(join(out, "adapter"), new PromptSet(trainedOn));
      const { seed } = settings;
      const feeds = servingFeeds(tuned.tensors, (name) => trained.scalingOf(parseTensorName(name)!.module));
      const what = { model, embedded, data, adapter: feeds, workers, device, seed };
      answered = await answerSamples(what, reporter, interrupted);
    }
    const { samples, desirableRate, behaviour } = answered;
    const seconds = (performance.now() - started) / 1000;
    const result: RunResult = {
      auc: kept?.auc ?? null,
      ...(settings.earlyStop > 0 && kept ? { kept_step: kept.step } : {}),
      trained_tokens: state.tokens,
      tokens_per_second: Math.round(state.tokens / Math.max(state.seconds, 1e-9)),
      reference: { computed, cached },
      ...(desirableRate ? { desirable_rate: desirableRate } : {}),
      ...(behaviour ? { behaviour } : {}),
      steps: state.step,
      seconds: Math.round(seconds * 10) / 10,
    };
    await writeOutputs({
      out,
      title: `KTO on ${embedded ? "the embedded world" : model.folder.name}`,
      settings: {
        ...settings,
        ...(adapter ? settingsOf(adapter) : {}),
        workers,
        device,
        dtype: model.dtype,
        learningRate,
      },
      model,
      modelKey,
      data,
      metrics,
      state,
      samples,
      result,
    });
    reporter.event("done", { ...result });
    printResult(result, out, settings.full, reporter);
    return result;
  } finally {
    await pool.stop();
    cache.close();
    late?.release();
  }
}
