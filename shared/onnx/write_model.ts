// Writes a graph as ONNX protobuf bytes. Initializers that are ranges of files stay references (external data), so
// the result is small whatever the model's size. It does not check that the graph is valid: ONNX Runtime does.

import Long from "long";
import { type Attribute, type Graph, microsoft, type Tensor, type Value } from "./graph.ts";
import { attributeTypes, dataTypes, messages } from "./schema.ts";

const encoder = new TextEncoder();
const int64 = (value: number) => Long.fromNumber(value);

function tensorMessage(tensor: Tensor): object {
  const message = { name: tensor.name, dataType: dataTypes[tensor.dataType].code, dims: tensor.dims.map(int64) };
  if (tensor.data.kind === "inline") return { ...message, rawData: tensor.data.bytes };
  const { location, offset, length } = tensor.data;
  const externalData = Object.entries({ location, offset, length }).map(([key, value]) => ({ key, value: `${value}` }));
  return { ...message, dataLocation: 1, externalData };
}

function attributeMessage(name: string, attribute: Attribute): object {
  const type = attributeTypes[attribute.kind];
  switch (attribute.kind) {
    case "int":
      return { name, type, i: int64(attribute.value) };
    case "float":
      return { name, type, f: attribute.value };
    case "string":
      return { name, type, s: encoder.encode(attribute.value) };
    case "ints":
      return { name, type, ints: attribute.value.map(int64) };
    case "floats":
      return { name, type, floats: attribute.value };
    case "strings":
      return { name, type, strings: attribute.value.map((text) => encoder.encode(text)) };
    case "tensor":
      return { name, type, t: tensorMessage(attribute.value) };
    case "graph":
      return { name, type, g: attribute.value };
  }
}

function valueMessage(value: Value | { name: string }): object {
  if (!("shape" in value)) return { name: value.name };
  const dim = value.shape.map((size) => typeof size === "number" ? { dimValue: int64(size) } : { dimParam: size });
  return { name: value.name, type: { tensorType: { elemType: dataTypes[value.dataType].code, shape: { dim } } } };
}

/** The model as ONNX bytes; external initializers keep their `location`, to be resolved against the model's folder. */
export function writeModel(graph: Graph): Uint8Array {
  const opsets = new Map(graph.opsets);
  if (!opsets.has(microsoft) && graph.nodes.some((node) => node.domain === microsoft)) opsets.set(microsoft, 1);
  const model = {
    irVersion: int64(graph.irVersion),
    producerName: "prospect",
    opsetImport: [...opsets].map(([domain, version]) => ({ domain, version: int64(version) })),
    graph: {
      name: "prospect",
      node: graph.nodes.map((node) => ({
        input: node.inputs,
        output: node.outputs,
        name: node.name,
        opType: node.operator,
        domain: node.domain,
        attribute: [...node.attributes].map(([name, attribute]) => attributeMessage(name, attribute)),
      })),
      initializer: [...graph.initializers.values()].map(tensorMessage),
      input: graph.inputs.map(valueMessage),
      output: graph.outputs.map(valueMessage),
      valueInfo: (graph.values ?? []).map(valueMessage),
    },
  };
  return messages.model.encode(messages.model.create(model)).finish();
}
