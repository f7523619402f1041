// Cuts the graph to log-probs at chosen positions: the hidden states of those positions are gathered *before* the big
// vocabulary product. Where the head is frozen, product, log-softmax and their gradient become one pseudo-operator,
// `prospect.LinearLogProb`, computed chunk by chunk so that [tokens, vocabulary] never exists whole.
// It does not know rows, labels or objectives.

import { RefusedModelError } from "../errors.ts";
import { attribute, Builder } from "../onnx/builder.ts";
import { consumers, type Graph, type Node, operatorKey, producers, prune, sortTopologically } from "../onnx/graph.ts";

/** Domain of operators that exist only inside the compiler. */
export const prospect = "prospect";

/** Inputs and output of a scored graph. `tokens` is the number of scored positions of a micro-batch. */
export const head = {
  /** int64 [tokens]: index into the flattened [batch*sequence] of the position that predicts the token. */
  positions: "completion_positions",
  /** int64 [tokens]: the token id that is predicted there. */
  targets: "completion_targets",
  /** float32 [tokens]: log-prob of the target. */
  logProbs: "log_probs",
} as const;

/**
 * How many pieces the head is computed in: one for every 2^16 tokens of vocabulary, so that a row of logits in flight
 * costs no more than 256 KiB. More pieces would starve the matrix product: at 12 positions a piece it ran at a quarter of
 * its speed. Splitting evenly without naming sizes needs opset 18.
 */
function headChunks(vocabulary: number, opset: number): number {
  return opset >= 18 ? Math.ceil(vocabulary / 2 ** 16) : 1;
}

interface Head {
  product: Node;
  /** Nodes between the product and the logits, in order. */
  tail: Node[];
}

/** Walks back from the logits over elementwise nodes to the product with the vocabulary. */
function findHead(graph: Graph, path: string): Head {
  const writer = producers(graph);
  const tail: Node[] = [];
  let value = "logits";
  for (;;) {
    const node = writer.get(value);
    if (node && (node.operator === "MatMul" || node.operator === "Gemm")) {
      return { product: node, tail: tail.reverse() };
    }
    const constants = node?.inputs.slice(1).every((input) => graph.initializers.has(input) || input === "");
    if (!node || !constants || !["Cast", "Mul", "Div", "Tanh", "Add", "Identity", "Reshape"].includes(node.operator)) {
      throw new RefusedModelError(
        `${path}: operator ${node ? operatorKey(node) : "(none)"}, node "${node?.name ?? value}", stands between the ` +
          `vocabulary product and the logits; expected MatMul or Gemm, then only scaling, bias, soft cap or a cast.`,
      );
    }
    tail.push(node);
    value = node.inputs[0]!;
  }
}

/** The weight in `[vocabulary, hidden]` layout where the graph has one (a tied embedding), else `[hidden, vocabulary]`. */
function headWeight(graph: Graph, product: Node): { weight: string; transposed: boolean } | undefined {
  const weight = product.inputs[1]!;
  if (graph.initializers.has(weight)) {
    const transB = product.attributes.get("transB");
    return { weight, transposed: transB?.kind === "int" && transB.value === 1 };
  }
  const transpose = producers(graph).get(weight);
  if (transpose?.operator === "Transpose" && graph.initializers.has(transpose.inputs[0]!)) {
    return { weight: transpose.inputs[0]!, transposed: true };
  }
  return undefined;
}

/**
 * Replaces the output `logits` by `log_probs` at positions fed as inputs.
 *
 * @param frozen false where the head's weight is trained itself, which takes the plain, differentiable path.
 * @returns size of the vocabulary, and the number that scored positions must be padded to a multiple of
 * @throws RefusedModelError naming the operator that stands where the vocabulary product was expected.
 */
export function cutHead(graph: Graph, path: string, frozen: boolean): { vocabulary: number; chunks: number } {
  const { product, tail } = findHead(graph, path);
  const build = new Builder(graph, "head");
  const found = headWeight(graph, product);
  if (!found) {
    throw new RefusedModelError(
      `${path}: node "${product.name}" multiplies by no fixed weight; expected the output head.`,
    );
  }
  const dims = graph.initializers.get(found.weight)!.dims as [number, number];
  const [vocabulary, hidden] = found.transposed ? dims : [dims[1], dims[0]];
  const chunks = headChunks(vocabulary, graph.opsets.get("") ?? 0);
  graph.inputs.push(
    { name: head.positions, dataType: "int64", shape: ["tokens"] },
    { name: head.targets, dataType: "int64", shape: ["tokens"] },
  );
  const flat = build.reshape(product.inputs[0]!, [-1, hidden]);
  const states = build.gather(flat, head.positions, 0);
  const bare = tail.every((node) => node.operator === "Cast" || node.operator === "Identity") &&
    product.inputs.length === 2;
  if (frozen && bare) {
    build.operators("LinearLogProb", [states, found.weight, head.targets], 2, {
      transposed: attribute.int(found.transposed ? 1 : 0),
      chunks: attribute.int(chunks),
    }, { domain: prospect, name: "head/LinearLogProb", output: head.logProbs });
  } else {
    const weight = found.transposed && product.operator === "MatMul"
      ? build.transpose(found.weight, [1, 0])
      : product.inputs[1]!;
    let logits = build.operator(
      product.operator,
      [states, weight, ...product.inputs.slice(2)],
      Object.fromEntries(product.attributes),
    );
    for (const node of tail) {
      if (node.operator === "Reshape") continue;
      logits = build.operator(node.operator, [logits, ...node.inputs.slice(1)], Object.fromEntries(node.attributes));
    }
    const logSoftmax = build.operator("LogSoftmax", [logits], { axis: attribute.int(-1) });
    const picked = build.operator("GatherElements", [logSoftmax, build.unsqueeze(head.targets, [1])], {
      axis: attribute.int(1),
    });
    build.operator("Squeeze", [picked, build.ints([1])], {}, { output: head.logProbs });
  }
  graph.outputs = [{ name: head.logProbs }];
  prune(graph);
  sortTopologically(graph);
  return { vocabulary, chunks };
}

/**
 * Writes `LinearLogProb` out in ordinary operators. Its second output, the gradient of each log-prob with respect to its
 * hidden state, `W[:, target] − W·softmax(logits)`, is independent of the objective, so one pass over the vocabulary
 * serves both forward and backward; it is left out where nothing reads it.
 */
export function lowerHead(graph: Graph): void {
  const build = new Builder(graph, "lowered");
  for (const node of graph.nodes.filter((each) => each.domain === prospect && each.operator === "LinearLogProb")) {
    const [states, weight, targets] = node.inputs as [string, string, string];
    const transposed = node.attributes.get("transposed")?.value === 1;
    const chunks = node.attributes.get("chunks")?.value as number;
    const wantGradient = (consumers(graph).get(node.outputs[1]!) ?? []).length > 0;
    graph.nodes = graph.nodes.filter((each) => each !== node);
    const parts = (value: string) =>
      chunks === 1
        ? [value]
        : build.operators("Split", [value], chunks, { axis: attribute.int(0), num_outputs: attribute.int(chunks) });
    const targetParts = parts(targets);
    const logProbs: string[] = [], gradients: string[] = [];
    parts(states).forEach((part, i) => {
      const target = targetParts[i]!;
      const logits = build.gemm(part, weight, { transB: transposed });
      const logSoftmax = build.operator("LogSoftmax", [logits], { axis: attribute.int(-1) });
      const column = build.unsqueeze(target, [1]);
      const picked = build.operator("GatherElements", [logSoftmax, column], { axis: attribute.int(1) });
      logProbs.push(build.squeeze(picked, [1]));
      if (!wantGradient) return;
      const average = build.gemm(build.operator("Exp", [logSoftmax]), weight, { transB: !transposed });
      const own = transposed
        ? build.gather(weight, target, 0)
        : build.transpose(build.gather(weight, target, 1), [1, 0]);
      gradients.push(build.subtract(own, average));
    });
    const join = (values: string[], output: string) =>
      values.length === 1
        ? build.operator("Identity", values, {}, { output })
        : build.operator("Concat", values, { axis: attribute.int(0) }, { output });
    join(logProbs, node.outputs[0]!);
    if (wantGradient) join(gradients, node.outputs[1]!);
  }
  sortTopologically(graph);
}
