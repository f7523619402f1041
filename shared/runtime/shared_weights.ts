// Weights that all sessions of a process read from one place in memory. ONNX Runtime maps a weight once per session; one
// that is an input is fed instead. It does not know the graphs.

import { join } from "node:path";

/** A float32 weight as a range of a file of the model's folder. */
export interface WeightRange {
  name: string;
  shape: number[];
  location: string;
  /** In bytes. */
  offset: number;
  length: number;
}

export interface SharedWeight {
  name: string;
  shape: number[];
  data: SharedArrayBuffer;
}

const blockBytes = 2 ** 24;

/** Reads weights into memory that workers can be given. */
export function readSharedWeights(folder: string, ranges: readonly WeightRange[]): SharedWeight[] {
  return ranges.map(({ name, shape, location, offset, length }) => {
    using file = Deno.openSync(join(folder, location));
    file.seekSync(offset, Deno.SeekMode.Start);
    const data = new SharedArrayBuffer(length), whole = new Uint8Array(data), block = new Uint8Array(blockBytes);
    for (let at = 0; at < length;) {
      const count = file.readSync(block.subarray(0, Math.min(blockBytes, length - at)));
      if (count === null) throw new Error(`${location} ends inside the weight ${name}.`);
      whole.set(block.subarray(0, count), at);
      at += count;
    }
    return { name, shape, data };
  });
}

/**
 * Shared memory as ONNX Runtime takes it: an array over the same address, since it refuses a SharedArrayBuffer. Whoever
 * uses the array must hold `data` for as long.
 */
export function overShared(data: SharedArrayBuffer): Float32Array<ArrayBuffer> {
  const address = Deno.UnsafePointer.of(new Uint8Array(data) as unknown as Uint8Array<ArrayBuffer>)!;
  return new Float32Array(Deno.UnsafePointerView.getArrayBuffer(address, data.byteLength));
}
