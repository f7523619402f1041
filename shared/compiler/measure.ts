// Learns the shape of every value by running the graph twice at small sizes that differ: a size that is the same both
// times is fixed, others are named after the run's sizes. Integers computed from shapes alone that came out the same
// both times are constants (a head size read off a tensor, say). Measuring covers every operator that ONNX Runtime
// has; there are no shape rules to get wrong. It does not know gradients.

import { InferenceSession, Tensor } from "onnxruntime-node";
import { cloneGraph, type Graph, prune, type Shape, type Tensor as GraphTensor } from "../onnx/graph.ts";
import { writeModel } from "../onnx/write_model.ts";
import { sessionOptions } from "../runtime/session.ts";
import { lowerHead, prospect } from "./score_head.ts";
import { batch, sequence } from "./specialize.ts";

/** Two runs whose sizes, products included, are told apart from each other and from any fixed size. */
const probes: Record<string, number>[] = [
  { [batch]: 3, [sequence]: 7, tokens: 8, rows: 13 },
  { [batch]: 5, [sequence]: 11, tokens: 16, rows: 17 },
];

/** Name of a size seen as `seen` in the two probes: a number, or a product of runtime sizes. */
function nameSize(seen: [number, number], what: string): number | string {
  if (seen[0] === seen[1]) return seen[0];
  for (const factors of [[batch], [sequence], ["tokens"], ["rows"], [batch, sequence], [sequence, sequence]]) {
    const products = probes.map((probe) => factors.reduce((product, factor) => product * probe[factor]!, 1));
    const ratio = seen[0] / products[0]!;
    if (Number.isInteger(ratio) && ratio * products[1]! === seen[1]) {
      return ratio === 1 ? factors.join("*") : [ratio, ...factors].join("*");
    }
  }
  throw new Error(`The compiler cannot name the size of ${what}: ${seen}.`);
}

/** Values computed from shapes and constants alone, whatever is fed. */
function shapeArithmetic(graph: Graph): Set<string> {
  const found = new Set<string>();
  for (const node of graph.nodes) {
    const known = (input: string) =>
      found.has(input) || input === "" || graph.initializers.get(input)?.data.kind === "inline";
    if (node.operator === "Shape" || node.inputs.every(known)) { for (const output of node.outputs) found.add(output); }
  }
  return found;
}

const foldedElements = 64;

export interface Measured {
  shapes: Map<string, Shape>;
  /** int64 values that do not depend on the run. */
  constants: Map<string, GraphTensor>;
}

/** Puts measured constants in place of the nodes that compute them. */
export function applyConstants(graph: Graph, constants: Map<string, GraphTensor>): void {
  graph.nodes = graph.nodes.filter((node) => !node.outputs.every((output) => constants.has(output)));
  for (const [name, tensor] of constants) graph.initializers.set(name, tensor);
  prune(graph);
}

/**
 * Measured shapes of all values of the graph, inputs and outputs of nodes alike, and its integer constants.
 *
 * @param fixed inputs whose declared shape is freer than what they will be fed: LoRA matrices, whose rank is open
 */
export async function measureShapes(
  graph: Graph,
  folder: string,
  fixed: { name: string; shape: number[] }[],
): Promise<Measured> {
  const shapes = new Map<string, Shape>(graph.inputs.map((input) => [input.name, input.shape]));
  for (const { name, shape } of fixed) shapes.set(name, shape);
  const pseudo = graph.nodes.filter((node) => node.domain === prospect);
  const probe = cloneGraph(graph);
  lowerHead(probe);
  const inputs = new Set(graph.inputs.map((input) => input.name));
  const names = [...new Set(graph.nodes.flatMap((node) => node.outputs))]
    .filter((name) => name !== "" && !inputs.has(name) && !pseudo.some((node) => node.outputs[1] === name));
  probe.outputs = names.map((name) => ({ name }));
  const session = await InferenceSession.create(writeModel(probe), sessionOptions(folder));
  const arithmetic = shapeArithmetic(graph);
  const seen: Map<string, readonly number[]>[] = [];
  const values: Map<string, BigInt64Array>[] = [];
  for (const sizes of probes) {
    const feeds: Record<string, Tensor> = {};
    for (const input of graph.inputs) {
      const dims = shapes.get(input.name)!.map((size) => typeof size === "number" ? size : sizes[size]!);
      const count = dims.reduce((product, size) => product * size, 1);
      feeds[input.name] = input.dataType === "int64"
        ? new Tensor("int64", new BigInt64Array(count), dims)
        : new Tensor("float32", new Float32Array(count), dims);
    }
    const results = await session.run(feeds);
    values.push(
      new Map(
        Object.entries(results).flatMap(([name, { type, data, size }]) =>
          type === "int64" && size <= foldedElements && arithmetic.has(name) ? [[name, data as BigInt64Array]] : []
        ),
      ),
    );
    seen.push(new Map(Object.entries(results).map(([name, tensor]) => [name, tensor.dims])));
  }
  await session.release();
  for (const name of names) {
    const [first, second] = [seen[0]!.get(name)!, seen[1]!.get(name)!];
    shapes.set(name, first.map((size, axis) => nameSize([size, second[axis]!], `"${name}" axis ${axis}`)));
  }
  for (const node of pseudo) shapes.set(node.outputs[1]!, shapes.get(node.inputs[0]!)!);
  const constants = new Map<string, GraphTensor>();
  for (const [name, data] of values[0]!) {
    const other = values[1]!.get(name), dims = shapes.get(name)!;
    if (other?.length !== data.length || !data.every((value, i) => value === other[i])) continue;
    const bytes = new Uint8Array(BigInt64Array.from(data).buffer);
    constants.set(name, { name, dataType: "int64", dims: dims as number[], data: { kind: "inline", bytes } });
  }
  return { shapes, constants };
}
