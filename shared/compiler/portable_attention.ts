// GroupQueryAttention as ONNX Runtime's CPU has it, for graphs that answer: the GenAI builder writes norms of query and key
// into it for other devices, and a cache that holds no more than a window, which its own runtime shifts. Both mean the same
// without. It does not know training, which writes attention out.

import { attribute, Builder } from "../onnx/builder.ts";
import { floatAttribute, type Graph, intAttribute, microsoft, sortTopologically } from "../onnx/graph.ts";

/** Places of the norms' scales, as the schema has them. */
const norms = { query: 14, key: 15 };

/** Takes what only some devices have out of every attention of the graph, in front of it or away. */
export function portableAttention(graph: Graph): void {
  const build = new Builder(graph, "portable");
  for (
    const node of graph.nodes.filter((each) => each.operator === "GroupQueryAttention" && each.domain === microsoft)
  ) {
    // The window itself is an attribute of its own, and stays.
    node.attributes.delete("sliding_window_cache");
    const queryNorm = node.inputs[norms.query], keyNorm = node.inputs[norms.key];
    if (!queryNorm || !keyNorm || !node.inputs[1]) continue;
    const normal = (states: string, heads: string, scale: string) => {
      const perHead = build.reshape(states, [0, 0, intAttribute(node, heads, 1), -1]);
      const normed = build.operator("SimplifiedLayerNormalization", [perHead, scale], {
        axis: attribute.int(-1),
        epsilon: attribute.float(floatAttribute(node, "qk_norm_epsilon", 1e-6)),
      });
      return build.reshape(normed, [0, 0, -1]);
    };
    node.inputs[0] = normal(node.inputs[0]!, "num_heads", queryNorm);
    node.inputs[1] = normal(node.inputs[1], "kv_num_heads", keyNorm);
    node.inputs.length = norms.query;
    while (node.inputs.at(-1) === "") node.inputs.pop();
    node.attributes.delete("qk_norm_epsilon");
  }
  sortTopologically(graph);
}
