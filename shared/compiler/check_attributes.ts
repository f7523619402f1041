// Attributes whose value no exporter writes: kernels make something of them that nobody means, such as a weight of 0 for
// every key where the scale of the attention is not a number, or crash (a division by no heads). A table keyed by the
// attribute's name, which means the same in all operators that have it. It does not know the operators.

import { InputError } from "../errors.ts";
import { type Attribute, type Graph, operatorKey } from "../onnx/graph.ts";

interface Range {
  holds: (value: number) => boolean;
  /** What is expected, for the message. */
  expected: string;
}

const finite: Range = { holds: Number.isFinite, expected: "a finite number" };
const notNegative: Range = { holds: (value) => value >= 0 && value < Infinity, expected: "a number of 0 or more" };
const flag: Range = { holds: (value) => value === 0 || value === 1, expected: "0 or 1" };
/** Kernels read whole numbers as 32 bits. */
const most = 2 ** 31 - 1;
const counting = (least: number): Range => ({
  holds: (value) => value >= least && value <= most,
  expected: `a whole number of ${least} or more`,
});
const window: Range = {
  holds: (value) => value === -1 || (value >= 1 && value <= most),
  expected: "a window of 1 or more, or -1 for none",
};
const filter: Range = { holds: (value) => value < Infinity, expected: "a number, or -Infinity" };

const ranges: Record<string, Range> = {
  scale: finite,
  alpha: finite,
  beta: finite,
  activation_alpha: finite,
  softcap: notNegative,
  epsilon: notNegative,
  qk_norm_epsilon: notNegative,
  mask_filter_value: filter,
  local_window_size: window,
  // RotaryEmbedding has 0 for what the tensor says.
  num_heads: counting(0),
  kv_num_heads: counting(1),
  q_num_heads: counting(1),
  rotary_embedding_dim: counting(0),
  do_rotary: flag,
  rotary_interleaved: flag,
  interleaved: flag,
  smooth_softmax: flag,
  unidirectional: flag,
  causal: flag,
  is_causal: flag,
  transA: flag,
  transB: flag,
  transBatchA: flag,
  transBatchB: flag,
  keepdims: flag,
};

/**
 * Checks the attributes that the table has, in every node.
 *
 * @throws InputError naming file, operator, node, attribute and what was expected
 */
export function checkAttributes(graph: Graph, path: string): void {
  for (const node of graph.nodes) {
    for (const [name, attribute] of node.attributes) {
      const range = Object.hasOwn(ranges, name) ? ranges[name]! : undefined, value = numberIn(attribute);
      if (!range || value === undefined || range.holds(value)) continue;
      throw new InputError(
        `${path}: operator ${operatorKey(node)}, node "${node.name}": attribute "${name}" is ${value}, where ` +
          `${range.expected} was expected; download or export it again.`,
      );
    }
  }
}

const numberIn = (attribute: Attribute) =>
  attribute.kind === "int" || attribute.kind === "float" ? attribute.value : undefined;
