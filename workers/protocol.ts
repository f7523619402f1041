// What services and their workers say to each other: plain data that a structured clone can carry. It runs nothing.

import type { Parameter } from "../shared/compiler/compile.ts";
import type { MicroBatch, Sequence } from "../shared/feedback/micro_batch.ts";
import type { Device } from "../shared/runtime/session.ts";
import type { SharedWeight } from "../shared/runtime/shared_weights.ts";
import type { Padding } from "./kv_cache.ts";
import type { Lifeline } from "./member.ts";

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
  /** Weights that the sessions are fed instead of mapping them. */
  weights: SharedWeight[];
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

/** One prompt to answer. */
export interface GenerationRequest {
  promptIds: number[];
  seed: number;
  /** Most tokens of the answer. */
  maxNewTokens: number;
}

export interface GenerationOptions {
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
  /** Threads that one run may use. */
  threads: number;
}

/** How a token is drawn; OpenAI's parameters under OpenAI's meaning. */
export interface Sampling {
  /** 0 takes the likeliest token. */
  temperature: number;
  /** Draw among the likeliest tokens that have this much probability together; 1 draws among all. */
  topP: number;
  /** Taken from a token's logit once for each time that it stands in the answer. */
  frequencyPenalty: number;
  /** Taken from the logit of every token that stands in the answer. */
  presencePenalty: number;
  /** Added to the logits, by token id. */
  logitBias: ReadonlyMap<number, number>;
  /** Same seed, same answer. */
  seed: number;
}

/** An answer that a worker is asked for. */
export interface ServingSequence {
  /** Of the asker's choosing; the answer's tokens come under it. */
  id: number;
  promptIds: number[];
  /** Key of a loaded adapter; undefined is the base model. */
  adapter: string | undefined;
  sampling: Sampling;
  maxTokens: number;
  /** Tokens that end the answer; not part of it. */
  stopIds: number[];
  /** How many alternatives to report per token; undefined reports none. */
  topLogProbs: number | undefined;
}

/** A token id with its raw log-prob: log-softmax of the logits, before temperature, penalties and bias. */
export interface ScoredToken {
  token: number;
  logProb: number;
}

/** A drawn token; `top` has the likeliest tokens at its place, the likeliest first. */
export interface DrawnToken extends ScoredToken {
  top: ScoredToken[];
}

export type FinishReason = "stop" | "length";

/** What one step of a worker gave, over all the sequences that it holds. */
export interface ServingStep {
  tokens: { id: number; drawn: DrawnToken }[];
  /** Sequences that ended, after their last token. */
  ended: { id: number; reason: FinishReason }[];
  /** Sequences whose prompt could not be computed, or whose logits are not finite. */
  failed: { id: number; message: string }[];
}

/** A model folder for transformers.js' own model class. */
export interface StockSetup {
  folder: string;
  dtype: string;
  device: Device;
}

/** The face of a worker. */
export interface ModelWorker extends Lifeline {
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
  /** Opens a generation graph; says how rows of different length go together in it. */
  openGeneration(setup: GenerationSetup): Promise<Padding>;
  /** `generate` answers under this adapter from now on. */
  setAdapter(tensors: AdapterFeeds): void;
  generate(requests: GenerationRequest[], options: GenerationOptions): Promise<number[][]>;
  /**
   * From now on steps of admitted sequences are told through `port`, a message each. Sequences without an adapter are
   * answered by the graph that `openGeneration` opened, others by `adapted`, which has LoRA inputs and is opened with the
   * first adapter.
   */
  serve(port: MessagePort, adapted: GenerationSetup): void;
  /** Keeps an adapter under a key for sequences to name. */
  loadAdapter(key: string, tensors: AdapterFeeds): Promise<void>;
  /** Forgets an adapter; sequences that began with it go on. */
  dropAdapter(key: string): void;
  /** Takes sequences in; they are answered side by side with those that are there. */
  admit(sequences: ServingSequence[]): void;
  /** Gives sequences up, at the next step; nothing more is told of them. */
  drop(ids: number[]): void;
  /** Closes all sessions. */
  release(): Promise<void>;
}
