// Rewrites fused operators into ordinary ones that have gradients. A table keyed by operator; each rule sees one node
// of a graph whose inputs are already closed (empty past, positions from 0). It does not know gradients.

import { RefusedModelError } from "../errors.ts";
import { attribute, Builder } from "../onnx/builder.ts";
import {
  floatAttribute,
  type Graph,
  intAttribute,
  microsoft,
  type Node,
  operatorKey,
  redirect,
  type Shape,
  sortTopologically,
} from "../onnx/graph.ts";

type Decomposition = (node: Node, build: Builder, refuse: (expected: string) => never) => void;

const decompositions: Record<string, Decomposition> = {
  "com.microsoft.SkipSimplifiedLayerNormalization": skipNormalization,
  "com.microsoft.GroupQueryAttention": groupQueryAttention,
};

/** SkipSimplifiedLayerNormalization(x, skip, scale, bias?) = RMSNorm(x + skip + bias) · scale; output 3 is the sum. */
function skipNormalization(node: Node, build: Builder): void {
  const [x, skip, scale, bias] = node.inputs as [string, string, string, string | undefined];
  let sum = build.add(x, skip);
  if (bias) sum = build.add(sum, bias);
  build.operator("SimplifiedLayerNormalization", [sum, scale], {
    axis: attribute.int(-1),
    epsilon: attribute.float(floatAttribute(node, "epsilon", 1e-5)),
  }, { name: node.name, output: node.outputs[0]! });
  if (node.outputs[3]) redirect(build.graph, node.outputs[3], sum);
}

/**
 * Additive causal mask `[group*sequence, sequence]`: rows repeat per query head of a group, 0 where key ≤ query (and
 * inside the local window), -inf elsewhere.
 */
function causalMask(build: Builder, group: number, window: number): string {
  return build.once(`mask ${group} ${window}`, () => {
    const length = build.once("length", () => build.gather(build.operator("Shape", ["input_ids"]), build.int(1), 0));
    const range = (end: string) => build.operator("Range", [build.int(0), end, build.int(1)]);
    const keys = build.once("keys", () => range(length));
    const rows = range(group === 1 ? length : build.multiply(length, build.int(group)));
    const queries = build.unsqueeze(group === 1 ? rows : build.operator("Mod", [rows, length]), [1]);
    let visible = build.operator("LessOrEqual", [keys, queries]);
    if (window > 0) {
      const inWindow = build.operator("Greater", [keys, build.subtract(queries, build.int(window))]);
      visible = build.operator("And", [visible, inWindow]);
    }
    return build.operator("Where", [visible, build.float(0), build.float(-Infinity)]);
  });
}

/**
 * GroupQueryAttention over a whole sequence with an empty past, in ordinary operators and without repeating keys and
 * values: the query heads of a group are stacked along the sequence, `[batch, kvHeads, group*sequence, head]`.
 */
function groupQueryAttention(node: Node, build: Builder, refuse: (expected: string) => never): void {
  const inputs = node.inputs;
  const heads = intAttribute(node, "num_heads", 0), kvHeads = intAttribute(node, "kv_num_heads", 0);
  const headSize = build.shapes.get(inputs[3]!)?.at(-1) ?? build.shapes.get(inputs[4]!)?.at(-1);
  if (heads < 1 || kvHeads < 1 || heads % kvHeads !== 0 || typeof headSize !== "number") {
    refuse("num_heads a multiple of kv_num_heads, and a cache input with a fixed head size");
  }
  if (inputs.slice(9).some((input) => input !== "") || intAttribute(node, "smooth_softmax", 0) !== 0) {
    refuse("no position_ids, attention_bias or head_sink input and no smooth_softmax");
  }
  const size = headSize as number, group = heads / kvHeads;
  let [query, key, value] = inputs as [string, string, string];
  if (key === "") {
    const widths = build.ints([heads * size, kvHeads * size, kvHeads * size]);
    [query, key, value] = build.operators("Split", [query, widths], 3, { axis: attribute.int(-1) }) as [
      string,
      string,
      string,
    ];
  }
  if (intAttribute(node, "do_rotary", 0) === 1) {
    const rotate = (states: string, count: number) =>
      build.operator("RotaryEmbedding", [states, build.ints([0]), inputs[7]!, inputs[8]!], {
        num_heads: attribute.int(count),
        interleaved: attribute.int(intAttribute(node, "rotary_interleaved", 0)),
      }, { domain: microsoft });
    query = rotate(query, heads);
    key = rotate(key, kvHeads);
  }
  const scale = floatAttribute(node, "scale", 0) || 1 / Math.sqrt(size);
  const softcap = floatAttribute(node, "softcap", 0);
  // [batch, sequence, kv, group, head] -> [batch, kv, group*sequence, head]; scaling the queries is cheaper than the scores.
  const scaled = build.multiply(query, build.float(scale));
  const grouped = build.transpose(build.reshape(scaled, [0, 0, kvHeads, group, size]), [0, 2, 3, 1, 4]);
  const queries = build.reshape(grouped, [0, kvHeads, -1, size]);
  const keys = build.transpose(build.reshape(key, [0, 0, kvHeads, size]), [0, 2, 3, 1]);
  const values = build.transpose(build.reshape(value, [0, 0, kvHeads, size]), [0, 2, 1, 3]);
  let scores = build.matMul(queries, keys);
  if (softcap > 0) {
    const capped = build.operator("Tanh", [build.divide(scores, build.float(softcap))]);
    scores = build.multiply(capped, build.float(softcap));
  }
  const masked = build.add(scores, causalMask(build, group, intAttribute(node, "local_window_size", -1)));
  const weights = build.operator("Softmax", [masked], { axis: attribute.int(-1) });
  const mixed = build.reshape(build.matMul(weights, values), [0, kvHeads, group, -1, size]);
  const merged = build.transpose(mixed, [0, 3, 1, 2, 4]);
  build.operator("Reshape", [merged, build.ints([0, 0, heads * size])], {}, {
    name: node.name,
    output: node.outputs[0]!,
  });
}

/**
 * Replaces each fused operator of the table by ordinary ones with the same result.
 *
 * @param cacheShapes shapes of the cache inputs, from which head sizes are read
 * @throws RefusedModelError naming operator, node and what was expected, for a variant that is not covered.
 */
export function decompose(graph: Graph, path: string, cacheShapes: Map<string, Shape>): void {
  const build = new Builder(graph, "decompose", cacheShapes);
  const fused = graph.nodes.filter((node) => decompositions[operatorKey(node)]);
  for (const node of fused) {
    const refuse = (expected: string): never => {
      throw new RefusedModelError(
        `${path}: ${operatorKey(node)} node "${node.name}" cannot be trained: expected ${expected}.`,
      );
    };
    graph.nodes = graph.nodes.filter((each) => each !== node);
    decompositions[operatorKey(node)]!(node, build, refuse);
  }
  sortTopologically(graph);
}
