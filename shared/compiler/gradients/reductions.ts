// Gradients of reductions, softmax and normalisations.

import type { Builder } from "../../onnx/builder.ts";
import { floatAttribute, inlineNumbers, intAttribute, type Node } from "../../onnx/graph.ts";
import { type GradientContext, type GradientRule, unbroadcast } from "./rule.ts";

/** Axes of a reduction, counted from the front. */
function reducedAxes({ node, build, refuse }: GradientContext): number[] {
  const rank = build.shape(node.inputs[0]!).length;
  const given = node.inputs[1] ? inlineNumbers(build.graph.initializers.get(node.inputs[1])) : undefined;
  if (node.inputs[1] && !given) refuse("constant axes");
  // An empty list means every axis, as does none, unless the node says that it means none.
  if (given?.length || intAttribute(node, "noop_with_empty_axes", 0) === 1) {
    return (given ?? []).map((axis) => (axis + rank) % rank);
  }
  return Array.from({ length: rank }, (_, i) => i);
}

/** The gradient of a sum, spread over what was summed. */
function spread(context: GradientContext, axes: number[]): string {
  const { node, build, outputs } = context;
  const kept = intAttribute(node, "keepdims", 1) === 1 ? outputs[0]! : build.unsqueeze(outputs[0]!, axes);
  return build.operator("Expand", [kept, build.shapeVector(build.shape(node.inputs[0]!), true)]);
}

const reduceSum: GradientRule = (context) => [spread(context, reducedAxes(context)), undefined];

const reduceMean: GradientRule = (context) => {
  const { node, build, refuse } = context;
  const axes = reducedAxes(context), shape = build.shape(node.inputs[0]!);
  const count = axes.reduce((product, axis) => {
    const size = shape[axis]!;
    return typeof size === "number" ? product * size : refuse("a mean over fixed sizes");
  }, 1);
  return [build.multiply(spread(context, axes), build.float(1 / count)), undefined];
};

/** y = log Σ exp(x): dx = g·exp(x − y), the softmax. */
const reduceLogSumExp: GradientRule = (context) => {
  const { node, build } = context;
  const axes = reducedAxes(context), x = node.inputs[0]!, y = node.outputs[0]!;
  const kept = intAttribute(node, "keepdims", 1) === 1 ? y : build.unsqueeze(y, axes);
  const softmax = build.operator("Exp", [build.subtract(x, kept)]);
  return [build.multiply(spread(context, axes), softmax), undefined];
};

/** y = softmax(x): dx = y·(g − Σ g·y). */
const softmax: GradientRule = ({ node, build, outputs }) => {
  const y = node.outputs[0]!, axis = intAttribute(node, "axis", -1);
  const weighted = build.multiply(outputs[0]!, y);
  return [build.subtract(weighted, build.multiply(y, build.reduceSum(weighted, [axis], true)))];
};

/** y = log softmax(x): dx = g − exp(y)·Σ g. */
const logSoftmax: GradientRule = ({ node, build, outputs }) => {
  const g = outputs[0]!, total = build.reduceSum(g, [intAttribute(node, "axis", -1)], true);
  return [build.subtract(g, build.multiply(build.operator("Exp", [node.outputs[0]!]), total))];
};

/** 1/√(mean x² + ε) over the last axis. */
function inverseDeviation(build: Builder, x: string, node: Node): string {
  const meanSquare = build.reduceMean(build.multiply(x, x), [-1], true);
  const root = build.operator("Sqrt", [build.add(meanSquare, build.float(floatAttribute(node, "epsilon", 1e-5)))]);
  return build.operator("Reciprocal", [root]);
}

/** dx of x·r where r = 1/√(mean x² + ε): r·(g − x·r²·mean(g·x)). */
function normalizedGradient(build: Builder, x: string, inverse: string, g: string): string {
  const mean = build.reduceMean(build.multiply(g, x), [-1], true);
  const pull = build.multiply(mean, build.multiply(inverse, inverse));
  return build.multiply(inverse, build.subtract(g, build.multiply(x, pull)));
}

function overLastAxis({ node, build, refuse }: GradientContext): void {
  const axis = intAttribute(node, "axis", -1), rank = build.shape(node.inputs[0]!).length;
  if (axis !== -1 && axis !== rank - 1) refuse("normalisation over the last axis");
}

/** RMSNorm, arXiv 1910.07467: y = x·r·w. */
const simplifiedLayerNormalization: GradientRule = (context) => {
  const { node, build, outputs, wanted } = context;
  overLastAxis(context);
  const [x, scale] = node.inputs as [string, string], g = outputs[0]!;
  const inverse = inverseDeviation(build, x, node);
  const ofScale = () =>
    unbroadcast(build, build.multiply(g, build.multiply(x, inverse)), build.shape(x), build.shape(scale));
  return [
    wanted(0) ? normalizedGradient(build, x, inverse, build.multiply(g, scale)) : undefined,
    wanted(1) ? ofScale() : undefined,
  ];
};

/** LayerNormalization, arXiv 1607.06450: RMSNorm of the centred x, whose gradient is centred in turn; plus a bias. */
const layerNormalization: GradientRule = (context) => {
  const { node, build, outputs, wanted } = context;
  overLastAxis(context);
  const [x, scale, bias] = node.inputs as [string, string, string | undefined], g = outputs[0]!;
  const centred = build.subtract(x, build.reduceMean(x, [-1], true));
  const inverse = inverseDeviation(build, centred, node);
  const ofInput = () => {
    const gradient = normalizedGradient(build, centred, inverse, build.multiply(g, scale));
    return build.subtract(gradient, build.reduceMean(gradient, [-1], true));
  };
  const shape = build.shape(x);
  return [
    wanted(0) ? ofInput() : undefined,
    wanted(1)
      ? unbroadcast(build, build.multiply(g, build.multiply(centred, inverse)), shape, build.shape(scale))
      : undefined,
    bias && wanted(2) ? unbroadcast(build, g, shape, build.shape(bias)) : undefined,
  ];
};

/** Rotation by an angle: the gradient is rotated back, by the negated sine, which is input `at`. */
function rotation(at: number): GradientRule {
  return ({ node, build, outputs }) => {
    const sine = node.inputs[at]!;
    const back = build.once(`negated ${sine}`, () => build.negate(sine));
    const inputs = [outputs[0]!, ...node.inputs.slice(1).map((input, i) => i + 1 === at ? back : input)];
    return [build.operator("RotaryEmbedding", inputs, Object.fromEntries(node.attributes), { domain: node.domain })];
  };
}

/** Second output of the head is the gradient of each log-prob with respect to its hidden state. */
const linearLogProb: GradientRule = ({ node, build, outputs, wanted, refuse }) => {
  if (node.inputs.some((_, i) => i > 1 && wanted(i))) return refuse("a frozen output head");
  return [build.multiply(build.unsqueeze(outputs[0]!, [1]), node.outputs[1]!)];
};

export const reductionGradients: Record<string, GradientRule> = {
  ReduceSum: reduceSum,
  ReduceMean: reduceMean,
  ReduceLogSumExp: reduceLogSumExp,
  Softmax: softmax,
  LogSoftmax: logSoftmax,
  SimplifiedLayerNormalization: simplifiedLayerNormalization,
  LayerNormalization: layerNormalization,
  "com.microsoft.RotaryEmbedding": rotation(3),
  RotaryEmbedding: rotation(2),
  "prospect.LinearLogProb": linearLogProb,
};
