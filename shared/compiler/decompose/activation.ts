// Fused activations as ordinary operators. It does not know gradients.

import { attribute, type Builder } from "../../onnx/builder.ts";
import { floatAttribute, type Node } from "../../onnx/graph.ts";
import { type Decomposition, optionalInput } from "./rule.ts";

/** gelu(x + bias), exact or by its tanh approximation. */
function gelu(node: Node, build: Builder, approximate: "none" | "tanh"): void {
  const bias = optionalInput(node, 1);
  const x = bias ? build.add(node.inputs[0]!, bias) : node.inputs[0]!;
  build.operator("Gelu", [x], { approximate: attribute.string(approximate) }, {
    name: node.name,
    output: node.outputs[0]!,
  });
}

/** x·σ(αx): SiLU where α is 1. */
function swish(node: Node, build: Builder, alpha: number): void {
  const x = node.inputs[0]!;
  const scaled = alpha === 1 ? x : build.multiply(x, build.float(alpha));
  const gate = build.operator("Sigmoid", [scaled]);
  build.operator("Mul", [x, gate], {}, { name: node.name, output: node.outputs[0]! });
}

export const activations: Record<string, Decomposition> = {
  "com.microsoft.Gelu": (node, build) => gelu(node, build, "none"),
  "com.microsoft.BiasGelu": (node, build) => gelu(node, build, "none"),
  "com.microsoft.FastGelu": (node, build) => gelu(node, build, "tanh"),
  "com.microsoft.QuickGelu": (node, build) => swish(node, build, floatAttribute(node, "alpha", 1.702)),
  Swish: (node, build) => swish(node, build, floatAttribute(node, "alpha", 1)),
};
