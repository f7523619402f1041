// Opens a fixture for training inside the test's process: workers, reference scores, batches, and whole runs of the
// trainer into a folder. It compares nothing.

import { mismatchedPairs } from "../../services/trainer/kto_step.ts";
import { findModel, openModel, startTraining, type TrainableModel } from "../../services/trainer/model.ts";
import { planRun } from "../../services/trainer/loop.ts";
import type { StepMetrics } from "../../services/trainer/metrics.ts";
import type { RunResult } from "../../services/trainer/outputs.ts";
import { initializeLora } from "../../services/trainer/parameters.ts";
import { type Layout, layoutFor, ReferenceScorer } from "../../services/trainer/scorer.ts";
import { parseTrainSettings, type TrainSettings } from "../../services/trainer/settings.ts";
import { train } from "../../services/trainer/train.ts";
import { adapterPart } from "../../services/trainer/trained_part.ts";
import { readFeedback } from "../../shared/feedback/read.ts";
import { type TokenizedRow, tokenizeRows } from "../../shared/feedback/tokenize.ts";
import { createReporter } from "../../shared/progress.ts";
import type { Adapter } from "../../shared/runtime/adapter.ts";
import { readSafetensors, toFloat32 } from "../../shared/onnx/safetensors.ts";
import { ReferenceCache } from "../../shared/store/reference_cache.ts";
import { WorkerPool } from "../../workers/pool.ts";
import { withFolder } from "../commands/run_task.ts";

export interface OpenTraining {
  model: TrainableModel;
  pool: WorkerPool;
  rows: TokenizedRow[];
  reference: ReferenceScorer;
  layout: Layout;
  cache: ReferenceCache;
}

export interface TrainingOptions {
  workers?: number;
  tokensPerMicroBatch?: number;
  beta?: number;
  /** Starts from the fixture's adapter, else from a fresh one. */
  adapter?: boolean;
}

/** Opens a fixture with its data, ready for steps, and closes it after. */
export async function withTraining(
  folder: string,
  { workers = 1, tokensPerMicroBatch = 1024, beta = 0.1, adapter = true }: TrainingOptions,
  use: (training: OpenTraining) => Promise<void>,
): Promise<void> {
  const opened = openModel(await findModel(folder, "fp32", createReporter({ json: false })), "fp32");
  const { rows } = tokenizeRows((await readFeedback(`${folder}/data.jsonl`)).rows, opened.tokenizer, {
    maxLength: 1024,
  });
  const { trained, fill } = await adapterPart(`${folder}/adapter`, opened);
  await withFolder(async (temporary) => {
    const cache = ReferenceCache.open(`${temporary}/reference.sqlite`);
    const pool = await WorkerPool.start(workers, console.error);
    try {
      const model = await startTraining(opened, trained, { kind: "kto", beta }, pool, "cpu", (policy) => {
        if (adapter) fill(policy);
        else initializeLora(policy, 0);
      });
      const layout = layoutFor(model.compiled, "cpu", tokensPerMicroBatch);
      const reference = new ReferenceScorer(pool, cache, "test", layout);
      await use({ model, pool, rows, reference, layout, cache });
    } finally {
      await pool.stop();
      cache.close();
    }
  });
}

/** Scores the reference of whole batches. */
export async function prepare(
  { reference }: OpenTraining,
  batches: Parameters<typeof mismatchedPairs>[0][],
): Promise<void> {
  await reference.prepare(batches.flatMap((batch) => [batch.rows, mismatchedPairs(batch)]));
}

/** Batches as a run with these settings would have them. */
export const planned = (rows: readonly TokenizedRow[], settings: Partial<TrainSettings>) =>
  planRun(rows, parseTrainSettings({ out: "unused", ...settings }));

export interface QuietRun {
  result: RunResult;
  metrics: StepMetrics[];
  warnings: string[];
}

/** A whole run of the trainer on a fixture into `folder`/run, with a cache of its own and nothing printed. */
export async function runQuietly(
  fixture: string,
  folder: string,
  settings: Record<string, unknown>,
  interrupted: () => boolean = () => false,
): Promise<QuietRun> {
  const warnings: string[] = [], out = `${folder}/run`;
  const before = Deno.env.get("PROSPECT_CACHE");
  Deno.env.set("PROSPECT_CACHE", `${folder}/cache`);
  try {
    const parsed = parseTrainSettings({
      model: fixture,
      data: `${fixture}/data.jsonl`,
      out,
      device: "cpu",
      ...settings,
    });
    const reporter = createReporter({ json: false, out: () => {}, err: (line) => warnings.push(line) });
    const result = await train(parsed, reporter, interrupted);
    return { result, metrics: readMetrics(out), warnings };
  } finally {
    if (before === undefined) Deno.env.delete("PROSPECT_CACHE");
    else Deno.env.set("PROSPECT_CACHE", before);
  }
}

export const readMetrics = (out: string): StepMetrics[] =>
  Deno.readTextFileSync(`${out}/metrics.jsonl`).split("\n").filter((line) => line !== "").map((line) =>
    JSON.parse(line)
  );

/** All float tensors of a file, for golden.safetensors. */
export async function floatTensors(path: string): Promise<Adapter["tensors"]> {
  return new Map([...await readSafetensors(path)].map(([name, tensor]) => [
    name,
    { shape: tensor.shape, data: toFloat32(tensor) },
  ]));
}
