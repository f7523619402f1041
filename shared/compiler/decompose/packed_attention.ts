// Attention of com.microsoft, which ONNX Runtime's optimizer makes of older exports: the product with the packed weights
// of query, key and value, then MultiHeadAttention. It does not know how that is decomposed.

import { attribute } from "../../onnx/builder.ts";
import { consumers, intsAttribute, microsoft, type Node } from "../../onnx/graph.ts";
import { multiHeadAttention } from "./multi_head_attention.ts";
import { declaredShape, type Decomposition, optionalInput } from "./rule.ts";

/** Places of the optional inputs, as the schema has them. */
const at = { bias: 2, mask: 3, past: 4, attentionBias: 5 };

export const packedAttention: Decomposition = (node, build, refuse) => {
  if (node.attributes.get("do_rotary")?.value) refuse("rotation in operators of its own (do_rotary 0)");
  if (optionalInput(node, at.past)) refuse("no past (keys and values in one tensor)");
  if (consumers(build.graph).has(node.outputs[1] ?? "")) refuse("no reader of the cache that it writes");
  const [x, weight] = node.inputs as [string, string], bias = optionalInput(node, at.bias);
  const width = declaredShape(build, weight)?.[1];
  if (typeof width !== "number") return refuse("weights of known size");
  const widths = intsAttribute(node, "qkv_hidden_sizes") ?? [width / 3, width / 3, width / 3];
  const product = build.matMul(x, weight);
  const states = build.operators("Split", [bias ? build.add(product, bias) : product, build.ints(widths)], 3, {
    axis: attribute.int(-1),
  });
  const inputs = [...states, "", optionalInput(node, at.mask) ?? "", optionalInput(node, at.attentionBias) ?? ""];
  const many: Node = { ...node, operator: "MultiHeadAttention", domain: microsoft, inputs };
  multiHeadAttention({ ...many, outputs: node.outputs.slice(0, 1) }, build, refuse);
};
