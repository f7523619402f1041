// Lets one sequence hold many: rows that begin with the same tokens share them, as branches of a tree laid out in
// preorder. Positions then come from the run, and a query sees only its ancestors. It finds the causal masks by what they
// were measured to be, whoever wrote them, and the positions by the name that earlier passes gave them.
// It does not know rows or packing.

import { Builder } from "../onnx/builder.ts";
import { type Graph, sortTopologically } from "../onnx/graph.ts";
import type { CausalMasks } from "./measure.ts";
import { sequence, tree } from "./specialize.ts";

/** The causal masks that no other causal mask went into. */
function firstMasks(graph: Graph, causal: CausalMasks): string[] {
  const first: string[] = [], after = new Set<string>();
  sortTopologically(graph);
  for (const { inputs, outputs } of graph.nodes) {
    const derived = inputs.some((input) => after.has(input));
    for (const output of outputs) {
      if (!derived && causal.has(output)) first.push(output);
      if (derived || causal.has(output)) after.add(output);
    }
  }
  return first;
}

/**
 * Opens the graph to trees of tokens: inputs `token_positions` and `subtree_ends`, both int64 [sequence]. Node j is seen by
 * i where j ≤ i < subtree_ends[j]; positions 0, 1, 2 … and ends all equal to the length mean whole rows, as before.
 *
 * @param causal values measured to be causal masks, `[…, m·sequence, sequence]`
 * @returns the masks that were restricted; none, the graph unchanged, where it has no causal mask or reads no positions
 */
export function sharePrefixes(graph: Graph, causal: CausalMasks): string[] {
  const masks = firstMasks(graph, causal);
  const positions = graph.nodes.find((node) => node.outputs.includes(tree.positions));
  if (masks.length === 0 || !positions) return [];
  graph.nodes = graph.nodes.filter((node) => node !== positions);
  for (const name of [tree.positions, tree.ends]) graph.inputs.push({ name, dataType: "int64", shape: [sequence] });

  const build = new Builder(graph, "tree");
  const length = build.gather(build.operator("Shape", [tree.ends]), build.int(0), 0);
  const ends = build.unsqueeze(tree.ends, [0]);
  for (const mask of masks) {
    const restricted = build.fresh("mask");
    for (const node of graph.nodes) node.inputs = node.inputs.map((input) => input === mask ? restricted : input);
    const rows = build.gather(build.operator("Shape", [mask]), build.int(-2), 0);
    const range = build.operator("Range", [build.int(0), rows, build.int(1)]);
    const queries = build.unsqueeze(build.operator("Mod", [range, length]), [1]);
    const inside = build.operator("Less", [queries, ends]);
    if (causal.get(mask) === "bool") build.operator("And", [mask, inside], {}, { output: restricted });
    else build.operator("Where", [inside, mask, build.float(-Infinity)], {}, { output: restricted });
  }
  sortTopologically(graph);
  return masks;
}
