// Guards against rows that see nothing: which are taken out, and that the numbers stay the same to the bit.

import { assertEquals } from "@std/assert";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { dropEmptyRowGuards } from "../../shared/compiler/empty_rows.ts";
import { Builder } from "../../shared/onnx/builder.ts";
import { cloneGraph, type Graph } from "../../shared/onnx/graph.ts";
import { writeModel } from "../../shared/onnx/write_model.ts";

/** Attention weights as torch exports them, `guarded` by a test of the softmax itself or of something else. */
function attention(guarded: "softmax" | "scores"): Graph {
  const graph: Graph = {
    irVersion: 10,
    opsets: new Map([["", 21]]),
    inputs: [{ name: "scores", dataType: "float32", shape: [2, 3] }],
    outputs: [{ name: "weights" }],
    nodes: [],
    initializers: new Map(),
  };
  const build = new Builder(graph, "attention");
  const softmax = build.operator("Softmax", ["scores"]);
  const test = build.operator("IsNaN", [guarded === "softmax" ? softmax : "scores"]);
  const weights = build.operator("Where", [test, build.float(0), softmax]);
  build.operator("Identity", [weights], {}, { output: "weights" });
  return graph;
}

const operators = (graph: Graph) => graph.nodes.map(({ operator }) => operator);

async function run(graph: Graph): Promise<number[]> {
  const session = await InferenceSession.create(writeModel(graph), { graphOptimizationLevel: "disabled" });
  const scores = new Tensor("float32", Float32Array.of(0.1, -Infinity, -Infinity, 3, -2, 0.5), [2, 3]);
  const { weights } = await session.run({ scores });
  await session.release();
  return [...weights!.data as Float32Array];
}

Deno.test("a softmax that is guarded against NaN is read directly, with the same numbers where a token sees itself", async () => {
  const graph = attention("softmax"), changed = cloneGraph(graph);
  dropEmptyRowGuards(changed);
  assertEquals(operators(changed), ["Softmax", "Identity"]);
  assertEquals(await run(changed), await run(graph));
});

Deno.test("a choice by another value's NaN stays", () => {
  const graph = attention("scores"), before = operators(graph);
  dropEmptyRowGuards(graph);
  assertEquals(operators(graph), before);
});
