// Fused normalisations as ordinary ones. The plain ones, LayerNormalization and SimplifiedLayerNormalization, have
// gradient rules of their own. It does not know gradients.

import { attribute, type Builder } from "../../onnx/builder.ts";
import { floatAttribute, intAttribute, type Node, redirect } from "../../onnx/graph.ts";
import { type Decomposition, optionalInput } from "./rule.ts";

/** x + skip + bias. Output 3 of the operators is this sum, which is the residual stream. */
function skipSum(node: Node, build: Builder, biasInput: number): string {
  const bias = optionalInput(node, biasInput);
  const sum = build.add(node.inputs[0]!, node.inputs[1]!);
  const all = bias ? build.add(sum, bias) : sum;
  if (node.outputs[3]) redirect(build.graph, node.outputs[3], all);
  return all;
}

function normalize(
  operator: string,
  inputs: string[],
  node: Node,
  build: Builder,
  axis: number,
  epsilon: number,
): void {
  build.operator(operator, inputs, {
    axis: attribute.int(axis),
    epsilon: attribute.float(floatAttribute(node, "epsilon", epsilon)),
  }, { name: node.name, output: node.outputs[0]! });
}

/** SkipSimplifiedLayerNormalization(x, skip, scale, bias?) = RMSNorm(x + skip + bias)·scale. */
const skipSimplified: Decomposition = (node, build) => {
  normalize("SimplifiedLayerNormalization", [skipSum(node, build, 3), node.inputs[2]!], node, build, -1, 1e-12);
};

/** SkipLayerNormalization(x, skip, scale, shift?, bias?) = LayerNorm(x + skip + bias)·scale + shift. */
const skipLayer: Decomposition = (node, build) => {
  const shift = optionalInput(node, 3);
  const inputs = [skipSum(node, build, 4), node.inputs[2]!, ...(shift ? [shift] : [])];
  normalize("LayerNormalization", inputs, node, build, -1, 1e-12);
};

/** ai.onnx RMSNormalization (23) is ONNX Runtime's older SimplifiedLayerNormalization. */
const rootMeanSquare: Decomposition = (node, build) =>
  normalize("SimplifiedLayerNormalization", node.inputs, node, build, intAttribute(node, "axis", -1), 1e-5);

export const normalizations: Record<string, Decomposition> = {
  "com.microsoft.SkipSimplifiedLayerNormalization": skipSimplified,
  "com.microsoft.SkipLayerNormalization": skipLayer,
  RMSNormalization: rootMeanSquare,
};
