// Promotes a float16 graph to float32, which is what every kernel of the CPU computes in anyway: inputs, outputs,
// constants and Casts change their type; large weights stay float16 ranges of the file, with a Cast where one is read.
// A table that rows are looked up in is cast after the look-up. It does not know what the operators compute.

import { attribute } from "../onnx/builder.ts";
import { type Graph, intAttribute, intsAttribute, type Node, producers, type Tensor } from "../onnx/graph.ts";
import { dataTypes } from "../onnx/schema.ts";
import { subgraphs } from "../onnx/subgraph.ts";

const float32Code = dataTypes.float32.code, float16Code = dataTypes.float16.code;

/** float16 bytes as float32 bytes. Source: IEEE 754-2008, binary16. */
export function widen(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = Float32Array.from({ length: bytes.length / 2 }, (_, i) => view.getFloat16(2 * i, true));
  return new Uint8Array(values.buffer);
}

function promoteTensor(tensor: Tensor): Tensor {
  if (tensor.dataType !== "float16" || tensor.data.kind !== "inline") return tensor;
  return { ...tensor, dataType: "float32", data: { kind: "inline", bytes: widen(tensor.data.bytes) } };
}

function castNode(input: string, output: string): Node {
  return {
    operator: "Cast",
    domain: "",
    name: `promote/${output}`,
    inputs: [input],
    outputs: [output],
    attributes: new Map([["to", attribute.int(float32Code)]]),
    metadata: new Map(),
  };
}

/** Looking rows up in Transpose(table) as columns of the table: the whole table is not turned over (nor cast) for it. */
function lookUpColumns(graph: Graph, halves: ReadonlySet<string>): void {
  const writer = producers(graph);
  graph.nodes = graph.nodes.flatMap((node) => {
    const turned = node.operator === "Gather" && intAttribute(node, "axis", 0) === 0
      ? writer.get(node.inputs[0]!)
      : undefined;
    const turns = turned?.operator === "Transpose" && halves.has(turned.inputs[0]!) &&
      `${intsAttribute(turned, "perm")}` === "1,0" && node.inputs[1] === "input_ids";
    if (!turns) return [node];
    const columns = `${node.outputs[0]}/columns`;
    return [
      {
        ...node,
        inputs: [turned.inputs[0]!, node.inputs[1]!],
        outputs: [columns],
        attributes: new Map([["axis", attribute.int(1)]]),
      },
      {
        ...turned,
        name: `${node.name}/Transpose`,
        inputs: [columns],
        outputs: [node.outputs[0]!],
        attributes: new Map([["perm", attribute.ints([1, 2, 0])]]),
      },
    ];
  });
}

/** Turns every float16 value of the graph into float32. A graph without any is left as it is. */
export function promoteHalf(graph: Graph): void {
  for (const [name, tensor] of graph.initializers) graph.initializers.set(name, promoteTensor(tensor));
  const promote = <T extends object>(value: T): T =>
    "dataType" in value && value.dataType === "float16" ? { ...value, dataType: "float32" } : value;
  graph.inputs = graph.inputs.map(promote);
  graph.outputs = graph.outputs.map(promote);
  const halves = new Set(
    [...graph.initializers.values()].filter(({ dataType }) => dataType === "float16").map(({ name }) => name),
  );
  lookUpColumns(graph, halves);
  const casts = new Map<string, Node>();
  const after: Node[] = [];
  for (const node of graph.nodes) {
    for (const [name, each] of node.attributes) {
      if (each.kind === "tensor") node.attributes.set(name, { ...each, value: promoteTensor(each.value) });
    }
    if (node.operator === "Cast" && intAttribute(node, "to", 0) === float16Code) {
      node.attributes.set("to", attribute.int(float32Code));
    }
    const looksUp = node.operator === "Gather" && halves.has(node.inputs[0]!);
    if (looksUp) {
      const output = node.outputs[0]!, rows = `${output}/float16`;
      node.outputs[0] = rows;
      after.push(castNode(rows, output));
    }
    // What a branch picks stays float16 inside it.
    const [branch] = subgraphs(node).values();
    branch?.types.forEach((type, i) => {
      const output = node.outputs[i];
      if (type !== "float16" || !output) return;
      node.outputs[i] = `${output}/float16`;
      after.push(castNode(node.outputs[i]!, output));
    });
    node.inputs.forEach((input, i) => {
      if (!halves.has(input) || (looksUp && i === 0)) return;
      const output = `${input}/float32`;
      if (!casts.has(input)) casts.set(input, castNode(input, output));
      node.inputs[i] = output;
    });
  }
  graph.nodes = [...casts.values(), ...graph.nodes, ...after];
}
