// What the trainer and its workers say to each other: plain data that a structured clone can carry. It runs nothing.

import type { Parameter } from "../shared/compiler/compile.ts";
import type { MicroBatch, Sequence } from "../shared/feedback/micro_batch.ts";
import type { Device } from "../shared/runtime/session.ts";

/** Everything a worker needs to open its sessions. */
export interface WorkerSetup {
  device: Device;
  /** Folder of the model's weights. */
  folder: string;
  parameters: Parameter[];
  /** LoRA's reference is rank 0; a fully trained model's reference is the weights it started from. */
  reference: "rank-0" | "initial";
  /** All parameters one after another, shared with the trainer, which writes it between steps. */
  policy: SharedArrayBuffer;
  /** The same at the start of the run, for reference "initial". */
  initial: SharedArrayBuffer;
  scoring: Uint8Array;
  gradient?: Uint8Array;
}

export type Policy = "policy" | "reference";

/** Further inputs of the gradient graph, by name; float32. */
export type ObjectiveInputs = Record<string, { data: Float32Array; shape: number[] }>;

export interface GradientResult {
  loss: number;
  /** Per scored token, padding included. */
  logProbs: Float32Array;
  /** Other outputs of the objective, by name. */
  outputs: Record<string, Float32Array>;
}

/** One prompt to answer. Prompts of one call have the same length. */
export interface GenerationRequest {
  promptIds: number[];
  seed: number;
}

export interface GenerationOptions {
  maxNewTokens: number;
  /** 0 takes the likeliest token. */
  temperature: number;
  stopIds: number[];
}

/** An adapter as generation is fed it: per input name, data and shape in the graph's layout. */
export type AdapterFeeds = Record<string, { data: Float32Array; shape: number[] }>;

/** A generation graph. */
export interface GenerationSetup {
  device: Device;
  folder: string;
  graph: Uint8Array;
}

/** A model folder for transformers.js' own model class. */
export interface StockSetup {
  folder: string;
  dtype: string;
  device: Device;
}

/** The face of a worker. */
export interface ModelWorker {
  /** Keeps a port for as long as the worker lives: its closing tells the pool that the worker has ended. */
  hold(port: MessagePort): void;
  open(setup: WorkerSetup): Promise<void>;
  /** Log-prob of every scored token. `version` changes whenever the policy's parameters did. */
  score(batch: MicroBatch, policy: Policy, version: number): Promise<Float32Array>;
  /** Loss of a micro-batch; its gradients, all parameters one after another, are written to `gradients`. */
  gradient(
    batch: MicroBatch,
    inputs: ObjectiveInputs,
    version: number,
    gradients: SharedArrayBuffer,
  ): Promise<GradientResult>;
  openStock(setup: StockSetup): Promise<void>;
  /** Log-prob of each completion token, by transformers.js. */
  scoreStock(sequence: Sequence): Promise<Float32Array>;
  openGeneration(setup: GenerationSetup): Promise<void>;
  /** Generates under an adapter from now on. */
  setAdapter(tensors: AdapterFeeds): void;
  generate(requests: GenerationRequest[], options: GenerationOptions): Promise<number[][]>;
  /** Closes all sessions. */
  release(): Promise<void>;
}
