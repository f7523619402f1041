// Reads and writes the safetensors format (https://github.com/huggingface/safetensors, "Format"): an 8-byte
// little-endian header length, a JSON header, then the tensors' bytes. It does not know what the tensors mean.
// Every number in a header is checked against the file before it is used: the file may come from anywhere.

import { z } from "zod";
import { InputError } from "../errors.ts";
import { refusePointer } from "./other_weights.ts";

/** Bytes per element of every dtype of the format. */
const BYTES_PER_ELEMENT = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
} as const;

/** The element types of the format. */
export type SafetensorsDtype = keyof typeof BYTES_PER_ELEMENT;

/** One tensor: row-major little-endian bytes, `data.length` = product of `shape` × bytes per element. */
export interface SafetensorsTensor {
  dtype: SafetensorsDtype;
  shape: number[];
  data: Uint8Array;
}

/** Where one tensor lies: `start` and `end` are byte positions in the file (not relative to the data section). */
export interface SafetensorsEntry {
  dtype: SafetensorsDtype;
  shape: number[];
  start: number;
  end: number;
}

/** The names, shapes and places of a file's tensors, in file order, and its free-form metadata. */
export interface SafetensorsHeader {
  entries: Map<string, SafetensorsEntry>;
  metadata: Record<string, string>;
}

/** The limit of the reference implementation; a larger header is a broken or hostile file. */
const LARGEST_HEADER = 100_000_000;

const wholeNumber = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const entrySchema = z.strictObject({
  dtype: z.enum(Object.keys(BYTES_PER_ELEMENT) as [SafetensorsDtype, ...SafetensorsDtype[]]),
  shape: z.array(wholeNumber),
  data_offsets: z.tuple([wholeNumber, wholeNumber]),
});
const metadataSchema = z.record(z.string(), z.string());

/**
 * Reads a file's header without its data.
 *
 * @throws {InputError} naming the file and the tensor when the file is missing, cut off, or not safetensors.
 */
export function readSafetensorsHeader(path: string): SafetensorsHeader {
  using file = openFile(path);
  return readHeader(path, file);
}

/**
 * Reads a part of one tensor: `count` elements from element `first` on, row-major, as float32.
 *
 * @throws {InputError} naming the file when it is cut off, or the dtype is no float of 16 bits or more.
 */
export function readSafetensorsPart(
  path: string,
  { dtype, start }: SafetensorsEntry,
  first: number,
  count: number,
): Float32Array {
  using file = openFile(path);
  const size = BYTES_PER_ELEMENT[dtype];
  const data = readRange(path, file, start + first * size, start + (first + count) * size);
  return toFloat32({ dtype, shape: [count], data });
}

/**
 * Reads every tensor of a file into memory of its own (one array a tensor, so files of any size and any alignment
 * work). `wanted` picks tensors by name; the others are checked but not read.
 *
 * @throws {InputError} naming the file and the tensor when the file is missing, cut off, or not safetensors.
 */
export function readSafetensors(
  path: string,
  wanted: (name: string) => boolean = () => true,
): Map<string, SafetensorsTensor> {
  using file = openFile(path);
  const header = readHeader(path, file);
  const tensors = new Map<string, SafetensorsTensor>();
  for (const [name, { dtype, shape, start, end }] of header.entries) {
    if (!wanted(name)) continue;
    tensors.set(name, { dtype, shape, data: readRange(path, file, start, end) });
  }
  return tensors;
}

/**
 * The tensor's values as float32, in an array of their own. F64 is rounded; F16 and BF16 are exact.
 *
 * @throws {InputError} when the dtype is not a float of 16 bits or more.
 */
export function toFloat32({ dtype, data }: SafetensorsTensor): Float32Array<ArrayBuffer> {
  // A copy starts at an aligned address, and every machine that Deno runs on is little-endian, as the format is.
  const copy = () => data.slice().buffer;
  switch (dtype) {
    case "F32":
      return new Float32Array(copy());
    case "F64":
      return Float32Array.from(new Float64Array(copy()));
    case "BF16": {
      const halves = new Uint16Array(copy()), bits = new Uint32Array(halves.length);
      // A bfloat16 is the upper half of a float32.
      for (let i = 0; i < bits.length; i++) bits[i] = halves[i]! << 16;
      return new Float32Array(bits.buffer);
    }
    case "F16": {
      const halves = new Uint16Array(copy()), values = new Float32Array(halves.length);
      const table = halfValues();
      for (let i = 0; i < values.length; i++) values[i] = table[halves[i]!]!;
      return values;
    }
    default:
      throw new InputError(`a tensor of type ${dtype} cannot be read as float32 (only F32, F16, BF16 and F64 can)`);
  }
}

/**
 * Writes float32 tensors in the format. The bytes depend only on the content: names are sorted, the header is padded
 * with spaces to a multiple of 8 as the reference implementation does (its files come out byte for byte the same).
 *
 * @throws {InputError} when a shape does not fit its data.
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>,
  metadata: Record<string, string> = {},
): Uint8Array {
  const names = [...tensors.keys()].sort();
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let offset = 0;
  // The header is joined by hand: an object would put number-like names first and swallow "__proto__".
  for (const name of names) {
    const { shape, data } = tensors.get(name)!;
    if (name === "__metadata__") throw new InputError(`a tensor cannot be named "__metadata__"`);
    if (product(shape) !== data.length) {
      throw new InputError(`tensor "${name}": shape [${shape.join(", ")}] does not fit ${data.length} values`);
    }
    const end = offset + data.byteLength;
    fields.push(
      `${JSON.stringify(name)}:{"dtype":"F32","shape":${JSON.stringify(shape)},"data_offsets":[${offset},${end}]}`,
    );
    offset = end;
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const headerLength = Math.ceil(json.length / 8) * 8;
  const file = new Uint8Array(8 + headerLength + offset);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerLength), true);
  file.set(json, 8);
  file.fill(0x20, 8 + json.length, 8 + headerLength);
  let position = 8 + headerLength;
  for (const name of names) {
    const { data } = tensors.get(name)!;
    // Float32Array is little-endian on every machine that Deno runs on, as the format wants.
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), position);
    position += data.byteLength;
  }
  return file;
}

function openFile(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { read: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new InputError(`${path}: no such file`);
    if (error instanceof Deno.errors.PermissionDenied) throw new InputError(`${path}: no permission to read it`);
    throw error;
  }
}

function readHeader(path: string, file: Deno.FsFile): SafetensorsHeader {
  const { size, isFile } = Deno.statSync(path);
  if (!isFile) throw new InputError(`${path}: not a file`);
  refusePointer(path);
  if (size < 8) throw new InputError(`${path}: not a safetensors file (only ${size} bytes)`);
  const lengthBytes = readRange(path, file, 0, 8);
  const headerLength = new DataView(lengthBytes.buffer).getBigUint64(0, true);
  if (headerLength > BigInt(LARGEST_HEADER)) {
    throw new InputError(`${path}: header length ${headerLength} is over the limit of ${LARGEST_HEADER} bytes`);
  }
  const dataStart = 8 + Number(headerLength);
  if (dataStart > size) {
    throw new InputError(`${path}: header length ${headerLength} reaches beyond the file's ${size} bytes`);
  }
  return parseHeader(path, readRange(path, file, 8, dataStart), dataStart, size);
}

function parseHeader(path: string, bytes: Uint8Array, dataStart: number, size: number): SafetensorsHeader {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new InputError(`${path}: the header is not JSON; this is not a safetensors file`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new InputError(`${path}: the header is not a JSON object`);
  }
  const entries: [string, SafetensorsEntry][] = [];
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(json)) {
    if (name === "__metadata__") {
      const parsed = metadataSchema.safeParse(value);
      if (!parsed.success) throw new InputError(`${path}: "__metadata__" must map strings to strings`);
      metadata = parsed.data;
    } else {
      entries.push([name, parseEntry(path, name, value, dataStart, size)]);
    }
  }
  entries.sort(([, a], [, b]) => a.start - b.start || a.end - b.end);
  checkCoverage(path, entries, dataStart, size);
  return { entries: new Map(entries), metadata };
}

function parseEntry(path: string, name: string, value: unknown, dataStart: number, size: number): SafetensorsEntry {
  const parsed = entrySchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const field = issue === undefined || issue.path.length === 0 ? "entry" : issue.path.join(".");
    throw new InputError(`${path}: tensor "${name}": ${field}: ${issue?.message ?? "unusable"}`);
  }
  const { dtype, shape, data_offsets: [first, last] } = parsed.data;
  if (first > last || dataStart + last > size) {
    throw new InputError(
      `${path}: tensor "${name}": data_offsets [${first}, ${last}] do not lie in the file's ${size - dataStart} data ` +
        `bytes (is the file cut off?)`,
    );
  }
  if (product(shape) * BYTES_PER_ELEMENT[dtype] !== last - first) {
    throw new InputError(
      `${path}: tensor "${name}": shape [${shape.join(", ")}] of ${dtype} does not fit its ${last - first} bytes`,
    );
  }
  return { dtype, shape, start: dataStart + first, end: dataStart + last };
}

/** The format allows neither overlaps nor gaps: bytes with two owners or none could hide a second file. */
function checkCoverage(path: string, entries: [string, SafetensorsEntry][], dataStart: number, size: number): void {
  let position = dataStart;
  let previous = "the header";
  for (const [name, { start, end }] of entries) {
    if (start < position) throw new InputError(`${path}: tensor "${name}": data_offsets overlap with "${previous}"`);
    if (start > position) throw new InputError(`${path}: tensor "${name}": data_offsets leave a gap after ${previous}`);
    position = end;
    previous = name;
  }
  if (position !== size) throw new InputError(`${path}: ${size - position} bytes at the end belong to no tensor`);
}

function readRange(
  path: string,
  file: Deno.FsFile,
  start: number,
  end: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(end - start);
  file.seekSync(start, Deno.SeekMode.Start);
  for (let filled = 0; filled < bytes.length;) {
    const count = file.readSync(bytes.subarray(filled));
    if (count === null) throw new InputError(`${path}: ended at byte ${start + filled} while it was being read`);
    filled += count;
  }
  return bytes;
}

let halfTable: Float32Array | undefined;

/** The value of each of the 65,536 half-precision numbers. */
function halfValues(): Float32Array {
  return halfTable ??= Float32Array.from({ length: 65536 }, (_, bits) => {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 0x1f, fraction = bits & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}

function product(shape: readonly number[]): number {
  return shape.reduce((total, size) => total * size, 1);
}
