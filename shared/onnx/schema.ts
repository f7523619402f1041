// The part of the ONNX protobuf schema (onnx.proto, IR version 10) that Prospect reads and writes, as a protobufjs
// descriptor, and the table of element types. It does not know files, graphs or what any operator means.

import protobuf from "protobufjs";
import Long from "long";

protobuf.util.Long = Long;
protobuf.configure();

const repeated = "repeated";

const root = protobuf.Root.fromJSON({
  nested: {
    StringStringEntryProto: { fields: { key: { type: "string", id: 1 }, value: { type: "string", id: 2 } } },
    OperatorSetIdProto: { fields: { domain: { type: "string", id: 1 }, version: { type: "int64", id: 2 } } },
    TensorProto: {
      fields: {
        dims: { rule: repeated, type: "int64", id: 1, options: { packed: false } },
        dataType: { type: "int32", id: 2 },
        floatData: { rule: repeated, type: "float", id: 4 },
        int32Data: { rule: repeated, type: "int32", id: 5 },
        stringData: { rule: repeated, type: "bytes", id: 6 },
        int64Data: { rule: repeated, type: "int64", id: 7 },
        name: { type: "string", id: 8 },
        rawData: { type: "bytes", id: 9 },
        doubleData: { rule: repeated, type: "double", id: 10 },
        uint64Data: { rule: repeated, type: "uint64", id: 11 },
        externalData: { rule: repeated, type: "StringStringEntryProto", id: 13 },
        dataLocation: { type: "int32", id: 14 },
      },
    },
    AttributeProto: {
      fields: {
        name: { type: "string", id: 1 },
        f: { type: "float", id: 2 },
        i: { type: "int64", id: 3 },
        s: { type: "bytes", id: 4 },
        t: { type: "TensorProto", id: 5 },
        g: { type: "bytes", id: 6 },
        floats: { rule: repeated, type: "float", id: 7, options: { packed: false } },
        ints: { rule: repeated, type: "int64", id: 8, options: { packed: false } },
        strings: { rule: repeated, type: "bytes", id: 9 },
        type: { type: "int32", id: 20 },
      },
    },
    NodeProto: {
      fields: {
        input: { rule: repeated, type: "string", id: 1 },
        output: { rule: repeated, type: "string", id: 2 },
        name: { type: "string", id: 3 },
        opType: { type: "string", id: 4 },
        attribute: { rule: repeated, type: "AttributeProto", id: 5 },
        domain: { type: "string", id: 7 },
        metadataProps: { rule: repeated, type: "StringStringEntryProto", id: 9 },
      },
    },
    Dimension: {
      oneofs: { value: { oneof: ["dimValue", "dimParam"] } },
      fields: { dimValue: { type: "int64", id: 1 }, dimParam: { type: "string", id: 2 } },
    },
    TensorShapeProto: { fields: { dim: { rule: repeated, type: "Dimension", id: 1 } } },
    TensorTypeProto: { fields: { elemType: { type: "int32", id: 1 }, shape: { type: "TensorShapeProto", id: 2 } } },
    TypeProto: { fields: { tensorType: { type: "TensorTypeProto", id: 1 } } },
    ValueInfoProto: { fields: { name: { type: "string", id: 1 }, type: { type: "TypeProto", id: 2 } } },
    GraphProto: {
      fields: {
        node: { rule: repeated, type: "NodeProto", id: 1 },
        name: { type: "string", id: 2 },
        initializer: { rule: repeated, type: "TensorProto", id: 5 },
        input: { rule: repeated, type: "ValueInfoProto", id: 11 },
        output: { rule: repeated, type: "ValueInfoProto", id: 12 },
        valueInfo: { rule: repeated, type: "ValueInfoProto", id: 13 },
      },
    },
    ModelProto: {
      fields: {
        irVersion: { type: "int64", id: 1 },
        producerName: { type: "string", id: 2 },
        graph: { type: "GraphProto", id: 7 },
        opsetImport: { rule: repeated, type: "OperatorSetIdProto", id: 8 },
      },
    },
  },
});

/** protobufjs types by ONNX message name. */
export const messages = {
  tensor: root.lookupType("TensorProto"),
  node: root.lookupType("NodeProto"),
  graph: root.lookupType("GraphProto"),
  valueInfo: root.lookupType("ValueInfoProto"),
  opset: root.lookupType("OperatorSetIdProto"),
  entry: root.lookupType("StringStringEntryProto"),
  model: root.lookupType("ModelProto"),
};

/** TensorProto.DataType by name: the number in the file, and bytes per element (0.5 for the 4-bit types). */
export const dataTypes = {
  float32: { code: 1, bytes: 4 },
  uint8: { code: 2, bytes: 1 },
  int8: { code: 3, bytes: 1 },
  uint16: { code: 4, bytes: 2 },
  int16: { code: 5, bytes: 2 },
  int32: { code: 6, bytes: 4 },
  int64: { code: 7, bytes: 8 },
  string: { code: 8, bytes: 0 },
  bool: { code: 9, bytes: 1 },
  float16: { code: 10, bytes: 2 },
  float64: { code: 11, bytes: 8 },
  uint32: { code: 12, bytes: 4 },
  uint64: { code: 13, bytes: 8 },
  bfloat16: { code: 16, bytes: 2 },
  uint4: { code: 21, bytes: 0.5 },
  int4: { code: 22, bytes: 0.5 },
} as const;

export type DataType = keyof typeof dataTypes;

const nameOfCode = new Map<number, DataType>(
  Object.entries(dataTypes).map(([name, { code }]) => [code, name as DataType]),
);

/** Name of a TensorProto.DataType number, or undefined for one that Prospect does not know. */
export function dataTypeOfCode(code: number): DataType | undefined {
  return nameOfCode.get(code);
}

/** AttributeProto.AttributeType numbers. */
export const attributeTypes = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
} as const;
