// torch's dynamo exporter keeps module paths in metadata of the nodes, and quantising scripts write new nodes without it.
// The file that they were made from, where it still lies beside the quantised one, has the same nodes under the same
// names: their metadata is taken from there. It does not know what the metadata says.

import { existsSync } from "node:fs";
import { InputError } from "../errors.ts";
import type { Graph } from "../onnx/graph.ts";
import { readModel } from "../onnx/read_model.ts";
import { DTYPE_SUFFIXES } from "../runtime/dtypes.ts";

const suffixes = Object.values(DTYPE_SUFFIXES).filter((suffix) => suffix !== "").join("|");

/** What quantising scripts append to the name of a node: `MatMul_Q4`, `MatMul_quant`. */
const appended = /_(Q4|Q8|quant)$/;

/** Gives nodes without metadata that of the node of the same name in the float32 file beside `path`, if there is one. */
export function recallNames(graph: Graph, path: string): void {
  const bare = graph.nodes.filter(({ metadata, name }) => metadata.size === 0 && name !== "");
  const origin = path.replace(new RegExp(`(${suffixes})\\.onnx$`), ".onnx");
  // Exporters that keep no metadata name nodes by their module path.
  if (origin === path || bare.length === 0 || bare.every(({ name }) => name.includes("/")) || !existsSync(origin)) {
    return;
  }
  let source: Graph;
  try {
    source = readModel(origin);
  } catch (error) {
    // A broken neighbour is no reason to refuse this file.
    if (error instanceof InputError) return;
    throw error;
  }
  const metadata = new Map(source.nodes.map((node) => [node.name, node.metadata]));
  for (const node of bare) node.metadata = metadata.get(node.name.replace(appended, "")) ?? node.metadata;
}
