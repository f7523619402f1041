// GroupQueryAttention of com.microsoft over a whole sequence with an empty past, in ordinary operators. Semantics are
// those of ONNX Runtime's CPU kernel (1.30); query and key norms, which that kernel refuses, are those of the schema.

import { attribute, type Builder } from "../../onnx/builder.ts";
import { consumers, floatAttribute, intAttribute, microsoft, type Node } from "../../onnx/graph.ts";
import { roundsActivations } from "../block_products.ts";
import { tokenPositions } from "../specialize.ts";
import { attend, causalMask, sequenceLength } from "./attend.ts";
import { declaredShape, type Decomposition, optionalInput } from "./rule.ts";

type Refuse = (expected: string) => never;

/** Places of the optional inputs, as the schema has them. */
const at = {
  pastKey: 3,
  pastValue: 4,
  cosine: 7,
  sine: 8,
  bias: 10,
  sink: 11,
  queryNorm: 14,
  keyNorm: 15,
};

interface Sizes {
  heads: number;
  kvHeads: number;
  /** Query heads per key head. */
  group: number;
  /** Numbers per head. */
  size: number;
}

function sizesOf(node: Node, build: Builder, refuse: Refuse): Sizes {
  const heads = intAttribute(node, "num_heads", 0), kvHeads = intAttribute(node, "kv_num_heads", 0);
  const size = [at.pastKey, at.pastValue, at.keyNorm].map((i) => declaredShape(build, node.inputs[i] ?? "")?.at(-1))
    .find((each) => each !== undefined);
  if (heads < 1 || kvHeads < 1 || heads % kvHeads !== 0 || typeof size !== "number") {
    return refuse("num_heads a multiple of kv_num_heads, and a cache input with a fixed head size");
  }
  return { heads, kvHeads, size, group: heads / kvHeads };
}

function refuseVariants(node: Node, refuse: Refuse): void {
  if (node.inputs.slice(12, 14).some((input) => input !== "")) refuse("no quantised cache (k_scale, v_scale)");
  if (intAttribute(node, "causal", 1) !== 1) refuse("causal attention (causal 1)");
  if (!optionalInput(node, at.queryNorm) !== !optionalInput(node, at.keyNorm)) {
    refuse("q_norm_weight and k_norm_weight together");
  }
}

/** Query, key and value states `[batch, sequence, heads*size]`, also where they come in one. */
function statesOf(node: Node, build: Builder, { heads, kvHeads, size }: Sizes): [string, string, string] {
  const [query, key, value] = node.inputs as [string, string, string];
  if (key !== "") return [query, key, value];
  const widths = build.ints([heads * size, kvHeads * size, kvHeads * size]);
  return build.operators("Split", [query, widths], 3, { axis: attribute.int(-1) }) as [string, string, string];
}

/** RMSNorm of every head on its own, before the rotation. */
function normalizeHeads(states: string, count: number, scale: string, node: Node, build: Builder, size: number) {
  const normal = build.operator("SimplifiedLayerNormalization", [
    build.reshape(states, [0, 0, count, size]),
    scale,
  ], { axis: attribute.int(-1), epsilon: attribute.float(floatAttribute(node, "qk_norm_epsilon", 1e-6)) });
  return build.reshape(normal, [0, 0, count * size]);
}

/** Rotates states from the first position on; a cache narrower than a head leaves the rest of the head as it is. */
function rotate(states: string, count: number, node: Node, build: Builder, size: number, refuse: Refuse): string {
  const cosine = optionalInput(node, at.cosine), sine = optionalInput(node, at.sine);
  if (!cosine || !sine) return refuse("cos_cache and sin_cache where do_rotary is 1");
  // The kernel reads only the first of its own position_ids and counts from there: that is 0 for whole sequences. The
  // caches are laid out along the sequence, which may hold a tree of rows and be longer than any position.
  const along = (cache: string) =>
    build.once(`${cache} along the sequence`, () => build.gather(cache, tokenPositions(build), 0));
  const half = declaredShape(build, cosine)?.at(-1);
  const partial = typeof half === "number" && 2 * half < size ? 2 * half : 0;
  return build.operator("RotaryEmbedding", [states, build.ints([0]), along(cosine), along(sine)], {
    num_heads: attribute.int(count),
    rotary_embedding_dim: attribute.int(partial),
    interleaved: attribute.int(intAttribute(node, "rotary_interleaved", 0)),
  }, { domain: microsoft });
}

/** `attention_bias` with a row per stacked query; one for all heads is first repeated for each. */
function groupedBias(bias: string, build: Builder, { heads, kvHeads, group }: Sizes): string {
  if (group === 1) return bias;
  return build.once(`${bias} in groups of ${group}`, () => {
    const everyHead = build.operator("Expand", [bias, build.ints([1, heads, 1, 1])]);
    return build.reshape(everyHead, [0, kvHeads, -1, 0]);
  });
}

/** What takes weight beside the keys: a learned `head_sink`, or a score of 0 (`smooth_softmax`); none otherwise. */
function sinkOf(node: Node, build: Builder, { kvHeads, group }: Sizes): string | undefined {
  const sink = optionalInput(node, at.sink);
  if (!sink) return intAttribute(node, "smooth_softmax", 0) === 1 ? build.float(0) : undefined;
  const length = build.unsqueeze(sequenceLength(build), [0]);
  const perHead = build.reshape(sink, [1, kvHeads, group, 1]);
  const perRow = build.operator("Expand", [perHead, build.concat([build.ints([1, kvHeads, group]), length], 0)]);
  return build.reshape(perRow, [1, kvHeads, -1, 1]);
}

export const groupedQueryAttention: Decomposition = (node, build, refuse) => {
  const sizes = sizesOf(node, build, refuse), { heads, kvHeads, group, size } = sizes;
  refuseVariants(node, refuse);
  let [query, key, value] = statesOf(node, build, sizes);
  const queryNorm = optionalInput(node, at.queryNorm), keyNorm = optionalInput(node, at.keyNorm);
  if (queryNorm && keyNorm) {
    query = normalizeHeads(query, heads, queryNorm, node, build, size);
    key = normalizeHeads(key, kvHeads, keyNorm, node, build, size);
  }
  if (intAttribute(node, "do_rotary", 0) === 1) {
    query = rotate(query, heads, node, build, size, refuse);
    key = rotate(key, kvHeads, node, build, size, refuse);
  }
  // Scaling the queries is cheaper than scaling the scores, as the kernel does, and the same but for the last bit.
  const scale = build.float(floatAttribute(node, "scale", 0) || 1 / Math.sqrt(size));
  const late = roundsActivations(build.graph);
  const scaled = late ? query : build.multiply(query, scale);
  const grouped = build.transpose(build.reshape(scaled, [0, 0, kvHeads, group, size]), [0, 2, 3, 1, 4]);
  const keyHeads = build.reshape(key, [0, 0, kvHeads, size]);
  const values = build.transpose(build.reshape(value, [0, 0, kvHeads, size]), [0, 2, 1, 3]);
  const rows = group === 1
    ? undefined
    : build.once(`rows ${group}`, () => build.multiply(sequenceLength(build), build.int(group)));
  const bias = optionalInput(node, at.bias);
  const mixed = attend(build, {
    queries: build.reshape(grouped, [0, kvHeads, -1, size]),
    scale: late ? scale : undefined,
    keys: build.transpose(keyHeads, [0, 2, 3, 1]),
    values,
    softcap: floatAttribute(node, "softcap", 0),
    masks: [
      ...(bias ? [groupedBias(bias, build, sizes)] : []),
      causalMask(build, rows, intAttribute(node, "local_window_size", -1)),
    ],
    sink: sinkOf(node, build, sizes),
  });
  const merged = build.transpose(build.reshape(mixed, [0, kvHeads, group, -1, size]), [0, 3, 1, 2, 4]);
  build.operator("Reshape", [merged, build.ints([0, 0, heads * size])], {}, {
    name: node.name,
    output: node.outputs[0]!,
  });
  writeCache(node, build, keyHeads, values, refuse);
};

/** The cache that the node writes, where another layer reads it: layers may share keys and values. */
function writeCache(node: Node, build: Builder, keyHeads: string, values: string, refuse: Refuse): void {
  const readers = consumers(build.graph);
  const [, presentKey = "", presentValue = "", scores = ""] = node.outputs;
  if (readers.has(scores)) refuse("no reader of output_qk");
  if (readers.has(presentKey)) {
    build.operator("Transpose", [keyHeads], { perm: attribute.ints([0, 2, 1, 3]) }, { output: presentKey });
  }
  if (readers.has(presentValue)) build.operator("Identity", [values], {}, { output: presentValue });
}
