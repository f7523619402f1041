// Every decomposition against ONNX Runtime's own kernel of the fused operator, on random inputs, and its gradients
// against finite differences. Where the CPU has no kernel for a variant, against what the schema says it means.

import assert from "node:assert/strict";
import { decompose, decompositions } from "../../shared/compiler/decompose/decompose.ts";
import { Builder } from "../../shared/onnx/builder.ts";
import { type Graph, microsoft, operatorKey, prune, type Shape, sortTopologically } from "../../shared/onnx/graph.ts";
import { writeModel } from "../../shared/onnx/write_model.ts";
import { Random } from "../../shared/random.ts";
import { type FusedUse, fusedUses } from "./decompose_uses.ts";
import { checkUse, feed, integers, type Use } from "./gradient_check.ts";
import { sessionFor } from "./sessions.ts";

/** Operators of the table that are there to be refused (refusal_test.ts), or to stay in some uses (families_test.ts). */
const refused = [
  "com.microsoft.MoE",
  "com.microsoft.QMoE",
  "com.microsoft.SparseAttention",
  "TopK",
  "If",
  "Loop",
  "Scan",
];

Deno.test("no decomposition goes unchecked", () => {
  assert.deepEqual([...Object.keys(fusedUses), ...refused].sort(), Object.keys(decompositions).sort());
});

const inputsOf = (use: FusedUse) => ({ input_ids: integers([0], "batch", "sequence"), ...use.inputs });

/** What the model's file would declare. */
function declared({ inputs, shapes = {} }: FusedUse): Map<string, Shape> {
  return new Map(Object.entries({
    ...Object.fromEntries(Object.entries(inputs).map(([name, { shape }]) => [name, shape])),
    ...shapes,
  }));
}

/** The output of a graph that `write` fills. */
async function run(use: FusedUse, write: (build: Builder) => string): Promise<{ data: Float32Array; graph: Graph }> {
  const inputs = Object.entries(inputsOf(use));
  const graph: Graph = {
    irVersion: 10,
    opsets: new Map([["", use.opset ?? 21], [microsoft, 1]]),
    inputs: inputs.map(([name, { shape, integer }]) => ({ name, dataType: integer ? "int64" : "float32", shape })),
    outputs: [],
    nodes: [],
    initializers: new Map(),
  };
  const output = write(new Builder(graph, "test"));
  graph.outputs = [{ name: output }];
  prune(graph);
  sortTopologically(graph);
  const random = new Random(11), session = await sessionFor(writeModel(graph));
  const feeds = Object.fromEntries(inputs.map(([name, input]) => [name, feed(input, () => random.next())]));
  const results = await session.run(feeds);
  await session.release();
  return { data: results[output]!.data as Float32Array, graph };
}

/** Writes the fused node and decomposes it. */
const decomposed = (use: FusedUse) => (build: Builder) => {
  const output = use.apply(build);
  build.graph.outputs = [{ name: output }];
  decompose(build.graph, "tiny.onnx", declared(use));
  return output;
};

for (const [key, uses] of Object.entries(fusedUses)) {
  Deno.test(`${key} decomposed is what ONNX Runtime computes, in ${uses.length} uses`, async () => {
    for (const use of uses) {
      const fused = await run(use, use.meaning ?? use.apply), plain = await run(use, decomposed(use));
      assert(!plain.graph.nodes.some((node) => operatorKey(node) === key), `${use.use}: it is still there`);
      assert.equal(plain.data.length, fused.data.length);
      fused.data.forEach((expected, i) => {
        const difference = Math.abs(plain.data[i]! - expected);
        assert(
          difference <= 5e-6 * Math.max(1, Math.abs(expected)),
          `${use.use}, ${i}: ${plain.data[i]} for ${expected}`,
        );
      });
    }
  });

  Deno.test(`the gradient of ${key} decomposed is what finite differences say, in ${uses.length} uses`, async () => {
    for (const { opset = 21, ...use } of uses) {
      const checked: Use = {
        use: use.use,
        inputs: inputsOf(use),
        apply: decomposed(use),
        opset,
        atMost: 32,
        tolerance: 3e-4,
      };
      await checkUse(undefined, checked);
    }
  });
}
