// What ONNX Runtime's kernels for 4- and 8-bit products do besides multiplying: round their input, and add a bias. It does
// not know how weights are stored.

import { consumers, type Graph, intAttribute, microsoft, type Node } from "../onnx/graph.ts";

const isBlockProduct = ({ operator, domain }: Node) => operator === "MatMulNBits" && domain === microsoft;

/** Whether a product of the file rounds its input to int8 (`accuracy_level` 4 of MatMulNBits). */
export function roundsActivations(graph: Graph): boolean {
  return graph.nodes.some((node) => isBlockProduct(node) && intAttribute(node, "accuracy_level", 0) === 4);
}

/** Moves a bias that is added to a 4- or 8-bit product into the product, as ONNX Runtime does when it runs the file. */
export function fuseBlockBias(graph: Graph): void {
  const readers = consumers(graph), dropped = new Set<Node>();
  for (const node of graph.nodes.filter((each) => isBlockProduct(each) && !each.inputs[5])) {
    const [output] = node.outputs as [string], [add, ...others] = readers.get(output) ?? [];
    if (add?.operator !== "Add" || others.length > 0) continue;
    const bias = graph.initializers.get(add.inputs.find((input) => input !== output) ?? "");
    if (bias?.dataType !== "float32" || `${bias.dims}` !== `${intAttribute(node, "N", 0)}`) continue;
    node.inputs = [...Array.from({ length: 5 }, (_, i) => node.inputs[i] ?? ""), bias.name];
    node.outputs = add.outputs;
    dropped.add(add);
  }
  graph.nodes = graph.nodes.filter((node) => !dropped.has(node));
}
