// Reads a .onnx file into a Graph without pulling weights into memory: large initializers become ranges of the file
// they are in (the .onnx itself or its external data). Everything is bounds-checked, since the file is untrusted.
// It does not know what operators mean.

import { dirname } from "node:path";
import protobuf from "protobufjs";
import { InputError } from "../errors.ts";
import { settleExternalFiles } from "./external_data.ts";
import { type Field, fields, FileWindow } from "./file_fields.ts";
import {
  type Attribute,
  CyclicGraphError,
  type Dimension,
  type Graph,
  type Node,
  sortTopologically,
  type Tensor,
  type Value,
} from "./graph.ts";
import { refusePointer } from "./other_weights.ts";
import { dataTypeOfCode, dataTypes, messages } from "./schema.ts";

/** Initializers up to this many bytes are kept inline: shape constants, scales, small caches. */
const defaultInlineLimit = 1024;
/** No node, value or small tensor of a real decoder comes near this. */
const messageLimit = 64 * 1024 * 1024;

// deno-lint-ignore no-explicit-any -- protobufjs messages are untyped; this is the boundary
type Message = any;

function decode(window: FileWindow, type: protobuf.Type, field: Field): Message {
  if (field.end - field.start > messageLimit) window.fail(`a ${type.name} in it is over ${messageLimit} bytes`);
  try {
    return type.decode(window.bytes(field.start, field.end - field.start).slice());
  } catch (error) {
    return window.fail(`a ${type.name} in it cannot be decoded (${(error as Error).message})`);
  }
}

const decoder = new TextDecoder();
const number = (value: unknown) => Number(value);

/** Bytes of a tensor; undefined where a size is none, negative or beyond what a number holds. */
function bytesOf(dims: readonly number[], dataType: Tensor["dataType"]): number | undefined {
  const bytes = Math.ceil(dims.reduce((product, size) => product * size, 1) * dataTypes[dataType].bytes);
  return dims.every((size) => size >= 0) && Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Bytes of typed (not raw) tensor fields, in raw little-endian layout. */
function typedBytes(message: Message, dataType: Tensor["dataType"]): Uint8Array {
  const view = (array: ArrayBufferView) => new Uint8Array(array.buffer);
  switch (dataType) {
    case "float32":
      return view(new Float32Array(message.floatData));
    case "float64":
      return view(new Float64Array(message.doubleData));
    case "int64":
      return view(BigInt64Array.from(message.int64Data.map((value: Message) => BigInt(`${value}`))));
    case "uint64":
    case "uint32":
      return dataType === "uint32"
        ? view(new Uint32Array(message.uint64Data.map(number)))
        : view(BigUint64Array.from(message.uint64Data.map((value: Message) => BigInt(`${value}`))));
    case "int32":
      return view(new Int32Array(message.int32Data));
    case "int16":
      return view(new Int16Array(message.int32Data));
    case "uint16":
    case "float16":
    case "bfloat16":
      return view(new Uint16Array(message.int32Data));
    case "int8":
      return view(new Int8Array(message.int32Data));
    default:
      return view(new Uint8Array(message.int32Data));
  }
}

function inlineTensor(message: Message, fail: (why: string) => never): Tensor {
  const dataType = dataTypeOfCode(message.dataType) ??
    fail(`tensor "${message.name}" has element type ${message.dataType}, which Prospect does not read`);
  const dims = message.dims.map(number) as number[];
  if (Number(message.dataLocation) === 1) {
    fail(`tensor "${message.name}" inside a node has external data, which is not read`);
  }
  const bytes = message.rawData?.length > 0 ? message.rawData : typedBytes(message, dataType);
  const expected = bytesOf(dims, dataType) ??
    fail(`tensor "${message.name}" of ${dataType} [${dims}] has a size that is none`);
  if (dataType !== "string" && bytes.length !== expected) {
    fail(`tensor "${message.name}" of ${dataType} [${dims}] has ${bytes.length} bytes where ${expected} were expected`);
  }
  return { name: message.name, dataType, dims, data: { kind: "inline", bytes: bytes.slice() } };
}

/** Scans one TensorProto; its raw bytes stay in the file when they are many. */
function readInitializer(window: FileWindow, field: Field, fileName: string, inlineLimit: number): Tensor {
  const dims: number[] = [];
  const external = new Map<string, string>();
  let name = "", code = 0, location = 0;
  let payload: Field | undefined;
  for (const inner of fields(window, field.start, field.end)) {
    const { id, wireType } = inner, number = wireType === 0, bytes = wireType === 2;
    if (id === 1 && number) dims.push(inner.value);
    else if (id === 1 && bytes) {
      for (let at = inner.start; at < inner.end;) {
        const [size, next] = window.varint(at);
        dims.push(size);
        at = next;
      }
    } else if (id === 2 && number) code = inner.value;
    else if (id === 8 && bytes) name = decoder.decode(window.bytes(inner.start, inner.end - inner.start));
    else if (id === 14 && number) location = inner.value;
    else if (id === 13 && bytes) {
      const entry = decode(window, messages.entry, inner);
      external.set(entry.key, entry.value);
    } else if ((id === 9 || id === 4) && bytes) {
      if (payload) window.fail(`initializer "${name}" has its data twice`);
      payload = inner;
    }
  }
  const dataType = dataTypeOfCode(code) ??
    window.fail(`initializer "${name}" has element type ${code}, which Prospect does not read`);
  const expected = bytesOf(dims, dataType) ??
    window.fail(`initializer "${name}" of ${dataType} [${dims}] has a size that is none`);
  if (location === 1) {
    const file = external.get("location");
    if (!file) return window.fail(`initializer "${name}" has external data without a location`);
    if (payload) window.fail(`initializer "${name}" has its data twice`);
    const place = (key: string, otherwise: number) => {
      const text = external.get(key) ?? `${otherwise}`;
      return /^\d{1,15}$/.test(text) ? Number(text) : window.fail(`initializer "${name}" has the ${key} "${text}"`);
    };
    const offset = place("offset", 0), length = place("length", expected);
    if (length !== expected) {
      window.fail(
        `initializer "${name}" of ${dataType} [${dims}] names ${length} bytes where ${expected} were expected`,
      );
    }
    return { name, dataType, dims, data: { kind: "external", location: file, offset, length } };
  }
  if (payload && payload.end - payload.start > inlineLimit && (payload.id === 9 || dataType === "float32")) {
    const length = payload.end - payload.start;
    if (length !== expected) {
      window.fail(`initializer "${name}" of ${dataType} [${dims}] has ${length} bytes where ${expected} were expected`);
    }
    return { name, dataType, dims, data: { kind: "external", location: fileName, offset: payload.start, length } };
  }
  return inlineTensor(decode(window, messages.tensor, field), window.fail);
}

/** The bytes of an attribute's graph, which are decoded where somebody asks what is in it. */
function decodable({ name, g }: Message, fail: (why: string) => never): Uint8Array {
  try {
    messages.graph.decode(g);
    return g;
  } catch (error) {
    return fail(`the graph in attribute "${name}" cannot be decoded (${(error as Error).message})`);
  }
}

function readAttribute(message: Message, fail: (why: string) => never): Attribute {
  switch (message.type) {
    case 1:
      return { kind: "float", value: message.f };
    case 2:
      return { kind: "int", value: number(message.i) };
    case 3:
      return { kind: "string", value: decoder.decode(message.s) };
    case 4:
      if (!message.t) fail(`attribute "${message.name}" is a tensor that is not there`);
      return { kind: "tensor", value: inlineTensor(message.t, fail) };
    case 5:
      return { kind: "graph", value: decodable(message, fail) };
    case 6:
      return { kind: "floats", value: [...message.floats] };
    case 7:
      return { kind: "ints", value: message.ints.map(number) };
    case 8:
      return { kind: "strings", value: message.strings.map((bytes: Uint8Array) => decoder.decode(bytes)) };
    default:
      return fail(`attribute "${message.name}" has type ${message.type}, which Prospect does not read`);
  }
}

function readNode(message: Message, fail: (why: string) => never): Node {
  return {
    operator: message.opType,
    domain: message.domain === "ai.onnx" ? "" : message.domain,
    name: message.name,
    inputs: [...message.input],
    outputs: [...message.output],
    attributes: new Map(message.attribute.map((each: Message) => [each.name, readAttribute(each, fail)])),
    metadata: new Map(message.metadataProps.map((each: Message) => [each.key, each.value])),
  };
}

function readValue(message: Message, fail: (why: string) => never): Value {
  const type = message.type?.tensorType;
  const dataType = dataTypeOfCode(type?.elemType ?? 0) ?? fail(`"${message.name}" is not a tensor of a known type`);
  const shape = (type.shape?.dim ?? []).map((dim: Message, i: number): Dimension =>
    dim.value === "dimValue" ? number(dim.dimValue) : dim.dimParam || `${message.name}_${i}`
  );
  return { name: message.name, dataType, shape };
}

/** Every value is written once, before anything that reads it. */
function checkFlow(graph: Graph, fail: (why: string) => never): void {
  const written = new Set([...graph.inputs.map(({ name }) => name), ...graph.initializers.keys()]);
  for (const name of graph.nodes.flatMap(({ outputs }) => outputs)) {
    if (name === "") continue;
    if (written.has(name)) fail(`"${name}" is written twice`);
    written.add(name);
  }
  try {
    sortTopologically({ ...graph });
  } catch (error) {
    if (!(error instanceof CyclicGraphError)) throw error;
    fail(error.message);
  }
}

/**
 * Reads an ONNX model. Initializers of more than `inlineLimit` bytes (1 KiB) are returned as file ranges relative to the
 * model's folder: Infinity has everything in memory (for a small file that will be gone), 0 has every place.
 * Where the files are links, the places are those behind, relative to {@link weightsFolder}; `links: "kept"` has them as
 * the model names them.
 *
 * @throws InputError when the file is missing, cut short, not ONNX, or points to missing, short or foreign external data.
 */
export function readModel(
  path: string,
  { inlineLimit = defaultInlineLimit, links = "followed" }: { inlineLimit?: number; links?: "followed" | "kept" } = {},
): Graph {
  const fail = (why: string): never => {
    throw new InputError(`${path}: not a usable ONNX model: ${why}; download or export it again.`);
  };
  let file: Deno.FsFile;
  try {
    if (Deno.statSync(path).isDirectory) throw new Error("it is a folder");
    file = Deno.openSync(path);
  } catch (error) {
    throw new InputError(`${path}: cannot be opened (${(error as Error).message}).`);
  }
  using _closing = file;
  refusePointer(path);
  const window = new FileWindow(file, Deno.statSync(path).size, fail);
  const fileName = path.slice(dirname(path).length).replace(/^[\\/]/, "") || path;
  const graph: Graph = { irVersion: 0, opsets: new Map(), inputs: [], outputs: [], nodes: [], initializers: new Map() };
  let found = false;
  for (const field of fields(window, 0, window.size)) {
    if (field.id === 1 && field.wireType === 0) graph.irVersion = field.value;
    else if (field.id === 8 && field.wireType === 2) {
      const opset = decode(window, messages.opset, field);
      graph.opsets.set(opset.domain === "ai.onnx" ? "" : opset.domain, number(opset.version));
    } else if (field.id === 25) fail("it defines local functions, which Prospect does not read (export it inlined)");
    else if (field.id === 7) {
      if (field.wireType !== 2) fail("its graph field is not a message");
      found = true;
      for (const inner of fields(window, field.start, field.end)) {
        if (inner.wireType !== 2) continue;
        if (inner.id === 1) graph.nodes.push(readNode(decode(window, messages.node, inner), fail));
        else if (inner.id === 5) {
          const tensor = readInitializer(window, inner, fileName, inlineLimit);
          if (graph.initializers.has(tensor.name)) fail(`it has two initializers "${tensor.name}"`);
          graph.initializers.set(tensor.name, tensor);
        } else if (inner.id === 11) graph.inputs.push(readValue(decode(window, messages.valueInfo, inner), fail));
        else if (inner.id === 12) graph.outputs.push(readValue(decode(window, messages.valueInfo, inner), fail));
        else if (inner.id === 15) fail("it has sparse initializers, which Prospect does not read");
      }
    }
  }
  if (!found || graph.nodes.length === 0 || !graph.opsets.has("")) fail("it holds no graph");
  // Old exporters list initializers among the inputs; only the others are fed.
  graph.inputs = graph.inputs.filter((input) => !graph.initializers.has(input.name));
  checkFlow(graph, fail);
  settleExternalFiles(graph, path, links);
  return graph;
}
