// Control flow: an If that picks one of two tables, as long-context rotations pick their caches by the length of the
// sequence, runs as it is, and nothing trained goes through it. Everything else is refused.

import { subgraphs } from "../../onnx/subgraph.ts";
import type { Decomposition } from "./rule.ts";

export const choice: Decomposition = (node, build, refuse) => {
  const branches = [...subgraphs(node).values()];
  const captured = branches.flatMap((branch) => branch.captured);
  if (captured.length > 0) refuse(`branches that read no value of the graph around them (they read "${captured[0]}")`);
  if (branches.some(({ operators }) => [...operators].some((operator) => operator !== "Constant"))) {
    refuse("branches that are constants");
  }
  build.graph.nodes.push(node);
};

export const loop: Decomposition = (_node, _build, refuse) => refuse("a graph without loops");
