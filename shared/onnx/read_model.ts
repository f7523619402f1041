// Reads a .onnx file into a Graph without pulling weights into memory: large initializers become ranges of the file
// they are in (the .onnx itself or its external data). Everything is bounds-checked, since the file is untrusted.
// It does not know what operators mean.

import { dirname } from "node:path";
import protobuf from "protobufjs";
import { InputError } from "../errors.ts";
import { settleExternalFiles } from "./external_data.ts";
import type { Attribute, Dimension, Graph, Node, Tensor, Value } from "./graph.ts";
import { refusePointer } from "./other_weights.ts";
import { dataTypeOfCode, dataTypes, messages } from "./schema.ts";

/** Initializers up to this many bytes are kept inline: shape constants, scales, small caches. */
const defaultInlineLimit = 1024;
/** No node, value or small tensor of a real decoder comes near this. */
const messageLimit = 64 * 1024 * 1024;

/** Reads a byte range of an open file through a window, for parsing without loading the file. */
class FileWindow {
  #window = new Uint8Array(0);
  #start = 0;
  constructor(readonly file: Deno.FsFile, readonly size: number, readonly fail: (why: string) => never) {}

  bytes(offset: number, length: number): Uint8Array {
    if (offset + length > this.size) {
      this.fail("it ends in the middle of a field, so it is cut short or not an ONNX file");
    }
    if (offset < this.#start || offset + length > this.#start + this.#window.length) {
      this.#window = new Uint8Array(Math.min(Math.max(length, 65536), this.size - offset));
      this.#start = offset;
      this.file.seekSync(offset, Deno.SeekMode.Start);
      for (let filled = 0; filled < this.#window.length;) {
        const read = this.file.readSync(this.#window.subarray(filled));
        if (read === null) this.fail("it changed while being read");
        filled += read!;
      }
    }
    return this.#window.subarray(offset - this.#start, offset - this.#start + length);
  }

  /** A protobuf varint (as a number; exact below 2^53) and the offset behind it. */
  varint(offset: number): [value: number, next: number] {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      const byte = this.bytes(offset + i, 1)[0]!;
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return [value, offset + i + 1];
    }
    return this.fail("a number in it has no end, so it is not an ONNX file");
  }
}

interface Field {
  id: number;
  wireType: number;
  /** Payload range; for varints the range is empty and `value` holds the number. */
  start: number;
  end: number;
  value: number;
}

function* fields(window: FileWindow, start: number, end: number): Generator<Field> {
  for (let at = start; at < end;) {
    const [tag, afterTag] = window.varint(at);
    const id = Math.floor(tag / 8), wireType = tag % 8;
    if (id === 0) window.fail("it holds a field without a number, so it is not an ONNX file");
    let from = afterTag, to: number, value = 0;
    if (wireType === 0) {
      [value, from] = window.varint(afterTag);
      to = from;
    } else if (wireType === 1) to = from + 8;
    else if (wireType === 5) to = from + 4;
    else if (wireType === 2) {
      const [length, next] = window.varint(afterTag);
      from = next;
      to = next + length;
    } else return window.fail(`it holds a field of wire type ${wireType}, so it is not an ONNX file`);
    if (to > end) window.fail("it ends in the middle of a field, so it is cut short or not an ONNX file");
    yield { id, wireType, start: from, end: to, value };
    at = to;
  }
}

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

function elementCount(dims: number[]): number {
  return dims.reduce((product, size) => product * size, 1);
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
  const expected = Math.ceil(elementCount(dims) * dataTypes[dataType].bytes);
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
    if (inner.id === 1 && inner.wireType === 0) dims.push(inner.value);
    else if (inner.id === 1) {
      for (let at = inner.start; at < inner.end;) {
        const [size, next] = window.varint(at);
        dims.push(size);
        at = next;
      }
    } else if (inner.id === 2) code = inner.value;
    else if (inner.id === 8) name = decoder.decode(window.bytes(inner.start, inner.end - inner.start));
    else if (inner.id === 14) location = inner.value;
    else if (inner.id === 13) {
      const entry = decode(window, messages.entry, inner);
      external.set(entry.key, entry.value);
    } else if (inner.id === 9 || (inner.id === 4 && inner.wireType === 2)) payload = inner;
  }
  const dataType = dataTypeOfCode(code) ??
    window.fail(`initializer "${name}" has element type ${code}, which Prospect does not read`);
  const expected = Math.ceil(elementCount(dims) * dataTypes[dataType].bytes);
  if (location === 1) {
    const file = external.get("location");
    if (!file) return window.fail(`initializer "${name}" has external data without a location`);
    const offset = Number(external.get("offset") ?? 0), length = Number(external.get("length") ?? expected);
    if (length !== expected || !(offset >= 0)) {
      window.fail(
        `initializer "${name}" of ${dataType} [${dims}] names ${length} bytes where ${expected} were expected`,
      );
    }
    return { name, dataType, dims, data: { kind: "external", location: file, offset, length } };
  }
  if (payload && payload.end - payload.start > inlineLimit) {
    const length = payload.end - payload.start;
    if (length !== expected) {
      window.fail(`initializer "${name}" of ${dataType} [${dims}] has ${length} bytes where ${expected} were expected`);
    }
    return { name, dataType, dims, data: { kind: "external", location: fileName, offset: payload.start, length } };
  }
  return inlineTensor(decode(window, messages.tensor, field), window.fail);
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
      return { kind: "graph", value: message.g };
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
    if (field.id === 1) graph.irVersion = field.value;
    else if (field.id === 8) {
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
  settleExternalFiles(graph, path, links);
  return graph;
}
