// Measures one cell of the survey, on the path that training takes: the same opening, workers, scoring and step. Each
// stage is handed over as soon as it is known, so that a crash in the next one does not lose it.

import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { compileScoring } from "../../../shared/compiler/compile.ts";
import { microBatchFeeds } from "../../../shared/compiler/feeds.ts";
import { InputError } from "../../../shared/errors.ts";
import { packRows } from "../../../shared/feedback/micro_batch.ts";
import { rotate } from "../../../shared/feedback/pairing.ts";
import { readFeedback } from "../../../shared/feedback/read.ts";
import { type TokenizedRow, tokenizeRows } from "../../../shared/feedback/tokenize.ts";
import { readSafetensors, toFloat32 } from "../../../shared/onnx/safetensors.ts";
import { createReporter } from "../../../shared/progress.ts";
import { NoFloat16Error, NoGpuError } from "../../../shared/runtime/gpu.ts";
import type { Device } from "../../../shared/runtime/session.ts";
import { ReferenceCache } from "../../../shared/store/reference_cache.ts";
import { WorkerPool } from "../../../workers/pool.ts";
import { gradientNorm } from "../adamw.ts";
import { ktoStep, mismatchedPairs, NonFiniteError } from "../kto_step.ts";
import { findModel, type OpenModel, openModel, startScoring, startTraining, type TrainableModel } from "../model.ts";
import { GradientBlocks } from "../parameters.ts";
import { layoutFor, logProb, ReferenceScorer, scoreSequences } from "../scorer.ts";
import { adapterPart } from "../trained_part.ts";
import { holds, limits, type Stage } from "./cell.ts";
import { findSuspect } from "./suspect.ts";
import { withWholeFolder } from "./whole_folder.ts";

/** One file of a fixture folder on one device. */
export interface Subject {
  folder: string;
  /** Name of the .onnx file. */
  file: string;
  dtype: string;
  device: Device;
  /** How many rows are scored; a software GPU has no time for all. */
  rows: number;
}

const beta = 0.1, batchSize = 4, weights = { desirable: 1, undesirable: 1.25 };

const readJson = async (path: string) => JSON.parse(await Deno.readTextFile(path));

/** Runs a stage; what it throws becomes its finding. */
export async function stageOf(run: () => Promise<Stage>): Promise<Stage> {
  try {
    return await run();
  } catch (error) {
    const sentence = (error as Error).message;
    if (error instanceof NoGpuError) {
      return { kind: "untested", sentence: "There was no GPU, and no SwiftShader (Debian: chromium and libvulkan1)." };
    }
    if (error instanceof NoFloat16Error) {
      return {
        kind: "refused",
        sentence: "The GPU's shaders have no 16-bit floats (SwiftShader's have not); fp32, q4 and q8 need none.",
      };
    }
    return { kind: error instanceof InputError ? "refused" : "broken", sentence };
  }
}

/** Sums of log-probs that the file should give: TRL's for fp32 where they are known, else stock ONNX Runtime's. */
async function oracle({ folder, file, dtype }: Subject): Promise<number[]> {
  const golden = dtype === "fp32" ? await readJson(join(folder, "golden.json")).catch(() => undefined) : undefined;
  const known = golden?.ref_logps ?? (await readJson(join(folder, "log_probs.json")))[basename(file, ".onnx")];
  if (!Array.isArray(known)) throw new InputError(`${folder}/log_probs.json has no numbers for ${file}.`);
  return known as number[];
}

async function scoring(subject: Subject, model: OpenModel, rows: TokenizedRow[], pool: WorkerPool): Promise<Stage> {
  const expected = await oracle(subject);
  const { compiled } = await startScoring(model, undefined, pool, subject.device);
  const layout = layoutFor(compiled, subject.device, undefined);
  const some = rows.slice(0, subject.rows);
  const scored = await scoreSequences(pool, some, layout, "policy", 0);
  const errors = scored.map((values, i) => Math.abs(logProb(values) / expected[some[i]!.index]! - 1));
  // Maximum and JSON would both lose a value that is not a number.
  if (!errors.every(Number.isFinite)) throw new NonFiniteError("A log-prob is not finite.");
  return { kind: "measured", error: Math.max(...errors) };
}

/** Largest difference of the gradients from TRL's, relative to each tensor's largest element; null without goldens. */
function gradientError(
  { folder, dtype, rows }: Subject,
  { compiled }: TrainableModel,
  gradients: Float32Array[],
): number | null {
  if (dtype !== "fp32" || rows < batchSize) return null;
  const path = join(folder, "golden.safetensors");
  if (!existsSync(path)) return null;
  const golden = readSafetensors(path);
  const errors = compiled.parameters.map(({ name, shape }, p) => {
    const expected = toFloat32(golden.get(`kto_beta${beta}/batch0/grad/${name}`)!), [height, width] = shape;
    const largest = expected.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
    // PEFT's matrices are the transposes of the graph's.
    const off = gradients[p]!.reduce(
      (most, each, i) => Math.max(most, Math.abs(each - expected[(i % width!) * height! + Math.floor(i / width!)]!)),
      0,
    );
    return off / largest;
  });
  return Math.max(...errors);
}

async function training(subject: Subject, model: OpenModel, rows: TokenizedRow[], pool: WorkerPool): Promise<Stage> {
  const { device } = subject, part = await adapterPart(join(subject.folder, "adapter"), model);
  const trainable = await startTraining(model, part.trained, { kind: "kto", beta }, pool, device, part.fill);
  const layout = layoutFor(trainable.compiled, device, undefined);
  const members = rows.slice(0, Math.min(batchSize, subject.rows));
  const batch = { rows: members, partners: rotate(members) };
  const temporary = await Deno.makeTempDir(), cache = ReferenceCache.open(join(temporary, "reference.sqlite"));
  try {
    const reference = new ReferenceScorer(pool, cache, "survey", layout);
    await reference.prepare([members, mismatchedPairs(batch)]);
    const blocks = new GradientBlocks(trainable.policy);
    const step = (version: number) => ktoStep(pool, batch, reference, layout, weights, version, blocks);
    const { loss: before, gradients } = await step(0);
    const error = gradientError(subject, trainable, gradients);
    // Far enough down for the loss to move by a hundredth, if it were straight.
    const rate = 0.01 / gradientNorm(gradients) ** 2;
    trainable.policy.views.forEach((view, p) => gradients[p]!.forEach((each, i) => view[i]! -= rate * each));
    const { loss: after } = await step(1);
    return { kind: "measured", error, loss: { before, after } };
  } finally {
    cache.close();
    await Deno.remove(temporary, { recursive: true });
  }
}

/** The operator that the device computes otherwise than the CPU, in the scoring graph of one row. */
async function suspectIn({ device }: Subject, model: OpenModel, row: TokenizedRow): Promise<string | undefined> {
  const { scoring, folder, tokenMultiple } = await compileScoring(model.path, model.folder.config, undefined);
  const feeds = microBatchFeeds(packRows([row], tokenMultiple));
  return await findSuspect(scoring, folder, feeds, device);
}

/** What is found out, as soon as it is. */
export type Finding = { stage: "scoring" | "training"; finding: Stage } | { suspect: string };

/** Measures a cell and hands over each finding when it is known. */
export async function measureCell(subject: Subject, found: (finding: Finding) => void): Promise<void> {
  await withWholeFolder(subject.folder, (whole) => measureIn(whole, subject, found));
}

/** @param whole where tokenizer and rows are; what is measured stays where it lies, so that sentences name that place */
async function measureIn(whole: string, subject: Subject, found: (finding: Finding) => void): Promise<void> {
  const { folder, dtype, device, file } = subject;
  const opened = openModel(await findModel(whole, "auto", createReporter({ json: false })), "auto");
  const model = { ...opened, dtype, path: join(folder, "onnx", file) };
  const { rows: read } = await readFeedback(join(whole, "data.jsonl"));
  const { rows } = tokenizeRows(read, model.tokenizer, { maxLength: 1024, dropDuplicates: false });
  const most = limits(subject);
  let off = false;
  for (
    const [stage, run, limit] of [["scoring", scoring, most.scoring], ["training", training, most.gradients]] as const
  ) {
    const pool = await WorkerPool.start(1, () => {});
    try {
      const finding = await stageOf(() => run(subject, model, rows, pool));
      found({ stage, finding });
      off ||= finding.kind === "measured" && !holds(finding, limit);
    } finally {
      await pool.stop();
    }
  }
  if (!off || device === "cpu") return;
  const suspect = await suspectIn(subject, model, rows[0]!);
  if (suspect !== undefined) found({ suspect });
}
