// Every decomposition against ONNX Runtime's own kernel of the fused operator, on random inputs, and its gradients
// against finite differences. Where the CPU has no kernel for a variant, against what the schema says it means.

import { assert, assertEquals } from "@std/assert";
import { checkAttributes } from "../../shared/compiler/check_attributes.ts";
import { decompose, decompositions } from "../../shared/compiler/decompose/decompose.ts";
import { InputError } from "../../shared/errors.ts";
import { attribute, Builder } from "../../shared/onnx/builder.ts";
import {
  type Attribute,
  type Graph,
  microsoft,
  operatorKey,
  prune,
  type Shape,
  sortTopologically,
} from "../../shared/onnx/graph.ts";
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
  assertEquals([...Object.keys(fusedUses), ...refused].sort(), Object.keys(decompositions).sort());
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
  checkAttributes(build.graph, "tiny.onnx");
  decompose(build.graph, "tiny.onnx", declared(use));
  return output;
};

const { int, float } = attribute;
const numbers = [NaN, Infinity, -Infinity, 0, -1].map(float);
const flags = [2, -1, 2 ** 32 + 1].map(int);
const counts = [0, -1, 1, 3, 8].map(int);
const axes = [0, 1, -2, 17].map(int);

/** Values that no exporter writes, by operator and attribute. */
const oddities: Record<string, Record<string, Attribute[]>> = {
  "com.microsoft.GroupQueryAttention": {
    scale: numbers,
    softcap: numbers,
    local_window_size: [-2, 0, 2 ** 31 - 1, 2 ** 31, 2 ** 32 + 2, -(2 ** 32) + 2].map(int),
    num_heads: counts,
    kv_num_heads: counts,
    smooth_softmax: flags,
    do_rotary: flags,
    rotary_interleaved: flags,
  },
  "com.microsoft.MultiHeadAttention": {
    scale: numbers,
    mask_filter_value: numbers,
    num_heads: counts,
    unidirectional: flags,
  },
  "com.microsoft.Attention": {
    scale: numbers,
    mask_filter_value: numbers,
    num_heads: counts,
    unidirectional: flags,
    do_rotary: flags,
    rotary_embedding_dim: [2, 7, -2].map(int),
    qkv_hidden_sizes: [[0, 0, 0], [8, 8, -8]].map(attribute.ints),
  },
  Attention: {
    scale: numbers,
    softcap: numbers,
    q_num_heads: counts,
    kv_num_heads: counts,
    is_causal: flags,
    qk_matmul_output_mode: [3, 7].map(int),
    softmax_precision: [1, 10, 99].map(int),
  },
  "com.microsoft.FusedMatMul": { alpha: numbers, transA: flags, transB: flags, transBatchA: flags },
  "com.microsoft.FusedGemm": { alpha: numbers, beta: numbers, activation_alpha: numbers, transA: flags, transB: flags },
  "com.microsoft.SkipSimplifiedLayerNormalization": { epsilon: numbers },
  "com.microsoft.SkipLayerNormalization": { epsilon: numbers },
  RMSNormalization: { epsilon: numbers, axis: axes, stash_type: [0, 10, 16].map(int) },
  "com.microsoft.QuickGelu": { alpha: numbers },
  Swish: { alpha: numbers },
};

/** What a graph puts out, or why it has no output: ONNX Runtime refuses it, or the compiler in words. */
async function outcome(use: FusedUse, write: (build: Builder) => string): Promise<Float32Array | string> {
  return await run(use, write).then(({ data }) => data, (error: Error) => {
    const runtime = /onnx|Non-zero status code|Node|node|invalid model/.test(error.message);
    assert(error instanceof InputError || runtime, `${error.stack}`);
    return error.message;
  });
}

for (const [key, attributes] of Object.entries(oddities)) {
  Deno.test(`attributes of ${key} that no exporter writes are refused, or mean what the kernel makes of them`, async () => {
    for (const use of fusedUses[key]!.filter(({ meaning }) => meaning === undefined)) {
      for (const [name, values] of Object.entries(attributes)) {
        for (const value of values) {
          const apply = (build: Builder) => {
            const output = use.apply(build);
            build.graph.nodes.find((node) => operatorKey(node) === key)!.attributes.set(name, value);
            return output;
          };
          // First, since kernels may crash on what is refused.
          const ours = await outcome(use, decomposed({ ...use, apply }));
          if (typeof ours === "string") continue;
          const kernel = await outcome(use, apply), what = `${use.use}, ${name} ${value.value}`;
          // A file that ONNX Runtime does not open is refused whatever becomes of the node (check_file_test.ts).
          if (typeof kernel === "string" && !kernel.startsWith("Non-zero status code")) continue;
          assert(typeof kernel !== "string", `${what}: computed, where the kernel says ${kernel}`);
          assertEquals(ours.length, kernel.length, what);
          kernel.forEach((expected, i) => {
            const difference = Math.abs(ours[i]! - expected);
            const same = Object.is(ours[i]!, expected) || difference <= 5e-6 * Math.max(1, Math.abs(expected));
            assert(same, `${what}, ${i}: ${ours[i]} for ${expected}`);
          });
        }
      }
    }
  });
}

for (const [key, uses] of Object.entries(fusedUses)) {
  Deno.test(`${key} decomposed is what ONNX Runtime computes, in ${uses.length} uses`, async () => {
    for (const use of uses) {
      const fused = await run(use, use.meaning ?? use.apply), plain = await run(use, decomposed(use));
      assert(!plain.graph.nodes.some((node) => operatorKey(node) === key), `${use.use}: it is still there`);
      assertEquals(plain.data.length, fused.data.length);
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
