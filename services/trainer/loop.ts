// The KTO training loop: batches, steps, optimizer, metrics, checkpoints, held-out AUC. It runs from any step to the
// end the same way, so a resumed run repeats an undisturbed one, to the bit with as many workers. It does not know files
// of models or reports; those are train.ts's.

import { join } from "node:path";
import { writeFailure, writeFileAtomic } from "../../shared/atomic_file.ts";
import { InputError, InterruptedError } from "../../shared/errors.ts";
import { planEpoch } from "../../shared/feedback/batches.ts";
import { derange, rotate } from "../../shared/feedback/pairing.ts";
import type { TokenizedRow } from "../../shared/feedback/tokenize.ts";
import type { Reporter } from "../../shared/progress.ts";
import { Random } from "../../shared/random.ts";
import { clipGradients, createAdamW } from "./adamw.ts";
import { type Checkpoint, type RunState, writeCheckpoint } from "./checkpoint.ts";
import { type KtoBatch, ktoStep, NonFiniteError } from "./kto_step.ts";
import { type StepMetrics, stepMetrics } from "./metrics.ts";
import type { TrainableModel } from "./model.ts";
import { GradientBlocks } from "./parameters.ts";
import type { Evaluation } from "./report.ts";
import { evaluateRewards } from "./rewards.ts";
import { learningRateAt } from "./schedule.ts";
import type { Layout, ReferenceScorer } from "./scorer.ts";
import type { TrainSettings } from "./settings.ts";

/** Seconds between checkpoints; a kill costs at most this much work. */
const checkpointSeconds = 5;

/** The batches of a run: who is in which batch, and whose completion is whose y', is drawn once. */
export interface Plan {
  batches: KtoBatch[];
  stepsPerEpoch: number;
  totalSteps: number;
  /** The batch that optimizer step `step` (from 0) takes. */
  batchAt: (step: number) => KtoBatch;
  /** The batches that the steps from `step` on take, each once. */
  batchesFrom: (step: number) => KtoBatch[];
}

/**
 * Plans batches and pairs. Composition and pairs stay the same in every epoch, so that reference log-probs are needed
 * once; the order of the batches is drawn anew per epoch unless the file's order is asked for.
 */
export function planRun(rows: readonly TokenizedRow[], settings: TrainSettings, contextLength = Infinity): Plan {
  const { batchSize, order, seed, epochs } = settings;
  const random = new Random(seed ^ 0x5eed);
  const batches = planEpoch(rows, { batchSize, order, seed, epoch: 0 }).map((indices) => {
    const members = indices.map((i) => rows[i]!);
    const partners = settings.pairing === "rotate" ? rotate(members) : derange(members, random);
    return { rows: members, partners, maxLength: Math.min(settings.maxLength, contextLength) };
  });
  const stepsPerEpoch = batches.length;
  const orders = new Map<number, number[]>();
  const orderOf = (epoch: number) => {
    if (!orders.has(epoch)) {
      const inOrder = batches.map((_, i) => i);
      const shuffle = order === "mixed" && epoch > 0;
      orders.set(epoch, shuffle ? new Random((Math.imul(seed, 0x9e3779b1) + epoch) >>> 0).shuffle(inOrder) : inOrder);
    }
    return orders.get(epoch)!;
  };
  const totalSteps = Math.min(settings.maxSteps ?? Infinity, epochs * stepsPerEpoch);
  const batchAt = (step: number) => batches[orderOf(Math.floor(step / stepsPerEpoch))[step % stepsPerEpoch]!]!;
  const batchesFrom = (first: number) => {
    const taken = new Set<KtoBatch>();
    for (let step = first; step < totalSteps && taken.size < batches.length; step++) taken.add(batchAt(step));
    // In the plan's order, so that a sequence of two batches is always laid out by the same one of them.
    return batches.filter((batch) => taken.has(batch));
  };
  return { batches, stepsPerEpoch, totalSteps, batchAt, batchesFrom };
}

export interface LoopInput {
  model: TrainableModel;
  plan: Plan;
  heldOut: readonly TokenizedRow[];
  reference: ReferenceScorer;
  layout: Layout;
  weights: { desirable: number; undesirable: number };
  learningRate: number;
  settings: TrainSettings;
  /** What a fresh run starts with; a resumed one has its checkpoint. */
  state: RunState;
  resumed: Checkpoint | undefined;
  reporter: Reporter;
  interrupted: () => boolean;
}

/** The first of the evaluations with the highest AUC. */
function bestOf(evaluations: readonly Evaluation[]): Evaluation | undefined {
  return evaluations.reduce<Evaluation | undefined>(
    (best, each) => each.auc && !(best && best.auc!.value >= each.auc.value) ? each : best,
    undefined,
  );
}

/** Whether the last `patience` evaluations brought no better AUC than those before. */
function stalled(evaluations: readonly Evaluation[], patience: number): boolean {
  const values = evaluations.flatMap(({ auc }) => auc ? [auc.value] : []);
  if (patience === 0 || values.length <= patience) return false;
  return Math.max(...values.slice(-patience)) <= Math.max(...values.slice(0, -patience));
}

const mendMetrics = "put the file back as the run left it, or begin anew, without --resume.";

/**
 * Brings metrics.jsonl to exactly `steps` lines, the state of the checkpoint.
 *
 * @throws InputError where it has fewer, or one that is not JSON
 */
export async function trimMetrics(path: string, steps: number): Promise<StepMetrics[]> {
  let lines: string[] = [];
  try {
    lines = (await Deno.readTextFile(path)).split("\n").filter((line) => line !== "").slice(0, steps);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  let metrics: StepMetrics[];
  try {
    metrics = lines.map((line) => JSON.parse(line));
  } catch {
    throw new InputError(`${path} is damaged, and the checkpoint is after step ${steps}: ${mendMetrics}`);
  }
  if (metrics.length < steps) {
    const has = metrics.length === 0 ? "is missing or empty" : `has only ${metrics.length} of ${steps} lines`;
    throw new InputError(`${path} ${has}, and the checkpoint is after step ${steps}: ${mendMetrics}`);
  }
  await writeFileAtomic(path, lines.map((line) => line + "\n").join(""));
  return metrics;
}

/** @throws InputError where the disk is full */
async function append(file: Deno.FsFile, path: string, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
  } catch (error) {
    throw writeFailure(path, error);
  }
}

/** What a run came to. */
export interface LoopResult {
  metrics: StepMetrics[];
  state: RunState;
  /** Of the parameters that the policy holds; undefined where nothing was held out. */
  kept: Evaluation | undefined;
}

/**
 * Trains until the planned steps are done, early stopping ends it, or it is interrupted. With early stopping the policy
 * then holds the parameters of the best evaluation, which those who ask for it expect; without, those of the last step.
 *
 * @throws InterruptedError after writing a checkpoint; NonFiniteError naming the rows.
 */
export async function runLoop(input: LoopInput): Promise<LoopResult> {
  const { model, plan, settings, reporter, layout, reference } = input;
  const { policy } = model;
  const optimizer = createAdamW(policy.views.map((view) => view.length), { weightDecay: settings.weightDecay });
  const blocks = new GradientBlocks(policy);
  let state = input.state, best = input.resumed?.best;
  if (input.resumed) {
    state = input.resumed.state;
    policy.fill(input.resumed.parameters);
    optimizer.restore({
      step: state.step,
      firstMoments: policy.split(input.resumed.firstMoments.buffer),
      secondMoments: policy.split(input.resumed.secondMoments.buffer),
    });
  }
  const metricsPath = join(settings.out, "metrics.jsonl");
  const metrics = await trimMetrics(metricsPath, state.step);
  const flat = (parts: Float32Array[]) => {
    const block = new Float32Array(policy.length);
    let offset = 0;
    for (const part of parts) {
      block.set(part, offset);
      offset += part.length;
    }
    return block;
  };
  const started = performance.now(), secondsBefore = state.seconds;
  // A checkpoint is taken at once and reaches the disk while the next steps run.
  let saved: Promise<void> = Promise.resolve();
  const save = async () => {
    await saved;
    // A checkpoint never outlives the lines of its steps, whatever happens to the machine.
    await log.syncData();
    const { firstMoments, secondMoments } = optimizer.state();
    saved = writeCheckpoint(settings.out, {
      state,
      parameters: policy.snapshot(),
      firstMoments: flat(firstMoments),
      secondMoments: flat(secondMoments),
      best,
    });
    // Whoever waits for it next is told.
    saved.catch(() => {});
  };
  const schedule = {
    schedule: settings.schedule,
    learningRate: input.learningRate,
    warmupSteps: Math.ceil(settings.warmupRatio * plan.totalSteps),
    totalSteps: plan.totalSteps,
  };
  const progress = reporter.progress({ label: "training", total: plan.totalSteps, unit: "steps" });
  progress.advance(state.step);
  using log = await Deno.open(metricsPath, { append: true, create: true });
  let savedAt = performance.now();
  try {
    while (state.step < plan.totalSteps && !state.stoppedEarly) {
      const { step } = state, before = performance.now();
      const batch = plan.batchAt(step);
      const result = await ktoStep(model.pool, batch, reference, layout, input.weights, step, blocks);
      const { gradients } = result;
      const gradNorm = clipGradients(gradients, settings.maxGradNorm);
      if (!Number.isFinite(gradNorm)) {
        throw new NonFiniteError(
          `The gradient norm is not finite at step ${step + 1}, rows of lines ${
            batch.rows.map(({ line }) => line).join(", ")
          }.`,
        );
      }
      const learningRate = learningRateAt(step, schedule);
      optimizer.step(policy.views, gradients, learningRate);
      const tokensPerSecond = result.tokens / ((performance.now() - before) / 1000);
      const line = stepMetrics({
        step: step + 1,
        epoch: (step + 1) / plan.stepsPerEpoch,
        loss: result.loss,
        kl: result.kl,
        gradNorm,
        learningRate,
        tokensPerSecond: Math.round(tokensPerSecond * 10) / 10,
        beta: settings.beta,
        logProbs: result.logProbs,
        referenceLogProbs: result.referenceLogProbs,
        desirable: batch.rows.map(({ label }) => label),
      });
      await append(log, metricsPath, JSON.stringify(line) + "\n");
      metrics.push(line);
      reporter.event("step", { ...line });
      const seconds = secondsBefore + (performance.now() - started) / 1000;
      state = { ...state, step: step + 1, tokens: state.tokens + result.tokens, seconds };
      const shown = { loss: Number(result.loss.toFixed(4)) };
      progress.advance(1, shown);

      const epochEnds = state.step % plan.stepsPerEpoch === 0 || state.step === plan.totalSteps;
      if (epochEnds && input.heldOut.length > 0) {
        const { heldOut } = input;
        let scored = 0;
        const tell = (rows: number) => {
          scored += rows;
          progress.advance(
            0,
            scored < heldOut.length ? { ...shown, "held-out": `${scored}/${heldOut.length}` } : shown,
          );
        };
        const measured = await evaluateRewards(heldOut, model.pool, reference, layout, settings.beta, state.step, tell);
        const evaluation: Evaluation = { step: state.step, auc: measured.auc, margin: measured.margin };
        state = { ...state, evaluations: [...state.evaluations, evaluation] };
        if (settings.earlyStop > 0 && bestOf(state.evaluations) === evaluation) best = policy.snapshot();
        reporter.event("evaluation", { ...evaluation });
        if (measured.auc) {
          const { value, low, high } = measured.auc;
          reporter.line(`step ${state.step}: held-out AUC ${value.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`);
        }
        state = { ...state, stoppedEarly: stalled(state.evaluations, settings.earlyStop) };
      }
      const finished = state.step === plan.totalSteps || state.stoppedEarly;
      const interrupted = input.interrupted();
      if (finished || interrupted || performance.now() - savedAt > 1000 * checkpointSeconds) {
        await save();
        savedAt = performance.now();
      }
      if (finished || interrupted) await saved;
      if (interrupted && !finished) {
        throw new InterruptedError(`Interrupted after step ${state.step}; go on with the same command and --resume.`);
      }
    }
  } finally {
    progress.done();
    await saved.catch(() => {});
  }
  if (best === undefined) return { metrics, state, kept: state.evaluations.at(-1) };
  policy.fill(best);
  const kept = bestOf(state.evaluations)!, { value } = kept.auc!;
  reporter.line(`Kept: the parameters of step ${kept.step}, with the best held-out AUC (${value.toFixed(3)}).`);
  return { metrics, state, kept };
}
