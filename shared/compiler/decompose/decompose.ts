// Rewrites fused operators into ordinary ones that have gradients: one table keyed by operator, a file per family. Each
// rule sees one node of a graph whose inputs are already closed (empty past, positions from 0). It does not know
// gradients.

import { RefusedModelError } from "../../errors.ts";
import { Builder } from "../../onnx/builder.ts";
import { type Graph, operatorKey, type Shape, sortTopologically } from "../../onnx/graph.ts";
import { activations } from "./activation.ts";
import { choice, loop } from "./control_flow.ts";
import { groupedQueryAttention } from "./grouped_query_attention.ts";
import { multiHeadAttention } from "./multi_head_attention.ts";
import { normalizations } from "./normalization.ts";
import { onnxAttention } from "./onnx_attention.ts";
import { packedAttention } from "./packed_attention.ts";
import { products } from "./product.ts";
import type { Decomposition } from "./rule.ts";

const experts: Decomposition = (_node, _build, refuse) =>
  refuse("a dense decoder; a mixture of experts picks layers token by token, which Prospect does not train");

const sparse: Decomposition = (_node, _build, refuse) =>
  refuse("attention to every key; block-sparse attention is not trained");

/** Names that decompositions make begin with this and a slash. */
export const decomposePrefix = "decompose";

/** Every decomposition, by operator (with its domain where that is not ai.onnx). */
export const decompositions: Readonly<Record<string, Decomposition>> = {
  ...normalizations,
  ...activations,
  ...products,
  "com.microsoft.Attention": packedAttention,
  "com.microsoft.GroupQueryAttention": groupedQueryAttention,
  "com.microsoft.MultiHeadAttention": multiHeadAttention,
  "com.microsoft.SparseAttention": sparse,
  Attention: onnxAttention,
  "com.microsoft.MoE": experts,
  "com.microsoft.QMoE": experts,
  If: choice,
  Loop: loop,
  Scan: loop,
  // What ordinary operators choose experts with.
  TopK: experts,
};

/**
 * Replaces each fused operator of the table by ordinary ones with the same result.
 *
 * @param inputShapes shapes of the model's inputs as its file declares them: head sizes are read off the cache
 * @param table which operators; all of them where it is left out
 * @throws RefusedModelError naming operator, node and what was expected, for a variant that is not covered.
 */
export function decompose(graph: Graph, path: string, inputShapes: Map<string, Shape>, table = decompositions): void {
  const build = new Builder(graph, decomposePrefix, inputShapes);
  const fused = graph.nodes.filter((node) => table[operatorKey(node)]);
  for (const node of fused) {
    const refuse = (expected: string): never => {
      throw new RefusedModelError(
        `${path}: ${operatorKey(node)} node "${node.name}" cannot be trained: expected ${expected}.`,
      );
    };
    graph.nodes = graph.nodes.filter((each) => each !== node);
    table[operatorKey(node)]!(node, build, refuse);
  }
  sortTopologically(graph);
}
