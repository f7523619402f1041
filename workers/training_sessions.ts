// A worker's scoring and gradient sessions: turns micro-batches and parameters into feeds, runs, and hands back plain
// arrays. It does not know the objective, the optimizer or other workers.

import { InferenceSession, Tensor } from "onnxruntime-node";
import { gradientName, rowOfToken } from "../shared/compiler/compile.ts";
import { microBatchFeeds } from "../shared/compiler/feeds.ts";
import { head } from "../shared/compiler/score_head.ts";
import { tree } from "../shared/compiler/specialize.ts";
import type { MicroBatch } from "../shared/feedback/micro_batch.ts";
import { returnAllMemory, returnFreedMemory } from "../shared/runtime/native_memory.ts";
import { type Device, sessionOptions } from "../shared/runtime/session.ts";
import { overShared } from "../shared/runtime/shared_weights.ts";
import type { GradientResult, ObjectiveInputs, Policy, WorkerSetup } from "./protocol.ts";

type Feeds = Record<string, Tensor>;

/**
 * Milliseconds between two returns of freed memory. Micro-batches differ in size, so a session's blocks scatter with time;
 * but a return every step costs the next one 70,000 page faults (docs/LOG.md).
 */
const returnInterval = 10_000;

const size = (shape: readonly number[]) => shape.reduce((product, length) => product * length, 1);

/**
 * A matrix of an adapter that changes nothing: of rank 0 (the open axis of A is its columns, of B its rows), on WebGPU of
 * rank 1 and zero, since a product over an axis of length 0 crashes onnxruntime-node 1.30 there.
 */
function vanishingMatrix(name: string, shape: readonly number[], device: Device): Tensor {
  const rank = device === "webgpu" ? 1 : 0;
  const dims = name.includes(".lora_A.") ? [shape[0]!, rank] : [rank, shape[1]!];
  return new Tensor("float32", new Float32Array(size(dims)), dims);
}

/** An output's values, its native memory given back at once: the garbage collector does not see how large it is. */
function take(tensor: Tensor): Float32Array {
  const values = (tensor.data as Float32Array).slice();
  tensor.dispose();
  return values;
}

export class TrainingSessions {
  #setup: WorkerSetup;
  #scoring: InferenceSession;
  #gradient: InferenceSession | undefined;
  #policy: Feeds = {};
  #policyVersion = -1;
  #returnedAt = -Infinity;
  #reference: Feeds;
  #weights: Feeds;

  private constructor(setup: WorkerSetup, scoring: InferenceSession, gradient: InferenceSession | undefined) {
    this.#setup = setup;
    this.#scoring = scoring;
    this.#gradient = gradient;
    this.#weights = Object.fromEntries(
      setup.weights.map(({ name, shape, data }) => [name, new Tensor("float32", overShared(data), shape)]),
    );
    this.#reference = setup.reference === "rank-0"
      ? Object.fromEntries(
        setup.parameters.map(({ name, shape }) => [name, vanishingMatrix(name, shape, setup.device)]),
      )
      : this.#read(setup.initial);
  }

  static async open(setup: WorkerSetup): Promise<TrainingSessions> {
    const options = sessionOptions(setup.folder, setup.device);
    const scoring = await InferenceSession.create(setup.scoring, options);
    const gradient = setup.gradient && await InferenceSession.create(setup.gradient, options);
    returnAllMemory();
    return new TrainingSessions(setup, scoring, gradient);
  }

  async release(): Promise<void> {
    await this.#scoring.release();
    await this.#gradient?.release();
    returnFreedMemory();
  }

  /** Copies shared parameters into tensors, `into` where given: ONNX Runtime does not take shared memory. */
  #read(shared: SharedArrayBuffer, into: Feeds = {}): Feeds {
    let offset = 0;
    for (const { name, shape } of this.#setup.parameters) {
      const tensor = into[name] ??= new Tensor("float32", new Float32Array(size(shape)), shape);
      (tensor.data as Float32Array).set(new Float32Array(shared, offset * 4, size(shape)));
      offset += size(shape);
    }
    return into;
  }

  #parameters(policy: Policy, version: number): Feeds {
    if (policy === "reference") return this.#reference;
    if (version !== this.#policyVersion) {
      this.#read(this.#setup.policy, this.#policy);
      this.#policyVersion = version;
      if (performance.now() - this.#returnedAt > returnInterval) {
        returnFreedMemory();
        this.#returnedAt = performance.now();
      }
    }
    return this.#policy;
  }

  #tokens(batch: MicroBatch): Feeds {
    return { ...microBatchFeeds(batch, this.#scoring.inputNames.includes(tree.ends)), ...this.#weights };
  }

  /** Log-prob per scored token [tokens]. */
  async score(batch: MicroBatch, policy: Policy, version: number): Promise<Float32Array> {
    const results = await this.#scoring.run({ ...this.#tokens(batch), ...this.#parameters(policy, version) });
    return take(results[head.logProbs]!);
  }

  /** Loss and gradients of one micro-batch. */
  async gradient(
    batch: MicroBatch,
    inputs: ObjectiveInputs,
    version: number,
    gradients: SharedArrayBuffer,
  ): Promise<GradientResult> {
    const session = this.#gradient!;
    const feeds: Feeds = { ...this.#tokens(batch), ...this.#parameters("policy", version) };
    if (session.inputNames.includes(rowOfToken)) {
      feeds[rowOfToken] = new Tensor("int64", batch.rowOfToken, [batch.rowOfToken.length]);
    }
    for (const [name, { data, shape }] of Object.entries(inputs)) feeds[name] = new Tensor("float32", data, shape);
    const results = await session.run(feeds);
    let offset = 0;
    for (const { name, shape } of this.#setup.parameters) {
      const tensor = results[gradientName(name)]!;
      new Float32Array(gradients, offset * 4, size(shape)).set(tensor.data as Float32Array);
      tensor.dispose();
      offset += size(shape);
    }
    const others = session.outputNames.filter((name) =>
      name !== "loss" && name !== head.logProbs && !name.startsWith("gradient/")
    );
    return {
      loss: take(results.loss!)[0]!,
      logProbs: take(results[head.logProbs]!),
      outputs: Object.fromEntries(others.map((name) => [name, take(results[name]!)])),
    };
  }
}
