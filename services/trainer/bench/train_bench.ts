// `bench train`: which configurations are measured, in which order, and how they are compared. Measuring happens in
// other processes (jobs.ts, peer.ts); this one only waits and prints.

import { InputError } from "../../../shared/errors.ts";
import type { Reporter } from "../../../shared/progress.ts";
import { paddedLength } from "../../../shared/feedback/batches.ts";
import { findModel, openModel } from "../model.ts";
import { type Job, runJob } from "./jobs.ts";
import { measurePeer, type PeerMeasurement } from "./peer.ts";
import { lengthSpread, syntheticRows } from "./rows.ts";
import type { StepSettings } from "./settings.ts";
import type { StepMeasurement } from "./steps.ts";
import { bytes, figures, percent, table, times } from "./tables.ts";
import type { StepWork } from "./flops.ts";

export interface TrainBenchOptions {
  /** Path of the command's own file, to be run again for every measurement. */
  program: string;
  settings: StepSettings;
  peer: string | undefined;
  growth: boolean;
  /** As small as can be: to see that it works, not to learn anything. */
  quick: boolean;
}

/** One row of a growth table. */
interface GrowthRow extends StepMeasurement {
  value: number;
}

interface GrowthPlan {
  title: string;
  key: "tokens" | "batchSize" | "workers";
  values: number[];
}

/** Longest padded sequence that rows of a mean length can have. */
const longest = (tokens: number) => paddedLength(Math.ceil(tokens * (1 + lengthSpread)));

function growthPlans(settings: StepSettings, quick: boolean, maxPositions: number): GrowthPlan[] {
  const cores = Math.max(2, navigator.hardwareConcurrency);
  const doubled = Array.from({ length: Math.floor(Math.log2(cores)) + 1 }, (_, i) => 2 ** i);
  const sorted = (values: number[]) => [...new Set(values)].sort((a, b) => a - b);
  const lengths = quick ? [16, 32] : [64, 128, 256, 512];
  return [
    { title: "sequence length", key: "tokens", values: lengths.filter((tokens) => longest(tokens) <= maxPositions) },
    { title: "batch", key: "batchSize", values: quick ? [2, 4] : [4, 8, 16] },
    { title: "workers", key: "workers", values: sorted([...(quick ? [1, 2] : doubled), settings.workers]) },
  ];
}

const named = (name: string, precomputed: boolean) =>
  `${name}, reference ${precomputed ? "precomputed" : "scored in the step"}`;
const measured = ({ tokensPerSecond, secondsPerStep, peakBytes }: StepMeasurement) => [
  figures(tokensPerSecond),
  figures(secondsPerStep),
  bytes(peakBytes),
];
const forPrograms = ({ tokensPerSecond, secondsPerStep, peakBytes, residentBytes }: StepMeasurement) => ({
  tokens_per_second: tokensPerSecond,
  seconds_per_step: secondsPerStep,
  peak_bytes: peakBytes,
  resident_bytes: residentBytes,
});

function printComparison(ours: PeerMeasurement[], peers: PeerMeasurement[], { line }: Reporter): void {
  const rows = [...ours, ...peers].map((each) => [
    named(each.name, each.precomputed),
    ...measured(each),
    bytes(each.residentBytes),
  ]);
  for (const text of table(["", "tokens/s", "s/step", "peak memory", "VmHWM"], rows)) line(text);
  line("Tokens are the prompt and completion tokens of a step's rows, each counted once, whoever measures.");
  line("Peak memory counts a page once; VmHWM counts the weights' file once per session that maps it.");
  if (peers.length === 0) return;
  line("");
  const ratios = compare(ours, peers).map(({ name, precomputed, speed, memory }) => [
    named(name, precomputed),
    times(speed),
    times(memory),
  ]);
  for (const text of table(["ours against", "speed", "memory"], ratios)) line(text);
}

/** Ours divided by each peer's, like with like. */
function compare(ours: PeerMeasurement[], peers: PeerMeasurement[]) {
  return peers.map(({ name, precomputed, tokensPerSecond, peakBytes }) => {
    const own = ours.find((each) => each.precomputed === precomputed)!;
    return { name, precomputed, speed: own.tokensPerSecond / tokensPerSecond, memory: own.peakBytes / peakBytes };
  });
}

interface Machine {
  peak: number;
  work: StepWork;
  achieved: number;
}

function printMachine({ peak, work, achieved }: Machine, workers: number, { line }: Reporter): void {
  const giga = (value: number) => figures(value / 1e9);
  line("");
  line(
    `A step's matrix products are ${giga(work.flops)} GFLOP (padding included); the whole step runs at ` +
      `${giga(achieved)} GFLOP/s.`,
  );
  line(
    `That is ${percent(achieved / peak)} of the ${
      giga(peak)
    } GFLOP/s that this machine reaches in large fp32 products ` +
      `on ${workers} thread${workers === 1 ? "" : "s"}.`,
  );
  const shown = work.operators.slice(0, 6).map(({ operator, share }) => `${operator} ${percent(share)}`);
  line(`Where the operators' time goes: ${shown.join(", ")}.`);
}

function printGrowth(plan: GrowthPlan, rows: GrowthRow[], { line }: Reporter): void {
  line("");
  const head = [`growth with ${plan.title}`, "tokens/s", "s/step", "peak memory"];
  for (const text of table(head, rows.map((row) => [`${row.value}`, ...measured(row)]))) line(text);
}

/**
 * Measures and prints.
 *
 * @throws InputError for a model or a peer that cannot be measured
 */
export async function benchTrain(options: TrainBenchOptions, reporter: Reporter): Promise<void> {
  const { program, quick } = options;
  const { folder, dtype } = openModel(
    await findModel(options.settings.model, options.settings.dtype, reporter),
    options.settings.dtype,
  );
  const { line } = reporter;
  const settings: StepSettings = { ...options.settings, model: folder.path, dtype };
  const { batchSize, tokens, workers, steps, warmupSteps, loraRank } = settings;
  const maxPositions = Number(folder.config["max_position_embeddings"] ?? Infinity);
  if (longest(tokens) > maxPositions) {
    throw new InputError(
      `--tokens cannot be ${tokens}: ${folder.name} reads at most ${maxPositions}, spread included.`,
    );
  }

  const growing = { ...settings, steps: quick ? 1 : Math.min(2, steps), warmupSteps, precomputed: true };
  const plans = options.growth ? growthPlans(settings, quick, maxPositions) : [];
  const keyOf = ({ tokens, batchSize, workers, precomputed }: StepSettings) =>
    JSON.stringify([tokens, batchSize, workers, precomputed]);
  const queue = new Map<string, StepSettings>();
  for (const precomputed of [true, false]) queue.set(keyOf({ ...settings, precomputed }), { ...settings, precomputed });
  for (const { key, values } of plans) {
    for (const value of values) {
      const configuration = { ...growing, [key]: value };
      if (!queue.has(keyOf(configuration))) queue.set(keyOf(configuration), configuration);
    }
  }

  line(
    `${folder.name} ${dtype}, KTO with LoRA of rank ${loraRank}, batch ${batchSize} of about ${tokens} tokens, ${workers} ` +
      `worker${workers === 1 ? "" : "s"}; ${steps} step${steps === 1 ? "" : "s"} after ${warmupSteps} to warm up.`,
  );
  const total = [...queue.values()].reduce((sum, each) => sum + each.steps + each.warmupSteps, 0);
  const progress = reporter.progress({ label: "steps", total, unit: "steps" });
  const done = new Map<string, StepMeasurement>();
  try {
    for (const [key, configuration] of queue) {
      const { tokens, batchSize, workers } = configuration;
      const job: Job & { kind: "steps" } = { kind: "steps", settings: configuration };
      done.set(key, await runJob(program, job, () => progress.advance(1, { tokens, batch: batchSize, workers })));
    }
  } finally {
    progress.done();
  }
  const resultOf = (configuration: StepSettings) => done.get(keyOf(configuration))!;
  const ours = [true, false].map((precomputed) => (
    { name: "Prospect", precomputed, ...resultOf({ ...settings, precomputed }) }
  ));

  const work = await runJob(program, { kind: "work", settings: { ...settings, precomputed: true } });
  const { flopsPerSecond } = await runJob(program, { kind: "gemm", workers, seconds: quick ? 0.05 : 1 });
  const machine: Machine = { peak: flopsPerSecond, work, achieved: work.flops / ours[0]!.secondsPerStep };

  const rows = syntheticRows({
    rows: batchSize * (warmupSteps + steps),
    tokens,
    vocabulary: folder.config.vocab_size ?? 0,
    seed: settings.seed,
  });
  const peers: PeerMeasurement[] = [];
  let failure: unknown;
  try {
    if (options.peer !== undefined) {
      await measurePeer(options.peer, folder.path, settings, rows, (measurement) => {
        peers.push(measurement);
        const { name, precomputed, tokensPerSecond } = measurement;
        reporter.warn(`${named(name, precomputed)}: ${figures(tokensPerSecond)} tokens/s`);
      });
    }
  } catch (error) {
    // What was measured is shown all the same: it may have taken an hour.
    failure = error;
  }

  line("");
  printComparison(ours, peers, reporter);
  printMachine(machine, workers, reporter);
  const growth = plans.map((plan) => {
    const rows = plan.values.map((value) => ({ value, ...resultOf({ ...growing, [plan.key]: value }) }));
    printGrowth(plan, rows, reporter);
    return { by: plan.title, rows };
  });
  reporter.event("bench", {
    model: folder.name,
    dtype,
    lora_rank: loraRank,
    batch_size: batchSize,
    tokens,
    workers,
    steps,
    warmup_steps: warmupSteps,
    measurements: [...ours, ...peers].map((each) => ({
      name: each.name,
      precomputed: each.precomputed,
      ...forPrograms(each),
    })),
    ratios: compare(ours, peers),
    gemm: {
      peak_flops_per_second: machine.peak,
      step_flops: work.flops,
      flops_per_second: machine.achieved,
      share: machine.achieved / machine.peak,
      operators: work.operators,
    },
    growth: growth.map(({ by, rows }) => ({
      by,
      rows: rows.map((row) => ({ value: row.value, ...forPrograms(row) })),
    })),
  });
  if (failure !== undefined) throw failure;
}
