// Entry of a Web Worker that multiplies matrices for a while. It does not know about other workers.

import { expose } from "comlink";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { Builder } from "../../../shared/onnx/builder.ts";
import type { Graph } from "../../../shared/onnx/graph.ts";
import { writeModel } from "../../../shared/onnx/write_model.ts";
import { sessionOptions } from "../../../shared/runtime/session.ts";

let session: InferenceSession | undefined;
let feeds: Record<string, Tensor> = {};
let flops = 0;

/** A square product whose right side is a weight. */
function productGraph(size: number): Graph {
  const bytes = new Uint8Array(new Float32Array(size * size).fill(0.5).buffer);
  const graph: Graph = {
    irVersion: 10,
    opsets: new Map([["", 21]]),
    inputs: [{ name: "a", dataType: "float32", shape: [size, size] }],
    outputs: [{ name: "product" }],
    nodes: [],
    initializers: new Map([["b", {
      name: "b",
      dataType: "float32",
      dims: [size, size],
      data: { kind: "inline", bytes },
    }]]),
  };
  new Builder(graph, "gemm").operator("MatMul", ["a", "b"], {}, { output: "product" });
  return graph;
}

const worker = {
  async open(size: number): Promise<void> {
    // Unlike in training, weights may be packed beforehand: this is the peak, whatever it takes.
    const { extra: _, ...options } = sessionOptions(".");
    session = await InferenceSession.create(writeModel(productGraph(size)), options);
    feeds = { a: new Tensor("float32", new Float32Array(size * size).fill(0.25), [size, size]) };
    flops = 2 * size ** 3;
    await worker.run(0);
  },
  /** Multiplies for some seconds, at least once; FLOP per second. */
  async run(seconds: number): Promise<number> {
    const started = performance.now();
    let products = 0, elapsed = 0;
    do {
      (await session!.run(feeds)).product!.dispose();
      products++;
      elapsed = (performance.now() - started) / 1000;
    } while (elapsed < seconds);
    return products * flops / elapsed;
  },
};

export type GemmWorker = typeof worker;

expose(worker);
