// Cuts the graph to log-probs at chosen positions: the hidden states of those positions are gathered *before* the big
// vocabulary product. Where the head is frozen, product, log-softmax and their gradient become one pseudo-operator,
// `prospect.LinearLogProb`, computed chunk by chunk so that [tokens, vocabulary] never exists whole.
// It does not know rows, labels or objectives.

import { RefusedModelError } from "../errors.ts";
import { attribute, Builder } from "../onnx/builder.ts";
import {
  consumers,
  type Graph,
  intAttribute,
  type Node,
  operatorKey,
  producers,
  prune,
  sortTopologically,
} from "../onnx/graph.ts";
import { multiplyStored, multiplyStoredTranspose, quantizedOperand } from "./gradients/quantized.ts";
import { type Operand, storedOperand } from "./stored_matrix.ts";

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
    if (node && (node.operator === "MatMul" || node.operator === "Gemm" || quantizedOperand(graph, node))) {
      return { product: node, tail: tail.reverse() };
    }
    const constants = node?.inputs.slice(1).every((input) => graph.initializers.has(input) || input === "");
    if (!node || !constants || !["Cast", "Mul", "Div", "Tanh", "Add", "Identity", "Reshape"].includes(node.operator)) {
      throw new RefusedModelError(
        `${path}: operator ${node ? operatorKey(node) : "(none)"}, node "${node?.name ?? value}", stands between the ` +
          `vocabulary product and the logits; expected MatMul or Gemm (or a quantised product), then only scaling, ` +
          `bias, soft cap or a cast.`,
      );
    }
    tail.push(node);
    value = node.inputs[0]!;
  }
}

/** The frozen weight of the product, as its file keeps it; `transposed` where that is `[vocabulary, hidden]`. */
function headWeight(graph: Graph, product: Node): Operand | undefined {
  const quantised = quantizedOperand(graph, product);
  if (quantised) return quantised;
  const found = storedOperand(graph, product.inputs[1]!);
  const turned = product.operator === "Gemm" && intAttribute(product, "transB", 0) === 1;
  return found && turned ? { ...found, transposed: !found.transposed } : found;
}

/** Whether the product adds no bias of its own. */
function withoutBias({ operator, inputs }: Node): boolean {
  const biasAt: Record<string, number> = { MatMul: 2, Gemm: 2, MatMulNBits: 5, DynamicQuantizeMatMul: 4 };
  return !inputs[biasAt[operator]!];
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
  const { rows, columns } = found.matrix;
  const [vocabulary, hidden] = found.transposed ? [rows, columns] : [columns, rows];
  const chunks = headChunks(vocabulary, graph.opsets.get("") ?? 0);
  graph.inputs.push(
    { name: head.positions, dataType: "int64", shape: ["tokens"] },
    { name: head.targets, dataType: "int64", shape: ["tokens"] },
  );
  const flat = build.reshape(product.inputs[0]!, [-1, hidden]);
  const states = build.gather(flat, head.positions, 0);
  const bare = tail.every((node) => node.operator === "Cast" || node.operator === "Identity") && withoutBias(product);
  if (frozen && bare) {
    build.operators("LinearLogProb", [states, head.targets, ...product.inputs.slice(1)], 2, {
      ...Object.fromEntries(product.attributes),
      product: attribute.string(product.operator),
      domain: attribute.string(product.domain),
      chunks: attribute.int(chunks),
    }, { domain: prospect, name: "head/LinearLogProb", output: head.logProbs });
  } else {
    let logits = build.operator(
      product.operator,
      [states, ...product.inputs.slice(1)],
      Object.fromEntries(product.attributes),
      { domain: product.domain },
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

/** The file's own vocabulary product that a `LinearLogProb` stands for; its first input is the hidden states. */
function productOf({ inputs, attributes, ...node }: Node): Node {
  const text = (name: string) => attributes.get(name)?.value as string;
  return {
    ...node,
    operator: text("product"),
    domain: text("domain"),
    inputs: [inputs[0]!, ...inputs.slice(2)],
    attributes: new Map([...attributes].filter(([name]) => !["product", "domain", "chunks"].includes(name))),
  };
}

/** How logits and the gradients of log-probs are computed of some positions. */
interface Formulas {
  logits(states: string): string;
  /** Gradient of each target's log-prob with respect to its hidden state: W[:, target] − W·softmax. */
  gradient(logSoftmax: string, targets: string, picked: string): string;
}

/** A float32 weight is multiplied and looked up where it lies. */
function plainFormulas(build: Builder, weight: string, transposed: boolean): Formulas {
  return {
    logits: (states) => build.gemm(states, weight, { transB: transposed }),
    gradient(logSoftmax, targets) {
      const average = build.gemm(build.operator("Exp", [logSoftmax]), weight, { transB: !transposed });
      const own = transposed
        ? build.gather(weight, targets, 0)
        : build.transpose(build.gather(weight, targets, 1), [1, 0]);
      return build.subtract(own, average);
    },
  };
}

/**
 * A weight of low precision: logits by the file's own kernel where it has one; the gradient as (one-hot − softmax)·Wᵀ,
 * for which the weight becomes float32 piece by piece.
 */
function storedFormulas(build: Builder, product: Node, operand: Operand): Formulas {
  const kernel = quantizedOperand(build.graph, product) !== undefined;
  return {
    logits: (states) =>
      kernel
        ? build.operator(
          product.operator,
          [states, ...product.inputs.slice(1)],
          Object.fromEntries(product.attributes),
          { domain: product.domain },
        )
        : multiplyStored(build, states, operand),
    gradient(logSoftmax, targets, picked) {
      const others = build.negate(build.operator("Exp", [logSoftmax]));
      const own = build.subtract(build.float(1), build.operator("Exp", [picked]));
      const direction = build.operator("ScatterElements", [others, build.unsqueeze(targets, [1]), own], {
        axis: attribute.int(1),
      });
      return multiplyStoredTranspose(build, direction, operand);
    },
  };
}

function formulasOf(build: Builder, product: Node): Formulas {
  const operand = headWeight(build.graph, product);
  // A weight that a run feeds is float32.
  if (!operand) return plainFormulas(build, product.inputs[1]!, intAttribute(product, "transB", 0) === 1);
  const { matrix, transposed } = operand;
  return matrix.plain
    ? plainFormulas(build, matrix.read(build, 0, matrix.rows), transposed)
    : storedFormulas(build, product, operand);
}

/**
 * Writes `LinearLogProb` out in ordinary operators. Its second output, the gradient of each log-prob with respect to its
 * hidden state, `W[:, target] − W·softmax(logits)`, is independent of the objective, so one pass over the vocabulary
 * serves both forward and backward; it is left out where nothing reads it.
 */
export function lowerHead(graph: Graph): void {
  const build = new Builder(graph, "lowered");
  for (const node of graph.nodes.filter((each) => each.domain === prospect && each.operator === "LinearLogProb")) {
    const [states, targets] = node.inputs as [string, string];
    const chunks = node.attributes.get("chunks")?.value as number;
    const wantGradient = (consumers(graph).get(node.outputs[1]!) ?? []).length > 0;
    const formulas = formulasOf(build, productOf(node));
    graph.nodes = graph.nodes.filter((each) => each !== node);
    const parts = (value: string) =>
      chunks === 1
        ? [value]
        : build.operators("Split", [value], chunks, { axis: attribute.int(0), num_outputs: attribute.int(chunks) });
    const targetParts = parts(targets);
    const logProbs: string[] = [], gradients: string[] = [];
    parts(states).forEach((part, i) => {
      const target = targetParts[i]!;
      const logSoftmax = build.operator("LogSoftmax", [formulas.logits(part)], { axis: attribute.int(-1) });
      const column = build.unsqueeze(target, [1]);
      const picked = build.operator("GatherElements", [logSoftmax, column], { axis: attribute.int(1) });
      logProbs.push(build.squeeze(picked, [1]));
      if (wantGradient) gradients.push(formulas.gradient(logSoftmax, target, picked));
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
