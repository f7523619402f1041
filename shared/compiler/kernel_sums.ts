// Where a kernel of the file rounds activations to int8, the last bit of a sum decides how a number rounds, and log-probs
// move by 1e-3. What such a file's fused operators were decomposed into is therefore added up in their kernels' order. It
// changes no value by more than the last bit, and does not know gradients.

import { attribute, Builder } from "../onnx/builder.ts";
import { type Graph, intAttribute, microsoft, type Node, producers, sortTopologically } from "../onnx/graph.ts";
import { roundsActivations } from "./block_products.ts";
import { decomposePrefix } from "./decompose/decompose.ts";

/** Whether a decomposition wrote the node. */
const isDecomposed = ({ name }: Node) => name.startsWith(`${decomposePrefix}/`);

/**
 * Mixes values by exp(score − highest) and divides by the sum afterwards, as ONNX Runtime's fused attention does. The
 * largest weight of a softmax is 1/sum, to the bit. The weights themselves stay for the backward pass.
 */
function normalizeLate(graph: Graph, writer: Map<string, Node>): void {
  const build = new Builder(graph, "late"), keep = { keepdims: attribute.int(1) };
  const replaced = new Set<Node>();
  for (const product of graph.nodes.filter((node) => node.operator === "MatMul" && isDecomposed(node))) {
    const softmax = writer.get(product.inputs[0]!);
    if (softmax?.operator !== "Softmax" || !isDecomposed(softmax)) continue;
    const scores = softmax.inputs[0]!, weights = softmax.outputs[0]!, last = build.ints([-1]);
    const highest = build.operator("ReduceMax", [scores, last], keep);
    const exponentials = build.operator("Exp", [build.subtract(scores, highest)]);
    const mixed = build.matMul(exponentials, product.inputs[1]!);
    const normalizer = build.operator("ReduceMax", [weights, last], keep);
    build.operator("Mul", [mixed, normalizer], {}, { name: product.name, output: product.outputs[0]! });
    replaced.add(product);
  }
  graph.nodes = graph.nodes.filter((node) => !replaced.has(node));
}

/** Norms of a sum are fused with it again: the fused kernel adds up squares in another order. */
function fuseSkips(graph: Graph, writer: Map<string, Node>): void {
  const fused = new Set<Node>();
  for (const norm of graph.nodes.filter(({ operator }) => operator === "SimplifiedLayerNormalization")) {
    const sum = writer.get(norm.inputs[0]!);
    if (sum?.operator !== "Add" || !isDecomposed(sum) || fused.has(sum)) continue;
    // The fused kernel knows the last axis only.
    if (intAttribute(norm, "axis", -1) !== -1) continue;
    norm.operator = "SkipSimplifiedLayerNormalization";
    norm.domain = microsoft;
    norm.inputs = [...sum.inputs, norm.inputs[1]!];
    norm.outputs = [norm.outputs[0]!, "", "", sum.outputs[0]!];
    norm.attributes = new Map([...norm.attributes].filter(([name]) => name === "epsilon"));
    fused.add(sum);
  }
  graph.nodes = graph.nodes.filter((node) => !fused.has(node));
}

/** Lets a finished graph, forward or with its gradients, add up as the kernels that it was decomposed from. */
export function sumAsKernels(graph: Graph): void {
  if (!roundsActivations(graph)) return;
  const writer = producers(graph);
  normalizeLate(graph, writer);
  fuseSkips(graph, writer);
  sortTopologically(graph);
}
