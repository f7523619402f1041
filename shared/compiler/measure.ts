// Learns the shape of every value by running the graph twice at small sizes that differ: a size that is the same both
// times is fixed, others are named after the run's sizes. Integers computed from shapes alone that came out the same
// both times are constants (a head size read off a tensor, say). Measuring covers every operator that ONNX Runtime
// has; there are no shape rules to get wrong. It does not know gradients.

import { InferenceSession, Tensor } from "onnxruntime-node";
import { cloneGraph, type Graph, prune, type Shape, type Tensor as GraphTensor } from "../onnx/graph.ts";
import type { DataType } from "../onnx/schema.ts";
import { writeModel } from "../onnx/write_model.ts";
import { returnFreedMemory } from "../runtime/native_memory.ts";
import { sessionOptions } from "../runtime/session.ts";
import { lowerHead, prospect } from "./score_head.ts";
import { batch, sequence, tree } from "./specialize.ts";
import { keepMapped, weightReads } from "./weight_reads.ts";

/** Two runs whose sizes, products included, are told apart from each other and from any fixed size. */
const probes: Record<string, number>[] = [
  { [batch]: 2, [sequence]: 3, tokens: 4, rows: 5 },
  { [batch]: 3, [sequence]: 5, tokens: 8, rows: 7 },
];

/** A size that no run chooses, such as an open rank: it differs between the probes, and is no product of their sizes. */
const openSizes = [13, 17];

/** Name of a size seen as `seen` in the two probes: a number, a product of runtime sizes, or undefined for another. */
function nameSize(seen: [number, number]): number | string | undefined {
  if (seen[0] === seen[1]) return seen[0];
  for (const factors of [[batch], [sequence], ["tokens"], ["rows"], [batch, sequence], [sequence, sequence]]) {
    const products = probes.map((probe) => factors.reduce((product, factor) => product * probe[factor]!, 1));
    const ratio = seen[0] / products[0]!;
    if (Number.isInteger(ratio) && ratio * products[1]! === seen[1]) {
      return ratio === 1 ? factors.join("*") : [ratio, ...factors].join("*");
    }
  }
  return undefined;
}

interface Probed {
  dataType: DataType;
  /** undefined where an axis has a size that is not one of a run's, such as an open rank. */
  shape: Shape | undefined;
  /** Values in both probes, of small integers. */
  integers: [BigInt64Array, BigInt64Array] | undefined;
  /** Whether it was a causal mask in both probes. */
  causal: boolean;
}

/** Whether a tensor `[…, m·n, n]` lets each of n queries, m times over, see itself and what stands before it. */
function isCausalMask({ type, dims, data }: Tensor): boolean {
  const n = dims.at(-1) ?? 0, rows = dims.at(-2) ?? 0;
  if ((type !== "bool" && type !== "float32") || n < 2 || rows === 0 || rows % n !== 0) return false;
  const visible = type === "bool" ? (value: number) => value === 1 : (value: number) => value === 0;
  const hidden = type === "bool" ? (value: number) => value === 0 : (value: number) => value <= -1e4;
  return (data as Uint8Array | Float32Array).every((value, i) =>
    (i % n <= Math.floor(i / n) % n ? visible : hidden)(value)
  );
}

const foldedElements = 64;

/** What one probe saw of a value. */
interface Seen {
  dataType: DataType;
  dims: readonly number[];
  integers: BigInt64Array | undefined;
  causal: boolean;
}

/** Notes what is needed of an output and gives its native memory back at once: all values of a graph are many. */
function look(value: Tensor): Seen {
  const small = value.type === "int64" && value.size <= foldedElements;
  const integers = small ? (value.data as BigInt64Array).slice() : undefined;
  const { dims } = value, dataType = value.type as DataType, causal = isCausalMask(value);
  value.dispose();
  return { dataType, dims, integers, causal };
}

/** Runs the graph at both sizes and returns what every value was that is not known yet. */
async function probe(
  graph: Graph,
  folder: string,
  fixed: { name: string; shape: number[] }[],
  known: ReadonlyMap<string, unknown> = new Map(),
): Promise<Map<string, Probed>> {
  const given = new Map<string, Shape>(graph.inputs.map((input) => [input.name, input.shape]));
  for (const { name, shape } of fixed) given.set(name, shape);
  // Weights made float32 are not looked at: together they would be a float copy of the model.
  const reads = weightReads(graph);
  const names = [...new Set(graph.nodes.flatMap((node) => node.outputs))]
    .filter((name) => name !== "" && !reads.has(name) && !known.has(name));
  const open: Graph = { ...graph, outputs: names.map((name) => ({ name })) };
  const session = await InferenceSession.create(writeModel(keepMapped(open)), sessionOptions(folder));
  const runs: Map<string, Seen>[] = [];
  for (const [i, sizes] of probes.entries()) {
    const feeds: Record<string, Tensor> = {};
    for (const input of graph.inputs) {
      const dims = given.get(input.name)!.map((size) => typeof size === "number" ? size : sizes[size] ?? openSizes[i]!);
      const count = dims.reduce((product, size) => product * size, 1);
      const index = (at: number) => input.name === tree.positions ? at : input.name === tree.ends ? count : 0;
      feeds[input.name] = input.dataType === "int64"
        ? new Tensor("int64", BigInt64Array.from({ length: count }, (_, at) => BigInt(index(at))), dims)
        : new Tensor("float32", new Float32Array(count), dims);
    }
    runs.push(new Map(Object.entries(await session.run(feeds)).map(([name, value]) => [name, look(value)])));
  }
  await session.release();
  returnFreedMemory();
  const made = [...reads].map((
    [name, read],
  ): [string, Probed] => [name, { ...read, integers: undefined, causal: false }]);
  const measured = names.map((name): [string, Probed] => {
    const [first, second] = [runs[0]!.get(name)!, runs[1]!.get(name)!];
    const shape = first.dims.map((size, axis) => nameSize([size, second.dims[axis]!]));
    const both = first.integers && second.integers && first.integers.length === second.integers.length;
    return [name, {
      dataType: first.dataType,
      shape: shape.includes(undefined) ? undefined : shape as Shape,
      integers: both ? [first.integers!, second.integers!] : undefined,
      causal: first.causal && second.causal,
    }];
  });
  return new Map([...made, ...measured]);
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

/** Type and shape of a value. */
export interface ValueType {
  dataType: DataType;
  shape: Shape;
}

export interface Measured {
  /** Shapes of all values, inputs and outputs of nodes alike. */
  shapes: Map<string, Shape>;
  /** What the graph's own nodes put out, for annotateShapes of graphs that go on from this one. */
  types: Map<string, ValueType>;
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
 * Measures all values of a graph.
 *
 * @param fixed inputs whose declared shape is freer than what they will be fed: LoRA matrices, whose rank is open
 */
export async function measureShapes(
  graph: Graph,
  folder: string,
  fixed: { name: string; shape: number[] }[],
): Promise<Measured> {
  const pseudo = graph.nodes.filter((node) => node.domain === prospect);
  const lowered = cloneGraph(graph);
  lowerHead(lowered);
  const probed = await probe(lowered, folder, fixed);
  const arithmetic = shapeArithmetic(graph);
  const shapes = new Map<string, Shape>(graph.inputs.map((input) => [input.name, input.shape]));
  for (const { name, shape } of fixed) shapes.set(name, shape);
  const own = new Set(graph.nodes.flatMap(({ outputs }) => outputs));
  const constants = new Map<string, GraphTensor>(), types = new Map<string, ValueType>();
  for (const [name, { dataType, shape, integers }] of probed) {
    if (shape) shapes.set(name, shape);
    if (shape && own.has(name)) types.set(name, { dataType, shape });
    if (!integers || !shape || !arithmetic.has(name)) continue;
    const [data, other] = integers;
    if (!data.every((value, i) => value === other[i])) continue;
    const bytes = new Uint8Array(BigInt64Array.from(data).buffer);
    constants.set(name, { name, dataType: "int64", dims: shape as number[], data: { kind: "inline", bytes } });
  }
  for (const node of pseudo) shapes.set(node.outputs[1]!, shapes.get(node.inputs[0]!)!);
  return { shapes, types, constants };
}

/** What annotateShapes found besides: causal masks computed from shapes alone, and their types. */
export type CausalMasks = Map<string, "bool" | "float32">;

/**
 * Writes the shape of every value into the graph. ONNX Runtime's planner then finds a buffer to use again at once;
 * without shapes it compares every value with every free one, which took 25 s for the gradient of SmolLM2-135M.
 *
 * @param known values that were measured before, in a graph that this one goes on from
 */
export async function annotateShapes(
  graph: Graph,
  folder: string,
  fixed: { name: string; shape: number[] }[],
  known: ReadonlyMap<string, ValueType> = new Map(),
): Promise<CausalMasks> {
  const outputs = new Set(graph.outputs.map((output) => output.name));
  const probed = await probe(graph, folder, fixed, known);
  const made = new Set(graph.nodes.flatMap((node) => node.outputs));
  graph.values = [...known, ...probed].flatMap(([name, { dataType, shape }]) =>
    shape && made.has(name) && !outputs.has(name) ? [{ name, dataType, shape }] : []
  );
  const arithmetic = shapeArithmetic(graph);
  return new Map(
    [...probed].flatMap(([name, { causal, dataType }]) =>
      causal && arithmetic.has(name) ? [[name, dataType as "bool" | "float32"]] : []
    ),
  );
}
