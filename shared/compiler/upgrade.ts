// Brings a graph of an older operator set to the one that the compiler writes, so that every pass and rule sees one
// form of each operator. A table keyed by operator, after ONNX's changelog (docs/Changelog.md). It does not know models.

import { RefusedModelError } from "../errors.ts";
import { attribute, Builder } from "../onnx/builder.ts";
import { type Attribute, type Graph, intAttribute, type Node } from "../onnx/graph.ts";

/** The operator set of compiled graphs: the first in which DequantizeLinear reads blocks of 4 bits. */
export const compiledOpset = 21;
/** IR version that goes with it. */
const compiledIrVersion = 10;
/** Older exports lack operators that a decoder of transformers.js is made of. */
const oldestOpset = 9;

type Rule = (node: Node, build: Builder) => void;

/** A constant of what an attribute holds. */
function constant(build: Builder, value: Attribute | undefined): string {
  if (value?.kind === "ints") return build.ints(value.value);
  if (value?.kind === "int") return build.ints([value.value]);
  if (value?.kind === "float") return build.float(value.value);
  return "";
}

/** Attributes that became inputs behind the first, in order. A node that has them as inputs already stays. */
function toInputs(...names: string[]): Rule {
  return (node, build) => {
    if (!names.some((name) => node.attributes.has(name))) return;
    const values = names.map((name) => constant(build, node.attributes.get(name)));
    while (values.at(-1) === "") values.pop();
    node.inputs = [node.inputs[0]!, ...values];
    for (const name of names) node.attributes.delete(name);
  };
}

/** Softmax up to opset 12 is one over all axes from `axis` (1 if not given) on; the last axis alone is the same. */
const flattenedSoftmax: Rule = (node, build) => {
  const axis = intAttribute(node, "axis", 1);
  node.attributes.set("axis", attribute.int(-1));
  if (axis === -1) return;
  const x = node.inputs[0]!, y = node.outputs[0]!;
  const shape = build.operator("Shape", [x]);
  node.inputs = [build.operator("Flatten", [x], { axis: attribute.int(axis) })];
  node.outputs = [`${y}/flat`];
  build.operator("Reshape", [node.outputs[0]!, shape], {}, { output: y });
};

const reductions = ["ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum"];

/** What changed, by operator: the opset from which on the new form holds, and how to write it. Oldest change first. */
const changes: Record<string, { since: number; rule: Rule }[]> = {
  Slice: [{ since: 10, rule: toInputs("starts", "ends", "axes") }],
  Clip: [{ since: 11, rule: toInputs("min", "max") }],
  Pad: [{ since: 11, rule: toInputs("pads", "value") }],
  Scatter: [{ since: 11, rule: (node) => node.operator = "ScatterElements" }],
  Dropout: [{ since: 12, rule: (node) => node.attributes.delete("ratio") }],
  Softmax: [{ since: 13, rule: flattenedSoftmax }],
  LogSoftmax: [{ since: 13, rule: flattenedSoftmax }],
  Squeeze: [{ since: 13, rule: toInputs("axes") }],
  Unsqueeze: [{ since: 13, rule: toInputs("axes") }],
  ReduceSum: [{ since: 13, rule: toInputs("axes") }],
  ...Object.fromEntries(
    [...reductions, "ReduceLogSumExp", "ReduceSumSquare"].map((
      name,
    ) => [name, [{ since: 18, rule: toInputs("axes") }]]),
  ),
  Split: [
    { since: 13, rule: toInputs("split") },
    {
      since: 18,
      rule: (node) => {
        if (!node.inputs[1]) node.attributes.set("num_outputs", attribute.int(node.outputs.length));
      },
    },
  ],
};

/**
 * Rewrites a graph for {@link compiledOpset}; one of a newer opset stays as it is. Every other operator of a decoder
 * means the same in all of them: what changed are the element types that it takes, or attributes whose defaults are
 * the old behaviour (`allowzero`, `reduction`, `saturate`, `block_size`).
 *
 * @throws RefusedModelError for a graph too old
 */
export function upgradeOpset(graph: Graph, path: string): void {
  const opset = graph.opsets.get("") ?? 0;
  if (opset >= compiledOpset) return;
  if (opset < oldestOpset) {
    throw new RefusedModelError(`${path}: expected opset ${oldestOpset} or newer (it is ${opset}); export it again.`);
  }
  const build = new Builder(graph, "upgrade");
  for (const node of [...graph.nodes]) {
    if (node.domain !== "") continue;
    for (const { since, rule } of changes[node.operator] ?? []) if (opset < since) rule(node, build);
  }
  graph.opsets.set("", compiledOpset);
  graph.irVersion = Math.max(graph.irVersion, compiledIrVersion);
}
