// What the tests of the importer share: a checkpoint imported into a folder that goes away, its logits as stock ONNX
// Runtime gives them, whole or piece by piece through the cache, its tokens in transformers.js, its compiled gradient.

import { AutoModelForCausalLM, Tensor as HubTensor } from "@huggingface/transformers";
import { assert, assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { compileTraining, gradientName } from "../../shared/compiler/compile.ts";
import { microBatchFeeds } from "../../shared/compiler/feeds.ts";
import { packTree } from "../../shared/feedback/micro_batch.ts";
import { Random } from "../../shared/random.ts";
import { sessionOptions } from "../../shared/runtime/session.ts";
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
  assertEquals(actual.length, expected.length);
  let difference = 0, largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const apart = Math.abs(actual[i]! - expected[i]!);
    if (!(apart <= difference)) difference = apart;
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return difference / largest;
}

/** The token ids that unmodified transformers.js puts after a prompt. */
export async function generate(folder: string, prompt: number[], count: number): Promise<number[]> {
  const model = await AutoModelForCausalLM.from_pretrained(folder, { dtype: "fp32", local_files_only: true });
  const ids = (values: bigint[]) => new HubTensor("int64", BigInt64Array.from(values), [1, values.length]);
  const options = {
    inputs: ids(prompt.map(BigInt)),
    attention_mask: ids(prompt.map(() => 1n)),
    do_sample: false,
    max_new_tokens: count,
  };
  const output = await model.generate(options as Parameters<typeof model.generate>[0]) as HubTensor;
  await model.dispose();
  return [...output.data as BigInt64Array].slice(prompt.length).map(Number);
}

/** Checks on a few tokens that a compiled model's LoRA gradient is the slope of its loss. */
export async function checkSlope(folder: string, ids: number[], targetModules = ["all-linear"]): Promise<void> {
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  const rank = 2, random = new Random(3);
  const trained = { kind: "lora", targetModules, asker: "the test", rankOf: () => rank, scalingOf: () => 1 } as const;
  const compiled = await compileTraining(join(folder, "onnx/model.onnx"), config, trained, { kind: "next-token" });
  const session = await InferenceSession.create(compiled.gradient, sessionOptions(compiled.folder));
  const scored = ids.length - 1;
  const feeds: Record<string, Tensor> = {
    ...microBatchFeeds(packTree([{ promptIds: ids.slice(0, 1), completionIds: ids.slice(1) }], 1)),
    token_weight: new Tensor("float32", new Float32Array(scored).fill(1 / scored), [scored]),
  };
  for (const { name, shape } of compiled.parameters) {
    const dims = shape.map((size) => typeof size === "number" ? size : rank);
    const data = Float32Array.from({ length: dims[0]! * dims[1]! }, () => 0.1 * random.normal());
    feeds[name] = new Tensor("float32", data, dims);
  }
  const outputs = await session.run(feeds);
  const gradients = new Map(compiled.parameters.map(({ name }) => {
    return [name, outputs[gradientName(name)]!.data as Float32Array];
  }));
  // Layer by layer, so that no large gradient hides a wrong small one.
  for (const [name, gradient] of gradients) {
    const length = Math.hypot(...gradient), step = 0.02 / length;
    assert(length > 1e-4, `${name} has no gradient`);
    const lossAt = async (sign: number) => {
      const { data, dims } = feeds[name]!;
      const moved = (data as Float32Array).map((each, i) => each + sign * step * gradient[i]!);
      return (await session.run({ ...feeds, [name]: new Tensor("float32", moved, dims) }))["loss"]!.data[0] as number;
    };
    const slope = (await lossAt(1) - await lossAt(-1)) / (2 * step * length);
    assert(Math.abs(slope - length) < 0.02 * length + 1e-4, `${name}: slope ${slope}, gradient ${length}`);
  }
  await session.release();
}
