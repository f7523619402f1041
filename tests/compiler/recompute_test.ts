// Values that are computed again for the backward pass: what is kept, and that the numbers stay the same to the bit.

import { assert, assertEquals } from "@std/assert";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { recomputeLate } from "../../shared/compiler/recompute.ts";
import { Builder } from "../../shared/onnx/builder.ts";
import { cloneGraph, type Graph, prune, sortTopologically } from "../../shared/onnx/graph.ts";
import { writeModel } from "../../shared/onnx/write_model.ts";

/** A gated layer, `sigmoid(x)·x·w + x`, and a "backward pass" that reads the gate's product and the sum. */
function tiny(): { graph: Graph; forward: Set<Graph["nodes"][number]>; product: string; sum: string } {
  const graph: Graph = {
    irVersion: 10,
    opsets: new Map([["", 21]]),
    inputs: [{ name: "x", dataType: "float32", shape: [4] }, { name: "w", dataType: "float32", shape: [4] }],
    outputs: [],
    nodes: [],
    initializers: new Map(),
  };
  const build = new Builder(graph, "forward");
  const product = build.multiply(build.multiply(build.operator("Sigmoid", ["x"]), "x"), "w");
  const sum = build.add(product, "x");
  const forward = new Set(graph.nodes);
  build.operator("Identity", [sum], {}, { output: "y" });
  const back = new Builder(graph, "backward");
  back.operator("Add", [product, sum], {}, { output: "gradient" });
  graph.outputs = [{ name: "y" }, { name: "gradient" }];
  return { graph, forward, product, sum };
}

Deno.test("the backward pass reads copies of cheap values, and a sum of activations as it was kept", () => {
  const { graph, forward, product, sum } = tiny();
  recomputeLate(graph, forward);
  const reader = graph.nodes.find(({ outputs }) => outputs[0] === "gradient")!;
  assertEquals(reader.inputs, [`${product}/again`, sum]);
  const again = graph.nodes.filter(({ name }) => name.endsWith("/again")).map(({ operator }) => operator);
  assertEquals(again.sort(), ["Mul", "Mul", "Sigmoid"]);
  for (const node of forward) assert(node.inputs.every((input) => !input.endsWith("/again")));
});

Deno.test("what is computed again has the same bits", async () => {
  const { graph, forward } = tiny(), changed = cloneGraph(graph);
  recomputeLate(changed, new Set(changed.nodes.slice(0, forward.size)));
  const results = await Promise.all([graph, changed].map(async (each) => {
    prune(each);
    sortTopologically(each);
    const session = await InferenceSession.create(writeModel(each), { graphOptimizationLevel: "disabled" });
    const feed = (...values: number[]) => new Tensor("float32", Float32Array.from(values), [4]);
    const { y, gradient } = await session.run({ x: feed(0.1, -2, 3.3, 0), w: feed(1.7, 0.2, -1, 5) });
    await session.release();
    return [...y!.data as Float32Array, ...gradient!.data as Float32Array];
  }));
  assertEquals(results[0], results[1]);
});
