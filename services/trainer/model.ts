// Opens a model for training: folder, tokenizer, content hash, compiled graphs, parameters and the workers that hold
// them. One object that the loop, scoring and evaluation share. It does not know data or steps.

import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
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
import { type Graph } from "../../shared/onnx/graph.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { type ChatTokenizer, loadChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";
import { embeddedModelFolder } from "../../shared/runtime/embedded_model.ts";
import { type ModelFolder, resolveModelFolder } from "../../shared/runtime/model_folder.ts";
import { createProgress, createReporter, type Progress } from "../../shared/progress.ts";
import type { Device } from "../../shared/runtime/session.ts";
import { WorkerPool } from "../../workers/pool.ts";
import type { AdapterFeeds } from "../../workers/protocol.ts";
import { ParameterBlock } from "./parameters.ts";

/** Raised whenever the compiled forward pass may give other numbers: cached log-probs of before are then not found. */
const forwardVersion = 2;

/** A model with its tokenizer, before anything is compiled. */
export interface OpenModel {
  folder: ModelFolder;
  tokenizer: ChatTokenizer;
  /** The .onnx file. */
  path: string;
  dtype: string;
}

/**
 * The folder behind `--model`, the embedded model where none is named; downloads a hub model and imports a
 * checkpoint without ONNX files, with a progress bar.
 *
 * @throws InputError where there is no such model
 */
export async function findModel(model: string | undefined, dtype: string, json: boolean): Promise<ModelFolder> {
  let progress: Progress | undefined;
  let current = "", shown = 0;
  try {
    return await resolveModelFolder(model ?? embeddedModelFolder, {
      dtype,
      onRemark: createReporter({ json }).warn,
      onProgress: ({ file, loaded, total }) => {
        if (file !== current) {
          progress?.done();
          [current, shown] = [file, 0];
          progress = createProgress({ label: file, total: total ?? 0, unit: "bytes", json });
        }
        progress?.advance(loaded - shown);
        shown = loaded;
      },
    });
  } finally {
    progress?.done();
  }
}

/** Opens folder and tokenizer and finds the ONNX file of `dtype`. @throws InputError naming what is missing. */
export async function openModel(folder: ModelFolder, dtype: string): Promise<OpenModel> {
  const resolved = folder.resolveDtype(dtype);
  return { folder, tokenizer: await loadChatTokenizer(folder), path: folder.onnxFile(resolved), dtype: resolved };
}

/** sha-256 over the model's files: the graph and every external data file that it names. */
export async function hashModelFiles(path: string, graph: Graph = readModel(path)): Promise<string> {
  const files = new Set([path]);
  for (const { data } of graph.initializers.values()) {
    if (data.kind === "external") files.add(join(dirname(path), data.location));
  }
  const hash = createHash("sha256");
  for (const file of [...files].sort()) {
    using open = await Deno.open(file);
    for await (const chunk of open.readable) hash.update(chunk);
  }
  return hash.digest("hex");
}

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
  const { folder, parameters, scoring, gradient } = compiled;
  const setup = {
    device,
    folder,
    parameters,
    policy: policy.buffer,
    initial,
    scoring,
    ...(gradient ? { gradient } : {}),
  };
  await pool.prepare((worker) => worker.open({ ...setup, reference: full ? "initial" : "rank-0" }));
  return policy;
}

/**
 * Compiles the model, fills its parameters and opens it in every worker.
 *
 * @param fill sets the parameters' first values
 * @throws RefusedModelError where the model cannot be trained
 */
export async function startTraining(
  model: OpenModel,
  trained: Trained,
  objective: Objective,
  pool: WorkerPool,
  device: Device,
  fill: (policy: ParameterBlock) => void,
): Promise<TrainableModel> {
  const compiled = await compileTraining(model.path, model.folder.config, trained, objective);
  const policy = await openInWorkers(pool, compiled, device, fill, trained.kind === "full");
  return { ...model, compiled, policy, pool, device };
}

/**
 * As startTraining, for scoring alone: under an adapter, or the base model.
 *
 * @throws RefusedModelError where the forward pass cannot be compiled
 */
export async function startScoring(
  model: OpenModel,
  adapter: { trained: Lora; fill: (policy: ParameterBlock) => void } | undefined,
  pool: WorkerPool,
  device: Device,
): Promise<ScorableModel> {
  const compiled = await compileScoring(model.path, model.folder.config, adapter?.trained);
  const policy = await openInWorkers(pool, compiled, device, adapter?.fill ?? (() => {}), false);
  return { ...model, compiled, policy, pool, device };
}

/** Opens the model's generation graph in every worker, under an adapter where one is given. */
export async function startGeneration(
  model: OpenModel,
  pool: WorkerPool,
  device: Device,
  adapter?: AdapterFeeds,
): Promise<void> {
  const graph = compileGeneration(model.path, model.folder.config);
  await pool.prepare((worker) => worker.openGeneration({ device, folder: dirname(model.path), graph }));
  if (adapter) await pool.prepare((worker) => worker.setAdapter(adapter));
}
