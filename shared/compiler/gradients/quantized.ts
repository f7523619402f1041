// Gradients of products with a frozen quantised weight: the gradient passes through the weight as float32, made from the
// file's own bytes when it is needed and dropped at once. Where the kernel also quantises its input (accuracy_level 4,
// dynamic int8), that rounding counts as the identity (straight-through, arXiv 1308.3432). The weight gets no gradient.

import type { Builder } from "../../onnx/builder.ts";
import { type Graph, microsoft, type Node } from "../../onnx/graph.ts";
import { blockMatrix, type Operand, scaledMatrix } from "../stored_matrix.ts";
import type { GradientRule } from "./rule.ts";

/** The stored weight of a quantised product, by operator: y = x·M, or x·Mᵀ where it is `transposed`. */
const operands: Record<string, (graph: Graph, node: Node, writer?: Map<string, Node>) => Operand | undefined> = {
  MatMulNBits(graph, node, writer) {
    const matrix = blockMatrix(graph, node, writer);
    return matrix && { matrix, transposed: true };
  },
  DynamicQuantizeMatMul(graph, node) {
    const [values, scale, zeroPoint] = node.inputs.slice(1, 4).map((name) => graph.initializers.get(name));
    if (!values || values.dims.length !== 2 || !scale || (node.inputs[3] && !zeroPoint)) return undefined;
    return { matrix: scaledMatrix(values, scale, zeroPoint, 1), transposed: false };
  },
};

/** The stored weight of a quantised product, or undefined where the node is none (or its weight is computed). */
export function quantizedOperand(graph: Graph, node: Node, writer?: Map<string, Node>): Operand | undefined {
  return node.domain === microsoft ? operands[node.operator]?.(graph, node, writer) : undefined;
}

/** Most float32 bytes of a weight that exist at once where it is read in pieces. */
const pieceBytes = 16 * 2 ** 20;

/** Row ranges of a matrix in pieces of about equal size; one piece where it needs no conversion. */
function pieces({ matrix: { rows, columns, plain } }: Operand, limit: number): [number, number][] {
  const count = plain ? 1 : Math.min(rows, Math.ceil((rows * columns * 4) / limit));
  const bound = (i: number) => Math.round((rows * i) / count);
  return Array.from({ length: count }, (_, i) => [bound(i), bound(i + 1)]);
}

/** x·M, M = the rows laid out as [inner, outer]: pieces of the inner axis are summed. */
function sumOverRows(build: Builder, x: string, operand: Operand, limit: number): string {
  const ranges = pieces(operand, limit);
  const parts = ranges.length === 1
    ? [x]
    : build.operators("Split", [x, build.ints(ranges.map(([from, to]) => to - from))], ranges.length, {
      axis: { kind: "int", value: 1 },
    });
  return ranges.reduce<string | undefined>((sum, [from, to], i) => {
    const inputs = [parts[i]!, operand.matrix.read(build, from, to), ...(sum === undefined ? [] : [sum])];
    return build.operator("Gemm", inputs);
  }, undefined)!;
}

/** x·Mᵀ: pieces of the rows stand side by side. */
function joinOverRows(build: Builder, x: string, operand: Operand, limit: number): string {
  const parts = pieces(operand, limit).map(([from, to]) =>
    build.gemm(x, operand.matrix.read(build, from, to), { transB: true })
  );
  return parts.length === 1 ? parts[0]! : build.concat(parts, 1);
}

/** x [rows, inner] times the operand, in float32, never more than some MiB of the weight at once. */
export function multiplyStored(build: Builder, x: string, operand: Operand, limit = pieceBytes): string {
  return (operand.transposed ? joinOverRows : sumOverRows)(build, x, operand, limit);
}

/** The gradient of that with respect to x: g times the operand's transpose. */
export function multiplyStoredTranspose(build: Builder, g: string, operand: Operand, limit = pieceBytes): string {
  return multiplyStored(build, g, { ...operand, transposed: !operand.transposed }, limit);
}

const quantizedProduct: GradientRule = ({ node, build, outputs, wanted, refuse }) => {
  if (node.inputs.slice(1).some((_, i) => wanted(i + 1))) return refuse("a frozen weight: train LoRA beside it");
  const operand = quantizedOperand(build.graph, node);
  if (!operand) return refuse("a weight that is stored in the file");
  const shape = build.shape(node.inputs[0]!), width = build.shape(node.outputs[0]!).at(-1) as number;
  const flat = shape.length === 2 ? outputs[0]! : build.reshape(outputs[0]!, [-1, width]);
  const gradient = multiplyStoredTranspose(build, flat, operand);
  return [shape.length === 2 ? gradient : build.reshapeTo(gradient, shape)];
};

export const quantizedGradients: Record<string, GradientRule> = {
  [`${microsoft}.MatMulNBits`]: quantizedProduct,
  [`${microsoft}.DynamicQuantizeMatMul`]: quantizedProduct,
};
