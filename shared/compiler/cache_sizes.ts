// The newest GenAI builder writes a name for the last axis of the cache where older ones wrote its size. The size of a
// head is then read off the layer behind the attention, so that every pass, and whoever feeds an empty cache, finds a
// number. It does not know config.json.

import { consumers, type Graph, intAttribute, microsoft, producers } from "../onnx/graph.ts";
import { weightSizes } from "./linear_layers.ts";

/** Values that are one and the same size of the attention's output on the way to the layer behind it. */
const passes = new Set(["Cast", "Identity", "Mul", "Add"]);

/** Gives cache inputs of GroupQueryAttention whose last axis has but a name the size of a head. */
export function sizeCaches(graph: Graph): void {
  const named = new Set(
    graph.inputs.filter(({ shape }) => shape.length === 4 && typeof shape[3] === "string")
      .map(({ name }) => name),
  );
  if (named.size === 0) return;
  const readers = consumers(graph), writer = producers(graph), sizes = new Map<string, number>();
  const widthBehind = (value: string): number | undefined => {
    for (const reader of readers.get(value) ?? []) {
      const width = reader.inputs[0] === value ? weightSizes(reader, graph, writer)?.[0] : undefined;
      if (width !== undefined) return width;
      if (passes.has(reader.operator)) return widthBehind(reader.outputs[0]!);
    }
    return undefined;
  };
  for (const node of graph.nodes) {
    if (node.operator !== "GroupQueryAttention" || node.domain !== microsoft) continue;
    const size = (widthBehind(node.outputs[0]!) ?? 0) / intAttribute(node, "num_heads", 0);
    if (!Number.isInteger(size) || size < 1) continue;
    for (const past of node.inputs.slice(3, 5)) if (named.has(past)) sizes.set(past, size);
  }
  graph.inputs = graph.inputs.map((input) => {
    const size = sizes.get(input.name);
    return size === undefined ? input : { ...input, shape: [...input.shape.slice(0, 3), size] };
  });
}
