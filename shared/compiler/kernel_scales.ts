// Scales of 4- and 8-bit products in float16 files, as the kernels want them: constants of float32. ONNX Runtime packs a
// product whose scales are constant, and only what is packed rounds activations as the file says (`accuracy_level`) and
// is fast on few rows. Scales are a sixteenth of such a file. It does not know gradients, which cast the file's own.

import { type Graph, intAttribute, microsoft, producers, prune } from "../onnx/graph.ts";
import { readTensorBytes } from "../onnx/external_data.ts";
import { dataTypes } from "../onnx/schema.ts";
import { widen } from "./half_precision.ts";

/** Places of the scales and of zero points that are floats. */
const halves = [2, 3];

/**
 * Replaces casts of float16 scales, where a product reads them, by float32 constants.
 *
 * @param folder where the weights' files lie
 */
export function widenScales(graph: Graph, folder: string): void {
  const writer = producers(graph);
  for (const node of graph.nodes) {
    if (node.operator !== "MatMulNBits" || node.domain !== microsoft) continue;
    for (const i of halves) {
      const cast = writer.get(node.inputs[i] ?? "");
      const half = cast?.operator === "Cast" ? graph.initializers.get(cast.inputs[0]!) : undefined;
      if (half?.dataType !== "float16" || intAttribute(cast!, "to", 0) !== dataTypes.float32.code) continue;
      const name = `${half.name}/widened`;
      if (!graph.initializers.has(name)) {
        const bytes = widen(readTensorBytes(half, folder));
        graph.initializers.set(name, { name, dataType: "float32", dims: half.dims, data: { kind: "inline", bytes } });
      }
      node.inputs[i] = name;
    }
  }
  prune(graph);
}
