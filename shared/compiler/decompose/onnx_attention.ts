// Attention of ai.onnx (23 and 24) over a whole sequence with an empty past, in ordinary operators. Numbers of heads
// are read off the tensors as the graph runs, since inputs of four axes do not say them. Semantics are the schema's,
// compared with ONNX Runtime's CPU kernel (1.30).

import type { Builder } from "../../onnx/builder.ts";
import { consumers, floatAttribute, intAttribute, type Node } from "../../onnx/graph.ts";
import { attend, causalMask } from "./attend.ts";
import { type Decomposition, elementType, optionalInput } from "./rule.ts";

/** Places of the inputs, as the schema has them. */
const at = { mask: 3, pastKey: 4, pastValue: 5, unpadded: 6 };

/** The size of an axis, as int64 `[1]`. */
function sizeOf(value: string, axis: number, build: Builder): string {
  return build.once(
    `axis ${axis} of ${value}`,
    () => build.gather(build.operator("Shape", [value]), build.ints([axis]), 0),
  );
}

export const onnxAttention: Decomposition = (node, build, refuse) => {
  const queryHeads = intAttribute(node, "q_num_heads", 0), kvHeads = intAttribute(node, "kv_num_heads", 0);
  if (node.attributes.has("q_num_heads") !== node.attributes.has("kv_num_heads")) {
    refuse("q_num_heads and kv_num_heads, or neither");
  }
  for (const i of [at.pastKey, at.pastValue]) {
    const past = optionalInput(node, i);
    if (past && !build.shapes.has(past)) refuse("a past that is a cache input");
  }
  if (optionalInput(node, at.unpadded)) refuse("no nonpad_kv_seqlen");
  const mask = optionalInput(node, at.mask), causal = intAttribute(node, "is_causal", 0) === 1;
  if (!mask && !causal) refuse("causal attention: is_causal 1, or an attn_mask");
  // [batch, sequence, heads*size] with numbers of heads, or [batch, heads, sequence, size] without.
  const flat = queryHeads > 0;
  const split = (states: string, count: number) =>
    flat ? build.transpose(build.reshape(states, [0, 0, count, -1]), [0, 2, 1, 3]) : states;
  const query = split(node.inputs[0]!, queryHeads);
  const key = split(node.inputs[1]!, kvHeads), value = split(node.inputs[2]!, kvHeads);
  const heads = sizeOf(query, 1, build), size = sizeOf(query, 3, build), keyHeads = sizeOf(key, 1, build);
  const rest = build.ints([-1]), same = build.ints([0]);
  const stack = (states: string, last: string) =>
    build.operator("Reshape", [states, build.concat([same, keyHeads, rest, last], 0)]);
  const queries = stack(build.multiply(query, scaleOf(node, size, build)), size);
  const rows = build.squeeze(sizeOf(queries, 2, build), [0]);
  const mixed = attend(build, {
    queries,
    keys: build.transpose(key, [0, 1, 3, 2]),
    values: value,
    softcap: floatAttribute(node, "softcap", 0),
    masks: [
      ...(mask ? [stack(everyHead(mask, heads, build, refuse), same)] : []),
      ...(causal ? [causalMask(build, rows, 0)] : []),
    ],
  });
  const byHead = build.concat([same, heads, rest, sizeOf(value, 3, build)], 0);
  if (flat) {
    const merged = build.transpose(build.operator("Reshape", [mixed, byHead]), [0, 2, 1, 3]);
    build.operator("Reshape", [merged, build.ints([0, 0, -1])], {}, { name: node.name, output: node.outputs[0]! });
  } else build.operator("Reshape", [mixed, byHead], {}, { name: node.name, output: node.outputs[0]! });
  const readers = consumers(build.graph);
  const [, presentKey = "", presentValue = "", scores = ""] = node.outputs;
  if (readers.has(scores)) refuse("no reader of qk_matmul_output");
  if (readers.has(presentKey)) build.operator("Identity", [key], {}, { output: presentKey });
  if (readers.has(presentValue)) build.operator("Identity", [value], {}, { output: presentValue });
};

/** The scale, or 1/√size where none is given. */
function scaleOf(node: Node, size: string, build: Builder): string {
  const scale = floatAttribute(node, "scale", 0);
  if (scale !== 0) return build.float(scale);
  return build.operator("Reciprocal", [build.operator("Sqrt", [build.cast(size, 1)])]);
}

/** A mask of up to four axes as additive `[batch or 1, heads, sequence, sequence]`; true is what may be seen. */
function everyHead(mask: string, heads: string, build: Builder, refuse: (expected: string) => never): string {
  return build.once(`${mask} for every head`, () => {
    const type = elementType(build, mask);
    if (type !== "bool" && type !== "float32") refuse("an attn_mask that is known to be bool or float32");
    const added = type === "bool" ? build.operator("Where", [mask, build.float(0), build.float(-Infinity)]) : mask;
    return build.operator("Expand", [added, build.concat([build.ints([1]), heads, build.ints([1, 1])], 0)]);
  });
}
