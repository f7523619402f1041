// When and where a run holds a frozen weight. A weight that must become float32 first does so once per reader, just
// before it, so that no float copy of the model lives from the forward pass to the backward pass. And a weight that is
// read as it is stays in the file's mapping, shared by all sessions, instead of in a packed copy per session.

import {
  consumers,
  type Graph,
  intAttribute,
  intsAttribute,
  microsoft,
  type Node,
  producers,
  prune,
  type Tensor,
} from "../onnx/graph.ts";
import { type DataType, dataTypeOfCode, messages } from "../onnx/schema.ts";
import type { WeightRange } from "../runtime/shared_weights.ts";

const readers = new Set(["Cast", "DequantizeLinear", "Transpose"]);

/** Type and shape of a value. */
export interface WeightRead {
  dataType: DataType;
  shape: number[];
}

/** Values that are a frozen weight and nothing else, through Cast, DequantizeLinear and Transpose. */
export function weightReads(graph: Graph): Map<string, WeightRead> {
  const writer = producers(graph), found = new Map<string, WeightRead>();
  const readOf = (value: string): WeightRead | undefined => {
    const tensor = graph.initializers.get(value);
    if (tensor) return tensor.data.kind === "external" ? { dataType: tensor.dataType, shape: tensor.dims } : undefined;
    const node = writer.get(value);
    if (found.has(value) || !node || node.domain !== "" || !readers.has(node.operator)) return found.get(value);
    const inside = readOf(node.inputs[0]!);
    if (!inside) return undefined;
    const { shape, dataType } = inside;
    const order = intsAttribute(node, "perm") ?? shape.map((_, i) => shape.length - 1 - i);
    const read: WeightRead = node.operator === "Transpose"
      ? { dataType, shape: order.map((axis) => shape[axis]!) }
      : { dataType: node.operator === "Cast" ? dataTypeOfCode(intAttribute(node, "to", 0))! : "float32", shape };
    found.set(value, read);
    return read;
  };
  for (const { outputs } of graph.nodes) for (const output of outputs) readOf(output);
  return found;
}

/**
 * Gives every reader of such a value its own copy of the nodes that make it. They stand first in the graph: ONNX Runtime
 * runs a node's inputs latest first, so a node without inputs that stands early runs just before its reader.
 */
export function readWeightsLate(graph: Graph): void {
  const reads = weightReads(graph), writer = producers(graph), all = consumers(graph);
  const copies: Node[] = [];
  let next = 0;
  const copy = (value: string): string => {
    const node = writer.get(value)!;
    const inputs = node.inputs.map((input) => reads.has(input) ? copy(input) : input);
    const name = `${value}/read ${next++}`;
    copies.push({ ...node, name, inputs, outputs: [name] });
    return name;
  };
  for (const value of reads.keys()) {
    for (const reader of all.get(value) ?? []) {
      if (reader.outputs.some((output) => reads.has(output))) continue;
      reader.inputs = reader.inputs.map((input) => input === value ? copy(value) : input);
    }
  }
  graph.nodes = [...copies, ...graph.nodes];
  prune(graph);
}

/**
 * Weights that ONNX Runtime may read where they are mapped. MatMulNBits' own alone it must pack: without that its kernel
 * is several times slower on few rows, and ignores accuracy_level. One with computed scales (a float16 file) is not
 * packed, since ONNX Runtime 1.30 does that wrongly.
 */
function mappedWeights(graph: Graph): Tensor[] {
  const packed = new Set(
    graph.nodes.filter(({ operator, domain }) => operator === "MatMulNBits" && domain === microsoft)
      .filter(({ inputs }) => graph.initializers.has(inputs[2]!))
      .flatMap(({ inputs }) => inputs.slice(1)),
  );
  return [...graph.initializers.values()].filter(({ name, dims }) => dims.length >= 2 && !packed.has(name));
}

/**
 * Declares weights as inputs with a default value, which ONNX Runtime reads where they are mapped: constants it would
 * pack into a copy per session (and fold).
 *
 * @param only which weights to keep mapped
 */
export function keepMapped(graph: Graph, only: (dataType: string) => boolean = () => true): Graph {
  const mapped = mappedWeights(graph).filter(({ dataType }) => only(dataType));
  return {
    ...graph,
    inputs: [...graph.inputs, ...mapped.map(({ name, dataType, dims }) => ({ name, dataType, shape: dims }))],
  };
}

/** The float32 weights that `keepMapped` makes inputs, as ranges of their files. */
export function floatTables(graph: Graph): WeightRange[] {
  return mappedWeights(graph).flatMap(({ name, dataType, dims: shape, data }) => {
    if (data.kind !== "external" || dataType !== "float32") return [];
    const { location, offset, length } = data;
    return [{ name, shape, location, offset, length }];
  });
}

/** ONNX bytes without the defaults of such weights: a run must feed them. onnxruntime-node feeds no input that has one. */
export function withoutDefaults(model: Uint8Array, tables: readonly WeightRange[]): Uint8Array {
  if (tables.length === 0) return model;
  const message = messages.model.decode(model) as unknown as { graph: { initializer: { name: string }[] } };
  const names = new Set(tables.map(({ name }) => name));
  message.graph.initializer = message.graph.initializer.filter(({ name }) => !names.has(name));
  return messages.model.encode(message).finish();
}
