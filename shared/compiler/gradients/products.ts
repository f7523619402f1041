// Gradients of matrix products. A frozen weight costs one product in the backward pass and no transposed copy (Gemm
// with transB reads it in place).

import { floatAttribute, intAttribute, type Shape } from "../../onnx/graph.ts";
import { type GradientContext, type GradientRule, unbroadcast } from "./rule.ts";

/** Swaps the last two axes. */
function flip({ build }: GradientContext, value: string, rank: number): string {
  const axes = Array.from({ length: rank }, (_, i) => i);
  return build.transpose(value, [...axes.slice(0, -2), rank - 1, rank - 2]);
}

/** MatMul as numpy.matmul: batches of matrices, or many rows through one matrix. */
const matMul: GradientRule = (context) => {
  const { node, build, outputs, wanted, refuse } = context;
  const [a, b] = node.inputs as [string, string];
  const shapeA = build.shape(a), shapeB = build.shape(b), shapeY = build.shape(node.outputs[0]!), g = outputs[0]!;
  if (shapeA.length < 2 || shapeB.length < 2) return refuse("operands of at least two axes");
  // A product over nothing is 0 whatever its operands are, as in columns of a packed layer that no adapter changes.
  if (shapeA.at(-1) === 0) return [];
  if (shapeB.length === 2) {
    const rows = (value: string, shape: Shape) =>
      shape.length === 2
        ? value
        : build.once(`rows ${value}`, () => build.reshape(value, [-1, shape.at(-1) as number]));
    if (typeof shapeA.at(-1) !== "number" || typeof shapeY.at(-1) !== "number") return refuse("a weight of fixed size");
    const flatG = rows(g, shapeY);
    const left = () => {
      const flat = build.gemm(flatG, b, { transB: true });
      return shapeA.length === 2 ? flat : build.reshapeTo(flat, shapeA);
    };
    return [
      wanted(0) ? left() : undefined,
      wanted(1) ? build.gemm(rows(a, shapeA), flatG, { transA: true }) : undefined,
    ];
  }
  const product = (left: string, leftShape: Shape, right: string, rightShape: Shape, to: Shape) => {
    const full = [...shapeY.slice(0, -2), leftShape.at(-2)!, rightShape.at(-1)!];
    return unbroadcast(build, build.matMul(left, right), full, to);
  };
  const flipped = (shape: Shape) => [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!];
  return [
    wanted(0) ? product(g, shapeY, flip(context, b, shapeB.length), flipped(shapeB), shapeA) : undefined,
    wanted(1) ? product(flip(context, a, shapeA.length), flipped(shapeA), g, shapeY, shapeB) : undefined,
  ];
};

/** Gemm: Y = α·A'·B' + β·C, where ' is the transpose that transA and transB ask for. */
const gemm: GradientRule = ({ node, build, outputs, wanted }) => {
  const [a, b, c] = node.inputs as [string, string, string | undefined];
  const transA = intAttribute(node, "transA", 0) === 1, transB = intAttribute(node, "transB", 0) === 1;
  const alpha = floatAttribute(node, "alpha", 1), beta = floatAttribute(node, "beta", 1), g = outputs[0]!;
  const leftGradient = () =>
    transA ? build.gemm(b, g, { transA: transB, transB: true, alpha }) : build.gemm(g, b, { transB: !transB, alpha });
  const rightGradient = () =>
    transB ? build.gemm(g, a, { transA: true, transB: transA, alpha }) : build.gemm(a, g, { transA: !transA, alpha });
  const bias = () => {
    const summed = unbroadcast(build, g, build.shape(node.outputs[0]!), build.shape(c!));
    return beta === 1 ? summed : build.multiply(summed, build.float(beta));
  };
  return [
    wanted(0) ? leftGradient() : undefined,
    wanted(1) ? rightGradient() : undefined,
    c && wanted(2) ? bias() : undefined,
  ];
};

export const productGradients: Record<string, GradientRule> = { MatMul: matMul, Gemm: gemm };
