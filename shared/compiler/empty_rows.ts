// Takes out what guards against a token that sees none: a softmax over nothing is NaN, which exporters turn into zeros,
// in three passes over the scores of every layer, forward and backward: 2% to 4% of a step (docs/LOG.md). In whole,
// right-padded sequences every token sees itself. It does not know masks.

import { type Graph, producers, prune, redirect } from "../onnx/graph.ts";

/** Replaces `Where(IsNaN(p), x, p)` by p for every softmax p. */
export function dropEmptyRowGuards(graph: Graph): void {
  const writer = producers(graph);
  for (const { operator, inputs, outputs } of graph.nodes) {
    const [condition, , weights] = inputs;
    if (operator !== "Where" || writer.get(weights!)?.operator !== "Softmax") continue;
    const test = writer.get(condition!);
    if (test?.operator === "IsNaN" && test.inputs[0] === weights) redirect(graph, outputs[0]!, weights!);
  }
  prune(graph);
}
