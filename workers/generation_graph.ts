// A generation graph in a session: the model's own, KV cache and all, with LoRA inputs. It turns rows of ids, their cache
// and an adapter into feeds, runs, and finds out how rows of different length may go together. It does not know answers.

import { InferenceSession, Tensor } from "onnxruntime-node";
import { type Device, sessionOptions } from "../shared/runtime/session.ts";
import { type Cache, disposeCache, type Feeds, gatherRows, type Padding } from "./kv_cache.ts";
import type { AdapterFeeds, GenerationSetup } from "./protocol.ts";

/** What one run gave. */
export interface GraphResult {
  /** Logits [vocabulary] of the last token of a row; valid until `dispose`. */
  logitsOf: (row: number) => Float32Array;
  cache: Cache;
  dispose: () => void;
}

/** Tokens of a part of a prompt. */
const tokensPerPart = 512;

/**
 * How far log-probs of a row may differ from those of the row alone, where a padding is tried. Measured: under the right
 * one, float32 sums in another order are off by up to 2e-4 (SmolLM2, 4 bits); under a wrong one, or where activations are
 * quantised over the whole batch (q8), log-probs are off by more than 0.1.
 */
const tolerance = 1e-3;

/** An int64 tensor from numbers below 2³¹, written as the low halves of its elements: no BigInt is made. */
function int64(dims: [number, number], valueAt: (row: number, column: number) => number): Tensor {
  const values = new BigInt64Array(dims[0] * dims[1]), halves = new Int32Array(values.buffer);
  for (let row = 0, at = 0; row < dims[0]; row++) {
    for (let column = 0; column < dims[1]; column++, at += 2) halves[at] = valueAt(row, column);
  }
  return new Tensor("int64", values, dims);
}

export class GenerationGraph {
  #session: InferenceSession;
  /** Rank that makes an adapter vanish: 0, but a product over an axis of length 0 crashes onnxruntime-node 1.30 on WebGPU. */
  #noRank: 0 | 1;
  #inputs: ReadonlySet<string>;
  #cacheNames: string[];
  /** Whether a prompt may be read in parts, as a trial has shown. */
  #takesParts = false;
  /** No adapter. */
  readonly base: Feeds;

  private constructor(session: InferenceSession, device: Device) {
    this.#session = session;
    this.#noRank = device === "webgpu" ? 1 : 0;
    this.#inputs = new Set(session.inputNames);
    this.#cacheNames = session.inputNames.filter((name) => name.startsWith("past_key_values."));
    this.base = this.#vanishing();
  }

  static async open({ graph, folder, device, threads }: GenerationSetup): Promise<GenerationGraph> {
    const options = {
      ...sessionOptions(folder, device),
      graphOptimizationLevel: "all" as const,
      intraOpNumThreads: threads,
    };
    const opened = new GenerationGraph(await InferenceSession.create(graph, options), device);
    opened.#takesParts = await opened.#tryParts().catch(() => false);
    return opened;
  }

  release(): Promise<void> {
    return this.#session.release();
  }

  #metadata(name: string) {
    const metadata = this.#session.inputMetadata.find((input) => input.name === name);
    if (!metadata?.isTensor) throw new Error(`"${name}" is not a tensor input.`);
    return metadata;
  }

  /** Feeds that make every adapter vanish. */
  #vanishing(): Feeds {
    const names = this.#session.inputNames.filter((name) => name.includes(".lora_"));
    return Object.fromEntries(names.map((name) => {
      const dims = this.#metadata(name).shape.map((size) => typeof size === "number" ? size : this.#noRank);
      return [name, new Tensor("float32", new Float32Array(dims[0]! * dims[1]!), dims)];
    }));
  }

  /** An adapter ready to be fed; modules that it does not have stay as in the base model. */
  adapter(tensors: AdapterFeeds): Feeds {
    const given = Object.entries(tensors).map(([name, { data, shape }]) => [name, new Tensor("float32", data, shape)]);
    return { ...this.base, ...Object.fromEntries(given) };
  }

  /** A cache of `rows` rows in which nothing is yet. */
  emptyCache(rows: number): Cache {
    const tensors = Object.fromEntries(this.#cacheNames.map((name) => {
      const { shape, type } = this.#metadata(name);
      const dims = shape.map((size, axis) => axis === 0 ? rows : typeof size === "number" ? size : 0);
      const data = type === "float16" ? new Uint16Array(0) as never : new Float32Array(0);
      return [name, new Tensor(type as "float32", data, dims)];
    }));
    return { tensors, lengths: new Array(rows).fill(0), width: 0 };
  }

  /**
   * Reads prompts of one length; a long one alone is read in parts where the model takes parts: the graph makes logits for every token that
   * it reads at once, 100 MB for 512 tokens of SmolLM2.
   */
  async read(prompts: readonly (readonly number[])[], adapter: Feeds, padding: Padding): Promise<GraphResult> {
    const length = prompts[0]!.length;
    const part = this.#takesParts && prompts.length === 1 ? tokensPerPart : length;
    let result: GraphResult | undefined;
    for (let start = 0; start < length; start += part) {
      const before = result?.cache ?? this.emptyCache(prompts.length);
      result?.dispose();
      result = await this.run(prompts.map((prompt) => prompt.slice(start, start + part)), before, adapter, padding);
      disposeCache(before);
    }
    return result!;
  }

  /**
   * Reads further ids, equally many in each row, after what the cache holds. The cache given is not disposed of.
   *
   * @param ids [rows][tokens]
   */
  async run(ids: readonly (readonly number[])[], cache: Cache, adapter: Feeds, padding: Padding): Promise<GraphResult> {
    const rows = ids.length, tokens = ids[0]!.length, { lengths } = cache, width = cache.width + tokens;
    const feeds: Feeds = {
      ...adapter,
      ...cache.tensors,
      input_ids: int64([rows, tokens], (row, column) => ids[row]![column]!),
    };
    if (this.#inputs.has("attention_mask")) {
      feeds.attention_mask = int64([rows, width], (row, column) => {
        const length = lengths[row]! + tokens;
        return (padding === "left" ? column >= width - length : column < length) ? 1 : 0;
      });
    }
    if (this.#inputs.has("position_ids")) {
      feeds.position_ids = int64([rows, tokens], (row, column) => lengths[row]! + column);
    }
    if (this.#inputs.has("num_logits_to_keep")) {
      const dims = this.#metadata("num_logits_to_keep").shape.map(() => 1);
      feeds.num_logits_to_keep = new Tensor("int64", BigInt64Array.of(1n), dims);
    }
    const results = await this.#session.run(feeds), logits = results.logits!;
    const [, kept, vocabulary] = logits.dims as [number, number, number], values = logits.data as Float32Array;
    const tensors = Object.fromEntries(
      this.#cacheNames.map((name) => [name, results[name.replace("past_key_values", "present")]!]),
    );
    return {
      logitsOf: (row) => values.subarray(((row + 1) * kept - 1) * vocabulary, (row + 1) * kept * vocabulary),
      cache: { tensors, lengths: lengths.map((length) => length + tokens), width },
      dispose: () => logits.dispose(),
    };
  }

  /**
   * The padding under which two rows of different length, side by side, go on as each does alone: the same likeliest
   * tokens, log-probs to 1e-3. "none" where there is no such padding.
   */
  async findPadding(): Promise<Padding> {
    const prompts = [[3, 5, 7, 11, 13], [4, 6]], steps = 3;
    const alone: Float32Array[][][] = [];
    for (const prompt of prompts) alone.push(await this.#continue([prompt], steps, "none"));
    for (const padding of ["right", "left"] as const) {
      const together = await this.#continue(prompts, steps, padding).catch(() => undefined);
      if (together && prompts.every((_, row) => agree(alone[row]![0]!, together[row]!))) return padding;
    }
    return "none";
  }

  /** Whether a prompt read in two parts gives the log-probs of the whole. */
  async #tryParts(): Promise<boolean> {
    const prompt = [3, 5, 7, 11, 13];
    const whole = await this.run([prompt], this.emptyCache(1), this.base, "none");
    const first = await this.run([prompt.slice(0, 3)], this.emptyCache(1), this.base, "none");
    const second = await this.run([prompt.slice(3)], first.cache, this.base, "none");
    const same = agree([logProbs(whole.logitsOf(0))], [logProbs(second.logitsOf(0))]);
    for (const { dispose, cache } of [whole, first, second]) {
      dispose();
      disposeCache(cache);
    }
    return same;
  }

  /** Log-probs [rows][steps][vocabulary] of greedy answers: each prompt read alone, then all as one batch. */
  async #continue(prompts: number[][], steps: number, padding: Padding): Promise<Float32Array[][]> {
    const read = [];
    for (const prompt of prompts) read.push(await this.run([prompt], this.emptyCache(1), this.base, "none"));
    const logits = read.map(({ logitsOf }) => [logitsOf(0).slice()]);
    let cache = gatherRows(read.map(({ cache }) => ({ cache, row: 0 })), padding);
    for (const each of read) {
      each.dispose();
      disposeCache(each.cache);
    }
    for (let step = 1; step < steps; step++) {
      const result = await this.run(logits.map((row) => [likeliest(row.at(-1)!)]), cache, this.base, padding);
      disposeCache(cache);
      logits.forEach((row, i) => row.push(result.logitsOf(i).slice()));
      result.dispose();
      cache = result.cache;
    }
    disposeCache(cache);
    return logits.map((row) => row.map(logProbs));
  }
}

const likeliest = (values: Float32Array) => values.reduce((best, value, i) => value > values[best]! ? i : best, 0);

function logProbs(logits: Float32Array): Float32Array {
  const highest = logits[likeliest(logits)]!;
  const normalizer = highest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - highest), 0));
  return logits.map((logit) => logit - normalizer);
}

function agree(alone: Float32Array[], together: Float32Array[]): boolean {
  return alone.every((row, step) => {
    const other = together[step]!;
    return likeliest(row) === likeliest(other) && row.every((value, i) => Math.abs(value - other[i]!) <= tolerance);
  });
}
