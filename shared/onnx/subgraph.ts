// What there is to know about the graph inside a control-flow node, which stays bytes in the IR: what it reads from
// outside, and the shapes of its outputs. It does not know what operators mean.

import type { Dimension, Node, Shape } from "./graph.ts";
import { type DataType, dataTypeOfCode, messages } from "./schema.ts";

export interface Subgraph {
  operators: Set<string>;
  /** Values of the outer graph that it reads. */
  captured: string[];
  /** Declared shapes of its outputs, in order. */
  outputs: Shape[];
  /** Their element types; undefined where none is declared, or one that Prospect does not know. */
  types: (DataType | undefined)[];
}

/** The graphs that a node holds, by the attribute they are in: `then_branch`, `else_branch`, `body`. */
export function subgraphs(node: Node): Map<string, Subgraph> {
  const found = new Map<string, Subgraph>();
  for (const [name, attribute] of node.attributes) {
    if (attribute.kind === "graph") found.set(name, readSubgraph(attribute.value));
  }
  return found;
}

// deno-lint-ignore no-explicit-any -- protobufjs messages are untyped; this is the boundary
type Message = any;

function readSubgraph(bytes: Uint8Array): Subgraph {
  const graph: Message = messages.graph.decode(bytes);
  const written = new Set<string>([
    "",
    ...[...graph.input, ...graph.initializer].map((each: Message) => each.name as string),
    ...graph.node.flatMap((node: Message) => node.output as string[]),
  ]);
  const read: string[] = [
    ...graph.node.flatMap((node: Message) => node.input as string[]),
    ...graph.output.map((each: Message) => each.name as string),
  ];
  // What graphs further inside read is not followed: a node that holds one counts as reading from outside.
  const nested = graph.node.filter((node: Message) => node.attribute.some((each: Message) => each.type === 5));
  return {
    operators: new Set(graph.node.map((node: Message) => node.opType as string)),
    captured: [...read.filter((name) => !written.has(name)), ...nested.map((node: Message) => node.name as string)],
    outputs: graph.output.map((value: Message): Shape =>
      (value.type?.tensorType?.shape?.dim ?? []).map((dim: Message): Dimension =>
        dim.value === "dimValue" ? Number(dim.dimValue) : dim.dimParam
      )
    ),
    types: graph.output.map((value: Message) => dataTypeOfCode(Number(value.type?.tensorType?.elemType ?? 0))),
  };
}
