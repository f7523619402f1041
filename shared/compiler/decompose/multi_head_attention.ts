// MultiHeadAttention of com.microsoft over a whole sequence with an empty past, in ordinary operators. Semantics are
// those of ONNX Runtime's CPU kernel (1.30); packed inputs, which that kernel refuses, are those of the schema.

import type { Builder } from "../../onnx/builder.ts";
import { consumers, floatAttribute, intAttribute, type Node } from "../../onnx/graph.ts";
import { attend, causalMask } from "./attend.ts";
import { declaredShape, type Decomposition, optionalInput } from "./rule.ts";

type Refuse = (expected: string) => never;

/** Places of the inputs, as the schema has them. */
const at = { key: 1, value: 2, bias: 3, paddingMask: 4, attentionBias: 5, pastKey: 6, pastValue: 7 };

/** Query, key and value `[batch, heads, sequence, size]`. */
function headsOf(node: Node, build: Builder, count: number, refuse: Refuse): [string, string, string] {
  const query = node.inputs[0]!, key = optionalInput(node, at.key), value = optionalInput(node, at.value);
  const split = (states: string) => build.transpose(build.reshape(states, [0, 0, count, -1]), [0, 2, 1, 3]);
  // [batch, sequence, heads, parts, size]
  const unpack = (packed: string, parts: number) =>
    Array.from({ length: parts }, (_, i) => build.transpose(build.gather(packed, build.int(i), 3), [0, 2, 1, 3]));
  const bias = optionalInput(node, at.bias);
  if (!key || !value) {
    if (bias) refuse("no bias beside packed keys and values");
    return (key ? [split(query), ...unpack(key, 2)] : unpack(query, 3)) as [string, string, string];
  }
  // A key that is a cache input, or a value that is one, is cross-attention to what an encoder wrote.
  if (build.shapes.get(key)?.length === 4) refuse("keys that the decoder computes");
  if (!bias) return [split(query), split(key), split(value)];
  const width = declaredShape(build, bias)?.[0];
  if (typeof width !== "number") return refuse("a bias of known size");
  // Queries and keys are as wide as each other; the values have the rest.
  const states = [query, key, value];
  const hidden = build.once(
    `width of ${query}`,
    () => build.gather(build.operator("Shape", [query]), build.ints([2]), 0),
  );
  const twice = build.multiply(hidden, build.ints([2]));
  const bounds: [string, string][] = [[build.ints([0]), hidden], [hidden, twice], [twice, build.ints([width])]];
  return states.map((each, i) =>
    split(build.add(each, build.operator("Slice", [bias, ...bounds[i]!, build.ints([0])])))
  ) as [string, string, string];
}

/** 1/√size, where the node gives no scale. */
function scaleOf(node: Node, query: string, build: Builder): string {
  const scale = floatAttribute(node, "scale", 0);
  if (scale !== 0) return build.float(scale);
  const size = build.gather(build.operator("Shape", [query]), build.int(3), 0);
  return build.operator("Reciprocal", [build.operator("Sqrt", [build.cast(size, 1)])]);
}

/** Key padding mask (1 is a token) as what is added to the scores: `mask_filter_value` where it is 0. */
function paddingMask(mask: string, node: Node, build: Builder, refuse: Refuse): string {
  const rank = declaredShape(build, mask)?.length;
  if (rank !== 2 && rank !== 3) refuse("a key_padding_mask of [batch, sequence], or with a row for each query");
  const fill = floatAttribute(node, "mask_filter_value", -10000);
  return build.once(`padding by ${mask}, ${fill}`, () => {
    const added = build.operator("Where", [build.cast(mask, 9), build.float(0), build.float(fill)]);
    return build.unsqueeze(added, rank === 2 ? [1, 2] : [1]);
  });
}

/** An input `[batch, heads, …]` whose number of heads is declared, and none of the given. */
function refuseHeads(input: string | undefined, node: Node, build: Builder, refuse: Refuse, counts: number[]): void {
  const heads = input === undefined ? undefined : declaredShape(build, input)?.[1];
  if (typeof heads !== "number" || counts.includes(heads)) return;
  refuse(`${counts.at(-1)} heads (num_heads) in input ${node.inputs.indexOf(input!)} too, which has ${heads}`);
}

export const multiHeadAttention: Decomposition = (node, build, refuse) => {
  const count = intAttribute(node, "num_heads", 0);
  if (count < 1) refuse("num_heads of at least 1");
  for (const i of [at.pastKey, at.pastValue]) {
    const past = optionalInput(node, i);
    if (past && !build.shapes.has(past)) refuse("a past that is a cache input");
    refuseHeads(past, node, build, refuse, [count]);
  }
  if (node.inputs.slice(8).some((input) => input !== "")) refuse("no past_sequence_length and no cache_indirection");
  refuseHeads(optionalInput(node, at.attentionBias), node, build, refuse, [1, count]);
  const [query, key, value] = headsOf(node, build, count, refuse);
  const mask = optionalInput(node, at.paddingMask), bias = optionalInput(node, at.attentionBias);
  const causal = intAttribute(node, "unidirectional", 0) === 1;
  const wholeMask = mask !== undefined && declaredShape(build, mask)?.length === 3;
  if (!causal && !bias && !wholeMask) refuse("causal attention: unidirectional 1, or an attention_bias that masks");
  const mixed = attend(build, {
    queries: build.multiply(query, scaleOf(node, query, build)),
    keys: build.transpose(key, [0, 1, 3, 2]),
    values: value,
    softcap: 0,
    masks: [
      ...(bias ? [bias] : []),
      ...(mask ? [paddingMask(mask, node, build, refuse)] : []),
      ...(causal ? [causalMask(build, undefined, 0)] : []),
    ],
  });
  build.operator("Reshape", [build.transpose(mixed, [0, 2, 1, 3]), build.ints([0, 0, -1])], {}, {
    name: node.name,
    output: node.outputs[0]!,
  });
  const readers = consumers(build.graph);
  const [, presentKey = "", presentValue = "", scores = ""] = node.outputs;
  if (readers.has(scores)) refuse("no reader of the scores (output qk)");
  if (readers.has(presentKey)) build.operator("Identity", [key], {}, { output: presentKey });
  if (readers.has(presentValue)) build.operator("Identity", [value], {}, { output: presentValue });
};
