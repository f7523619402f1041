// The compiler's view of an ONNX model: a flat list of nodes over named values, initializers that are either small and
// inline or a range of a file, and a few queries. It does not know protobuf, operators' meanings or gradients.

import type { DataType } from "./schema.ts";

/** A dimension: a number, or the name of a size that differs from run to run. */
export type Dimension = number | string;
export type Shape = Dimension[];

/** Where an initializer's bytes are. `external` is a range of `location`, a file in the model's folder. */
export type TensorData =
  | { kind: "inline"; bytes: Uint8Array }
  | { kind: "external"; location: string; offset: number; length: number };

export interface Tensor {
  name: string;
  dataType: DataType;
  dims: number[];
  data: TensorData;
}

export type Attribute =
  | { kind: "int"; value: number }
  | { kind: "float"; value: number }
  | { kind: "string"; value: string }
  | { kind: "ints"; value: number[] }
  | { kind: "floats"; value: number[] }
  | { kind: "strings"; value: string[] }
  | { kind: "tensor"; value: Tensor }
  | { kind: "graph"; value: Uint8Array };

export interface Node {
  operator: string;
  /** "" is ai.onnx. */
  domain: string;
  name: string;
  /** "" stands for an optional input or output that is left out. */
  inputs: string[];
  outputs: string[];
  attributes: Map<string, Attribute>;
  /** metadata_props; the dynamo exporter keeps module paths here. */
  metadata: Map<string, string>;
}

export interface Value {
  name: string;
  dataType: DataType;
  shape: Shape;
}

export interface Graph {
  irVersion: number;
  /** Operator-set version by domain. */
  opsets: Map<string, number>;
  inputs: Value[];
  /** Outputs of compiled graphs may be untyped: ONNX Runtime infers the rest. */
  outputs: (Value | { name: string })[];
  nodes: Node[];
  initializers: Map<string, Tensor>;
  /** Types and shapes of inner values, where they are known. */
  values?: Value[];
}

/** Domain of ONNX Runtime's own operators. */
export const microsoft = "com.microsoft";

/** Operator with its domain, as rule tables and messages name it: `MatMul`, `com.microsoft.GroupQueryAttention`. */
export function operatorKey(node: Pick<Node, "operator" | "domain">): string {
  return node.domain === "" || node.domain === "ai.onnx" ? node.operator : `${node.domain}.${node.operator}`;
}

/** A copy that may be changed freely: nodes and lists are new, tensors are shared. */
export function cloneGraph(graph: Graph): Graph {
  return {
    irVersion: graph.irVersion,
    opsets: new Map(graph.opsets),
    inputs: [...graph.inputs],
    outputs: [...graph.outputs],
    nodes: graph.nodes.map((node) => ({ ...node, inputs: [...node.inputs], outputs: [...node.outputs] })),
    initializers: new Map(graph.initializers),
  };
}

/** The node that writes each value. */
export function producers(graph: Graph): Map<string, Node> {
  const map = new Map<string, Node>();
  for (const node of graph.nodes) for (const output of node.outputs) if (output !== "") map.set(output, node);
  return map;
}

/** The nodes that read each value, in graph order. */
export function consumers(graph: Graph): Map<string, Node[]> {
  const map = new Map<string, Node[]>();
  for (const node of graph.nodes) {
    for (const input of new Set(node.inputs)) {
      if (input === "") continue;
      const list = map.get(input);
      if (list) list.push(node);
      else map.set(input, [node]);
    }
  }
  return map;
}

/** Lets every reader of `from` (graph outputs included, unless `except` reads it) read `to` instead. */
export function redirect(graph: Graph, from: string, to: string, except: ReadonlySet<Node> = new Set()): void {
  for (const node of graph.nodes) {
    if (except.has(node)) continue;
    for (let i = 0; i < node.inputs.length; i++) if (node.inputs[i] === from) node.inputs[i] = to;
  }
}

/** Drops what no output needs: nodes, initializers; graph inputs stay, they are the caller's contract. */
export function prune(graph: Graph): void {
  const writer = producers(graph);
  const needed = new Set<Node>();
  const read = new Set<string>();
  const waiting = graph.outputs.map((output) => output.name);
  while (waiting.length > 0) {
    const value = waiting.pop()!;
    read.add(value);
    const node = writer.get(value);
    if (!node || needed.has(node)) continue;
    needed.add(node);
    waiting.push(...node.inputs);
  }
  graph.nodes = graph.nodes.filter((node) => needed.has(node));
  for (const name of graph.initializers.keys()) if (!read.has(name)) graph.initializers.delete(name);
}

/** Nodes that wait for each other, so that none of them can be the first. */
export class CyclicGraphError extends Error {
  /** @param circle the nodes, each of which reads what the one before it writes, and the last is read by the first */
  constructor(readonly circle: Node[]) {
    const names = circle.slice(0, 4).map(({ name, operator }) => `"${name || operator}"`).join(", ");
    super(`its nodes wait for each other in a circle (${names}${circle.length > 4 ? ", …" : ""})`);
  }
}

/**
 * Puts nodes into an order in which every value is written before it is read, otherwise keeping their order.
 *
 * @throws CyclicGraphError where there is none
 */
export function sortTopologically(graph: Graph): void {
  const writer = producers(graph);
  const done = new Set<Node>(), waiting = new Set<Node>();
  const sorted: Node[] = [];
  for (const start of graph.nodes) {
    const stack: { node: Node; next: number }[] = done.has(start) ? [] : [{ node: start, next: 0 }];
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!;
      waiting.add(top.node);
      const input = top.node.inputs[top.next++];
      if (input === undefined) {
        stack.pop();
        waiting.delete(top.node);
        if (!done.has(top.node)) {
          done.add(top.node);
          sorted.push(top.node);
        }
        continue;
      }
      const before = writer.get(input);
      if (!before || done.has(before)) continue;
      if (waiting.has(before)) {
        const nodes = stack.map(({ node }) => node);
        throw new CyclicGraphError(nodes.slice(nodes.indexOf(before)).reverse());
      }
      stack.push({ node: before, next: 0 });
    }
  }
  graph.nodes = sorted;
}

/** Integer attribute, or `otherwise`. */
export function intAttribute(node: Node, name: string, otherwise: number): number {
  const attribute = node.attributes.get(name);
  return attribute?.kind === "int" ? attribute.value : otherwise;
}

/** Float attribute, or `otherwise`. */
export function floatAttribute(node: Node, name: string, otherwise: number): number {
  const attribute = node.attributes.get(name);
  return attribute?.kind === "float" ? attribute.value : otherwise;
}

/** Integer-list attribute, or undefined. */
export function intsAttribute(node: Node, name: string): number[] | undefined {
  const attribute = node.attributes.get(name);
  return attribute?.kind === "ints" ? attribute.value : undefined;
}

/** Numbers of a small inline tensor (integers up to 2^53, bool as 0/1), or undefined when it is not inline or not numeric. */
export function inlineNumbers(tensor: Tensor | undefined): number[] | undefined {
  if (!tensor || tensor.data.kind !== "inline") return undefined;
  const bytes = tensor.data.bytes.slice();
  switch (tensor.dataType) {
    case "float32":
      return [...new Float32Array(bytes.buffer)];
    case "float64":
      return [...new Float64Array(bytes.buffer)];
    case "int64":
      return [...new BigInt64Array(bytes.buffer)].map(Number);
    case "int32":
      return [...new Int32Array(bytes.buffer)];
    case "uint8":
    case "bool":
      return [...bytes];
    default:
      return undefined;
  }
}
