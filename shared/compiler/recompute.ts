// Computes cheap values of the forward pass a second time for the backward pass, instead of keeping them through all
// layers: elementwise operators and moves of elements cost a few percent of the products and make most of what a step
// would keep. The numbers are the same. It does not know gradients.

import { type Graph, type Node, producers } from "../onnx/graph.ts";

/** One pass over memory each, and no sum that would have to be done again. */
const cheap = new Set([
  "Abs",
  "Cast",
  "Div",
  "Erf",
  "Exp",
  "Expand",
  "Gelu",
  "IsNaN",
  "Mul",
  "Neg",
  "Pow",
  "Reciprocal",
  "Relu",
  "Reshape",
  "Sigmoid",
  "Sqrt",
  "Sub",
  "Tanh",
  "Transpose",
  "Unsqueeze",
  "Where",
]);

/**
 * Gives readers outside `forward` their own copies of cheap values made inside it. ONNX Runtime runs a node just before
 * the first that needs it, so copies live within the layer that reads them. A sum of two activations, such as the
 * residual stream, ends a chain: behind it lies the layer before.
 *
 * @param forward the nodes of the forward pass
 */
export function recomputeLate(graph: Graph, forward: ReadonlySet<Node>): void {
  const writer = producers(graph), copies = new Map<string, string>(), added: Node[] = [];
  const repeated = (value: string): string => {
    const node = writer.get(value);
    if (!node || !forward.has(node) || node.domain !== "" || !cheap.has(node.operator)) return value;
    const known = copies.get(value);
    if (known !== undefined) return known;
    const name = `${value}/again`;
    copies.set(value, name);
    added.push({ ...node, name: `${node.name}/again`, inputs: node.inputs.map(repeated), outputs: [name] });
    return name;
  };
  for (const node of graph.nodes) if (!forward.has(node)) node.inputs = node.inputs.map(repeated);
  graph.nodes.push(...added);
}
