// What the tests of the importer share: a checkpoint imported into a folder that goes away, and its logits as stock
// ONNX Runtime gives them, whole or piece by piece through the cache.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { importCheckpoint } from "../../shared/architectures/import_checkpoint.ts";

/** An int64 tensor. */
export const integers = (values: number[], dims: number[]) =>
  new Tensor("int64", BigInt64Array.from(values.map(BigInt)), dims);

/** Imports a checkpoint into a new folder, removed after. */
export async function withImported(checkpoint: string, run: (folder: string) => void | Promise<void>): Promise<void> {
  const parent = await Deno.makeTempDir({ prefix: "prospect-import-" });
  try {
    await importCheckpoint(checkpoint, join(parent, "model"));
    await run(join(parent, "model"));
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}

/** Stock ONNX Runtime on a model folder's fp32 file. */
export class StockModel {
  private constructor(readonly session: InferenceSession, readonly cacheShape: number[], readonly layers: number) {}

  static async open(folder: string, file = "onnx/model.onnx"): Promise<StockModel> {
    const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
    const session = await InferenceSession.create(join(folder, file), { logSeverityLevel: 3 });
    return new StockModel(session, [config.num_key_value_heads, config.head_dim], config.num_hidden_layers);
  }

  #emptyCache(rows: number): Record<string, Tensor> {
    const [heads, size] = this.cacheShape as [number, number];
    const names = Array.from({ length: this.layers }, (_, i) => [`${i}.key`, `${i}.value`]).flat();
    return Object.fromEntries(names.map((name) => {
      return [`past_key_values.${name}`, new Tensor("float32", new Float32Array(), [rows, heads, 0, size])];
    }));
  }

  #feeds(ids: number[][], mask: number[][], past: number): Record<string, Tensor> {
    const rows = ids.length, width = ids[0]!.length;
    const all: Record<string, Tensor> = {
      input_ids: integers(ids.flat(), [rows, width]),
      attention_mask: integers(mask.flat(), [rows, mask[0]!.length]),
      position_ids: integers(ids.flatMap((row) => row.map((_, i) => past + i)), [rows, width]),
    };
    return Object.fromEntries(Object.entries(all).filter(([name]) => this.session.inputNames.includes(name)));
  }

  /** Logits [rows, width, vocabulary], flat. */
  async whole(ids: number[][], mask = ids.map((row) => row.map(() => 1))): Promise<Float32Array> {
    const { logits } = await this.session.run({ ...this.#feeds(ids, mask, 0), ...this.#emptyCache(ids.length) });
    return logits!.data as Float32Array;
  }

  /** Logits of one row fed in pieces of the given sizes through the cache, joined; the last piece is what is left. */
  async inPieces(ids: number[], sizes: number[]): Promise<number[]> {
    const logits: number[] = [];
    let cache = this.#emptyCache(1), done = 0;
    for (const size of [...sizes, ids.length - sizes.reduce((sum, each) => sum + each, 0)]) {
      const mask = Array<number>(done + size).fill(1);
      const outputs = await this.session.run({
        ...this.#feeds([ids.slice(done, done + size)], [mask], done),
        ...cache,
      });
      for (const logit of outputs["logits"]!.data as Float32Array) logits.push(logit);
      cache = Object.fromEntries(
        Object.keys(cache).map((name) => [name, outputs[name.replace("past_key_values", "present")]!]),
      );
      done += size;
    }
    return logits;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.session.release();
  }
}

/** Largest difference, over the largest number. */
export function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length);
  let difference = 0, largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const apart = Math.abs(actual[i]! - expected[i]!);
    if (!(apart <= difference)) difference = apart;
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return difference / largest;
}
