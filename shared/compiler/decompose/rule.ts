// What a decomposition is, and what rules can tell about a value without running the graph: its shape where the model
// file declares it, and its element type. It does not know any fused operator.

import type { Builder } from "../../onnx/builder.ts";
import { intAttribute, type Node, producers, type Shape } from "../../onnx/graph.ts";
import { type DataType, dataTypeOfCode } from "../../onnx/schema.ts";
import { subgraphs } from "../../onnx/subgraph.ts";

/**
 * Writes one fused node, which is no longer in the graph, as ordinary operators that write the same outputs.
 * `refuse` says that this variant is not covered, naming file, operator and node.
 */
export type Decomposition = (node: Node, build: Builder, refuse: (expected: string) => never) => void;

/** The input at `i`, or undefined where it is left out. */
export function optionalInput(node: Node, i: number): string | undefined {
  return node.inputs[i] || undefined;
}

/** Shape of a weight or of an input of the model, seen through a cast; or of a table that an If picks. */
export function declaredShape(build: Builder, value: string): Shape | undefined {
  const shape = build.shapes.get(value) ?? build.graph.initializers.get(value)?.dims;
  if (shape) return shape;
  const writer = producers(build.graph).get(value);
  if (writer?.operator === "Cast") return declaredShape(build, writer.inputs[0]!);
  if (writer?.operator !== "If") return undefined;
  return subgraphs(writer).get("then_branch")?.outputs[writer.outputs.indexOf(value)];
}

const truthValues = /^(Equal|Less|LessOrEqual|Greater|GreaterOrEqual|And|Or|Not|Xor|IsNaN|IsInf)$/;
/** Operators whose output has the element type of their first input. */
const keepsType =
  /^(Identity|Unsqueeze|Squeeze|Reshape|Transpose|Expand|Tile|Slice|Gather|GatherND|Concat|Trilu|Add|Mul|Sub|Neg|Min|Max)$/;

/** Element type of a value, as far as operators up to it say it. */
export function elementType(build: Builder, value: string): DataType | undefined {
  const { graph } = build;
  const known = graph.initializers.get(value) ?? graph.inputs.find((input) => input.name === value);
  if (known) return known.dataType;
  const writer = producers(graph).get(value);
  if (!writer) return undefined;
  if (truthValues.test(writer.operator)) return "bool";
  if (writer.operator === "Cast") return dataTypeOfCode(intAttribute(writer, "to", 0));
  if (writer.operator === "ConstantOfShape") {
    const fill = writer.attributes.get("value");
    return fill?.kind === "tensor" ? fill.value.dataType : "float32";
  }
  if (writer.operator === "Where") return elementType(build, writer.inputs[1]!);
  return keepsType.test(writer.operator) ? elementType(build, writer.inputs[0]!) : undefined;
}
