// Opens ONNX Runtime sessions the way Prospect needs them: graphs from memory whose weights are ranges of files in the
// model's folder, mapped and shared by every session of the process. It does not know what the graphs compute.

import type { InferenceSession } from "onnxruntime-node";
import { InputError } from "../errors.ts";

export type Device = "cpu" | "webgpu";

/** Session options with the entries of `extra` that onnxruntime-node passes through as strings. */
export type SessionOptions = InferenceSession.SessionOptions;

/**
 * How many threads may have sessions on a device, each its own: as many as asked for, or one per core. On a GPU one, since
 * two sessions that run at once on WebGPU crash onnxruntime-node 1.30 (github.com/microsoft/onnxruntime/issues/32561).
 *
 * @param flag the option that asks, for the message
 * @throws {InputError} for more than one on a GPU
 */
export function workersOn(device: Device, asked: number | undefined, flag = "--workers"): number {
  if (device === "cpu") return asked ?? navigator.hardwareConcurrency;
  if (asked === undefined || asked === 1) return 1;
  throw new InputError(
    `${flag} ${asked} on --device webgpu: ONNX Runtime runs one thread at a time on a GPU; leave it out.`,
  );
}

/**
 * Options for a compiled graph.
 *
 * One thread per session: parallelism comes from workers, and a row's numbers then do not depend on how many threads
 * share a product. Which rows lie in one micro-batch does depend on the workers, and with that the last bit of sums over
 * rows (1e-7 of a loss): the same run has the same bits with as many workers. Weights that must not be packed into a copy
 * per session are declared so in the graph (compiler/weight_reads.ts). No arena and no memory pattern: an arena
 * keeps the most that its session ever used, and a pattern holds a second block of that size beside it (SmolLM2-135M,
 * 384 tokens: 3.7 GB instead of 2.8), for no speed (docs/LOG.md).
 *
 * @param folder where external data is resolved
 */
export function sessionOptions(folder: string, device: Device = "cpu"): SessionOptions {
  return {
    executionProviders: device === "cpu" ? ["cpu"] : ["webgpu", "cpu"],
    graphOptimizationLevel: "disabled",
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: "sequential",
    enableMemPattern: false,
    enableCpuMemArena: false,
    // What fails is thrown, with the same words.
    logSeverityLevel: 4,
    extra: { session: { model_external_initializers_file_folder_path: folder } },
  };
}
