import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../../shared/errors.ts";
import {
  encodeSafetensors,
  readSafetensors,
  readSafetensorsHeader,
  type SafetensorsDtype,
  toFloat32,
} from "../../shared/onnx/safetensors.ts";

const fixtures = new URL("../../../shared/fixtures/", import.meta.url);

/** A file with any header and any data, in a temporary place. */
async function withFile(header: string, data: number, check: (path: string) => Promise<unknown>): Promise<void> {
  const json = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + json.length + data);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  await withBytes(bytes, check);
}

async function withBytes(bytes: Uint8Array, check: (path: string) => Promise<unknown>): Promise<void> {
  const path = await Deno.makeTempFile({ suffix: ".safetensors" });
  try {
    await Deno.writeFile(path, bytes);
    await check(path);
  } finally {
    await Deno.remove(path);
  }
}

function entry(dtype: string, shape: number[], start: number, end: number): string {
  return JSON.stringify({ dtype, shape, data_offsets: [start, end] });
}

Deno.test("what is written is read back, with names sorted and the data aligned to 8 bytes", async () => {
  const tensors = new Map([
    ["b", { shape: [2, 2], data: new Float32Array([1, -2.5, 0, 1e-30]) }],
    ["__proto__", { shape: [], data: new Float32Array([7]) }],
    ["10", { shape: [0, 3], data: new Float32Array(0) }],
    ["9", { shape: [1], data: new Float32Array([3]) }],
  ]);
  const bytes = encodeSafetensors(tensors, { format: "pt" });
  assertEquals(new DataView(bytes.buffer).getBigUint64(0, true) % 8n, 0n);
  await withBytes(bytes, async (path) => {
    const header = await readSafetensorsHeader(path);
    assertEquals(header.metadata, { format: "pt" });
    assertEquals([...header.entries.keys()], ["10", "9", "__proto__", "b"]);
    const read = await readSafetensors(path);
    for (const [name, { shape, data }] of tensors) {
      assertEquals(read.get(name)!.shape, shape);
      assertEquals(toFloat32(read.get(name)!), data);
    }
    assertEquals([...(await readSafetensors(path, (name) => name === "b")).keys()], ["b"]);
  });
});

Deno.test("the bytes do not depend on the order in which tensors were added", () => {
  const a = ["a", { shape: [1], data: new Float32Array([1]) }] as const;
  const b = ["b", { shape: [1], data: new Float32Array([2]) }] as const;
  assertEquals(encodeSafetensors(new Map([a, b])), encodeSafetensors(new Map([b, a])));
});

Deno.test("a file of the reference implementation is written back byte for byte", async () => {
  const path = new URL("llama-genai/adapter/adapter_model.safetensors", fixtures);
  const original = await Deno.readFile(path).catch(() => undefined);
  if (original === undefined) return console.log("skipped: no fixtures");
  const { metadata } = await readSafetensorsHeader(path.pathname);
  const tensors = await readSafetensors(path.pathname);
  const again = encodeSafetensors(
    new Map([...tensors].map(([name, tensor]) => [name, { shape: tensor.shape, data: toFloat32(tensor) }])),
    metadata,
  );
  assertEquals(again, original);
});

Deno.test("16-bit and 64-bit floats become the float32 they stand for", () => {
  const read = (dtype: SafetensorsDtype, data: ArrayBufferView) =>
    toFloat32({ dtype, shape: [], data: new Uint8Array(data.buffer) });
  const halves = new Uint16Array([0x3c00, 0xc000, 0x7bff, 0x0001, 0x03ff, 0x0400, 0x8000, 0x7c00, 0xfc00, 0x7e00]);
  assertEquals(
    [...read("F16", halves)],
    [1, -2, 65504, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, -0, Infinity, -Infinity, NaN],
  );
  const brains = new Uint16Array([0x3f80, 0xc000, 0x7f7f, 0x0001, 0x8000, 0x7f80, 0x7fc0]);
  const largest = (2 - 2 ** -7) * 2 ** 127;
  assertEquals([...read("BF16", brains)], [1, -2, largest, 2 ** -133, -0, Infinity, NaN]);
  assertEquals([...read("F64", new Float64Array([0.1, -1e300]))], [Math.fround(0.1), -Infinity]);
  assertThrows(() => read("I64", new BigInt64Array(1)), InputError);
});

Deno.test("every way a header can lie is refused with the file and the field", async () => {
  const cases: [string, number, RegExp][] = [
    ["[]", 0, /not a JSON object/],
    ["{nonsense", 0, /not JSON/],
    [`{"__metadata__":{"a":1}}`, 0, /__metadata__/],
    [`{"w":${entry("F32", [2], 0, 8)}}`, 4, /"w".*data_offsets \[0, 8\].*4 data bytes/],
    [`{"w":${entry("F32", [2], 8, 0)}}`, 8, /"w".*data_offsets/],
    [`{"w":${entry("F32", [3], 0, 8)}}`, 8, /"w": shape \[3\] of F32/],
    [`{"w":${entry("F32", [2 ** 30, 2 ** 30, 2 ** 30], 0, 8)}}`, 8, /"w": shape/],
    [`{"w":${entry("F33", [2], 0, 8)}}`, 8, /"w": dtype/],
    [`{"w":${entry("F32", [-2], 0, 8)}}`, 8, /"w": shape\.0/],
    [`{"w":${entry("F32", [1.5], 0, 6)}}`, 6, /"w": shape\.0/],
    [`{"w":{"dtype":"F32","shape":[2]}}`, 8, /"w": data_offsets/],
    [`{"w":null}`, 8, /"w": entry/],
    [`{"v":${entry("F32", [2], 0, 8)},"w":${entry("F32", [2], 4, 12)}}`, 12, /"w": data_offsets overlap with "v"/],
    [`{"v":${entry("F32", [1], 0, 4)},"w":${entry("F32", [1], 8, 12)}}`, 12, /"w": data_offsets leave a gap/],
    [`{"w":${entry("F32", [1], 0, 4)}}`, 9, /5 bytes at the end/],
  ];
  for (const [header, data, message] of cases) {
    await withFile(header, data, async (path) => {
      for (const read of [readSafetensorsHeader, readSafetensors] as ((path: string) => unknown)[]) {
        const error = await assertRejects(() => Promise.try(read, path), InputError);
        assert(error.message.startsWith(`${path}: `), error.message);
        assertMatch(error.message, message);
      }
    });
  }
});

Deno.test("a header length beyond the limit or the file is refused before anything is read", async () => {
  const withLength = (length: bigint) => {
    const bytes = new Uint8Array(16);
    new DataView(bytes.buffer).setBigUint64(0, length, true);
    return bytes;
  };
  await withBytes(
    withLength(2n ** 63n),
    (path) => assertRejects(() => Promise.try(readSafetensors, path), Error, "over the limit"),
  );
  await withBytes(
    withLength(9n),
    (path) => assertRejects(() => Promise.try(readSafetensors, path), Error, "beyond the file's 16 bytes"),
  );
  await withBytes(
    new Uint8Array(3),
    (path) => assertRejects(() => Promise.try(readSafetensors, path), Error, "only 3 bytes"),
  );
  await assertRejects(() => Promise.try(readSafetensors, "/no/such.safetensors"), InputError);
});
