// Which initializers are weights of the model, for full-parameter training: by the place where an operator reads them.
// Caches, scales and shape constants are read elsewhere and so are left alone.

import type { Graph } from "../onnx/graph.ts";

/** Input positions that hold weights. Add and Mul hold biases and norm scales that an exporter wrote out. */
const weightInputs: Record<string, number[]> = {
  MatMul: [1],
  Gemm: [1, 2],
  Gather: [0],
  SimplifiedLayerNormalization: [1],
  LayerNormalization: [1, 2],
  Transpose: [0],
  Add: [0, 1],
  Mul: [0, 1],
};

/** Names of the float weights of one or two axes, in graph order, each once (a tied embedding is one weight). */
export function trainableWeights(graph: Graph): string[] {
  const names = new Set<string>();
  const rotations = new Set(
    graph.nodes.filter((node) => node.operator === "RotaryEmbedding").flatMap(({ inputs }) => inputs),
  );
  for (const node of graph.nodes) {
    // Cosines and sines that are looked up by position.
    if (node.operator === "Gather" && rotations.has(node.outputs[0]!)) continue;
    for (const i of weightInputs[node.operator] ?? []) {
      const tensor = graph.initializers.get(node.inputs[i] ?? "");
      if (!tensor || tensor.dataType !== "float32" || tensor.dims.length === 0 || tensor.dims.length > 2) continue;
      if ((node.operator === "Add" || node.operator === "Mul") && tensor.dims.length !== 1) continue;
      if (tensor.dims.some((size) => size < 2)) continue;
      names.add(tensor.name);
    }
  }
  return [...names];
}
