// What a low-precision file needs before the other passes see it: says which quantisations are not read, fuses dynamic
// int8 into one operator, and promotes float16. Weights stay what and where they are. It does not know gradients
// (gradients/quantized.ts) or how a weight is stored (stored_matrix.ts).

import { RefusedModelError } from "../errors.ts";
import {
  consumers,
  type Graph,
  intAttribute,
  microsoft,
  type Node,
  operatorKey,
  producers,
  prune,
  sortTopologically,
} from "../onnx/graph.ts";
import { dataTypes } from "../onnx/schema.ts";
import { promoteHalf } from "./half_precision.ts";
import { fuseBlockBias } from "./block_products.ts";

/** Operators of quantisations that are not read, and what each is. */
const unread: Record<string, string> = {
  [`${microsoft}.MatMulBnb4`]: "a bitsandbytes 4-bit product",
  [`${microsoft}.MatMulFpQ4`]: "a blob-packed 4-bit product",
  [`${microsoft}.QAttention`]: "a quantised attention",
  [`${microsoft}.QGemm`]: "a statically quantised product",
  [`${microsoft}.GatherBlockQuantizedBnb4`]: "a bitsandbytes 4-bit table",
  QLinearMatMul: "a statically quantised product",
  QuantizeLinear: "a statically quantised activation",
};

/** @throws RefusedModelError where the file has a quantisation that Prospect does not read. */
export function refuseUnread(graph: Graph, path: string): void {
  const typeOf = (name: string | undefined) => graph.initializers.get(name ?? "")?.dataType;
  for (const node of graph.nodes) {
    const refuse = (what: string): never => {
      throw new RefusedModelError(
        `${path}: ${operatorKey(node)} node "${node.name}" is ${what}, which Prospect does not read; choose another ` +
          `--dtype (fp32, fp16, 4- or 8-bit MatMulNBits such as q4, or dynamic int8 such as q8).`,
      );
    };
    const what = unread[operatorKey(node)];
    if (what) refuse(what);
    if (node.operator === "DequantizeLinear" && intAttribute(node, "block_size", 0) > 0) {
      refuse("a weight in blocks that is no MatMulNBits (the GenAI builder: without use_qdq)");
    }
    if (operatorKey(node) !== `${microsoft}.MatMulNBits`) continue;
    const bits = intAttribute(node, "bits", 4);
    if (bits !== 4 && bits !== 8) refuse(`a ${bits}-bit product`);
    if (node.inputs[4]) refuse("a product with reordered groups (g_idx)");
    if (bits === 8 && typeOf(node.inputs[3])?.startsWith("float")) refuse("an 8-bit product with float zero points");
  }
}

/** Whether LoRA alone can be trained: some weight is not float32. */
export function frozenKind(graph: Graph): string | undefined {
  const quantised = graph.nodes.find(({ operator }) =>
    ["MatMulNBits", "DynamicQuantizeMatMul", "GatherBlockQuantized", "DequantizeLinear"].includes(operator)
  );
  if (quantised) return "quantised";
  return [...graph.initializers.values()].some(({ dataType }) => dataType === "float16") ? "float16" : undefined;
}

/** The one reader of a value, if there is just one and it is of an operator. */
function onlyReader(readers: Map<string, Node[]>, value: string | undefined, operator: string): Node | undefined {
  const list = readers.get(value ?? "") ?? [];
  return list.length === 1 && list[0]!.operator === operator ? list[0] : undefined;
}

/** What a MatMulInteger over DynamicQuantizeLinear is scaled by: the last Mul, and the weight's scale. */
function scaling(product: Node, readers: Map<string, Node[]>, writer: Map<string, Node>, activationScale: string) {
  const cast = onlyReader(readers, product.outputs[0], "Cast");
  if (!cast || intAttribute(cast, "to", 0) !== dataTypes.float32.code) return undefined;
  const last = onlyReader(readers, cast.outputs[0], "Mul");
  const scales = writer.get(last?.inputs.find((input) => input !== cast.outputs[0]) ?? "");
  if (!last || scales?.operator !== "Mul" || !scales.inputs.includes(activationScale)) return undefined;
  return { output: last.outputs[0]!, scale: scales.inputs.find((input) => input !== activationScale)! };
}

/**
 * Fuses DynamicQuantizeLinear → MatMulInteger (→ Cast → Mul by both scales), or → MatMulIntegerToFloat, into
 * `com.microsoft.DynamicQuantizeMatMul`, which is what ONNX Runtime itself makes of them when it runs the file.
 */
export function fuseDynamicInt8(graph: Graph): void {
  const writer = producers(graph), readers = consumers(graph);
  const fused = new Map<Node, Node>();
  for (const node of graph.nodes) {
    const toFloat = operatorKey(node) === `${microsoft}.MatMulIntegerToFloat`;
    if (node.operator !== "MatMulInteger" && !toFloat) continue;
    const quantise = writer.get(node.inputs[0]!), weight = node.inputs[1]!;
    if (quantise?.operator !== "DynamicQuantizeLinear" || !graph.initializers.has(weight)) continue;
    const [, activationScale, activationZero] = quantise.outputs;
    const zeroPoints = toFloat ? node.inputs.slice(4, 6) : node.inputs.slice(2, 4);
    if (zeroPoints[0] !== activationZero) continue;
    const scaled = toFloat
      ? { output: node.outputs[0]!, scale: node.inputs[3]! }
      : scaling(node, readers, writer, activationScale!);
    if (!scaled || !graph.initializers.has(scaled.scale) || (toFloat && node.inputs[6])) continue;
    fused.set(writer.get(scaled.output)!, {
      ...node,
      operator: "DynamicQuantizeMatMul",
      domain: microsoft,
      inputs: [quantise.inputs[0]!, weight, scaled.scale, ...(zeroPoints[1] ? [zeroPoints[1]] : [])],
      outputs: [scaled.output],
      attributes: new Map(),
    });
  }
  if (fused.size === 0) return;
  graph.nodes = graph.nodes.map((node) => fused.get(node) ?? node);
  prune(graph);
}

/**
 * Prepares a file of any precision: what is left is float32 but for stored weights.
 *
 * @throws RefusedModelError for a quantisation that is not read
 */
export function readLowPrecision(graph: Graph, path: string): void {
  refuseUnread(graph, path);
  fuseDynamicInt8(graph);
  fuseBlockBias(graph);
  promoteHalf(graph);
  sortTopologically(graph);
}
