// Readies an opened model for training: compiled graphs, parameters and the workers that hold them. One object that the
// loop, scoring and evaluation share. It does not know data or steps.

import {
  type CompiledModel,
  type CompiledScoring,
  compileGeneration,
  compileScoring,
  compileTraining,
  type Lora,
  type Objective,
  type Trained,
} from "../../shared/compiler/compile.ts";
import { checkFile } from "../../shared/compiler/check_file.ts";
import { weightsFolder } from "../../shared/onnx/external_data.ts";
import { withoutDefaults } from "../../shared/compiler/weight_reads.ts";
import { checkDevice } from "../../shared/runtime/gpu.ts";
import { hashModelFiles, type OpenModel } from "../../shared/runtime/open_model.ts";
import type { Device } from "../../shared/runtime/session.ts";
import { readSharedWeights } from "../../shared/runtime/shared_weights.ts";
import { WorkerPool } from "../../workers/pool.ts";
import type { AdapterFeeds } from "../../workers/protocol.ts";
import { ParameterBlock } from "./parameters.ts";

export { findModel, hashModelFiles, type OpenModel, openModel } from "../../shared/runtime/open_model.ts";

/** Raised whenever the compiled forward pass may give other numbers: cached log-probs of before are then not found. */
const forwardVersion = 4;

/** What reference log-probs depend on besides the token ids. */
export async function referenceKey({ path, tokenizer }: OpenModel, device: Device): Promise<string> {
  return [await hashModelFiles(path), tokenizer.contentHash, device, `forward ${forwardVersion}`].join(" ");
}

/** A model that workers are ready to score. */
export interface ScorableModel extends OpenModel {
  compiled: CompiledScoring;
  policy: ParameterBlock;
  pool: WorkerPool;
  device: Device;
}

/** A model that workers are ready to train. */
export interface TrainableModel extends ScorableModel {
  compiled: CompiledModel;
}

async function openInWorkers(
  pool: WorkerPool,
  compiled: CompiledScoring & { gradient?: Uint8Array },
  device: Device,
  fill: (policy: ParameterBlock) => void,
  full: boolean,
): Promise<ParameterBlock> {
  const policy = new ParameterBlock(compiled.parameters);
  fill(policy);
  const initial = new SharedArrayBuffer(full ? policy.buffer.byteLength : 0);
  if (full) new Float32Array(initial).set(new Float32Array(policy.buffer));
  // A GPU would be handed them anew in every run.
  const tables = device === "cpu" ? compiled.tables : [];
  const { folder, parameters, scoring, gradient } = compiled;
  const setup = {
    device,
    folder,
    parameters,
    policy: policy.buffer,
    initial,
    weights: readSharedWeights(folder, tables),
    scoring: withoutDefaults(scoring, tables),
    ...(gradient ? { gradient: withoutDefaults(gradient, tables) } : {}),
  };
  await pool.prepare((worker) => worker.open({ ...setup, reference: full ? "initial" : "rank-0" }));
  return policy;
}

/**
 * Compiles the model, fills its parameters and opens it in every worker.
 *
 * @param fill sets the parameters' first values
 * @throws RefusedModelError where the model cannot be trained
 * @throws InputError where the device cannot run it
 */
export async function startTraining(
  model: OpenModel,
  trained: Trained,
  objective: Objective,
  pool: WorkerPool,
  device: Device,
  fill: (policy: ParameterBlock) => void,
): Promise<TrainableModel> {
  await checkDevice(model, device);
  const compiled = await compileTraining(model.path, model.folder.config, trained, objective);
  const policy = await openInWorkers(pool, compiled, device, fill, trained.kind === "full");
  return { ...model, compiled, policy, pool, device };
}

/**
 * As startTraining, for scoring alone: under an adapter, or the base model.
 *
 * @throws RefusedModelError where the forward pass cannot be compiled
 * @throws InputError where the device cannot run it
 */
export async function startScoring(
  model: OpenModel,
  adapter: { trained: Lora; fill: (policy: ParameterBlock) => void } | undefined,
  pool: WorkerPool,
  device: Device,
): Promise<ScorableModel> {
  await checkDevice(model, device);
  const compiled = await compileScoring(model.path, model.folder.config, adapter?.trained);
  const policy = await openInWorkers(pool, compiled, device, adapter?.fill ?? (() => {}), false);
  return { ...model, compiled, policy, pool, device };
}

/**
 * Opens the model's generation graph in every worker, under an adapter where one is given.
 *
 * @throws InputError where the device cannot run it
 */
export async function startGeneration(
  model: OpenModel,
  pool: WorkerPool,
  device: Device,
  adapter?: AdapterFeeds,
): Promise<void> {
  await checkDevice(model, device);
  const graph = compileGeneration(model.path, model.folder.config);
  await checkFile(model.path);
  const setup = { device, folder: weightsFolder(model.path), graph, threads: 1 };
  await pool.prepare(async (worker) => void await worker.openGeneration(setup));
  if (adapter) await adaptGeneration(pool, adapter);
}

/** Lets the workers that startGeneration has readied answer under an adapter from here on. */
export async function adaptGeneration(pool: WorkerPool, adapter: AdapterFeeds): Promise<void> {
  await pool.prepare((worker) => worker.setAdapter(adapter));
}
