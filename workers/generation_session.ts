// Answers prompts with a generation graph: the model's own, KV cache and all, with LoRA inputs. Prompts of one call have
// the same length and run as one batch; each row has its own random numbers, so an answer does not depend on its
// neighbours. It knows token ids only: no text, no templates.

import { InferenceSession, Tensor } from "onnxruntime-node";
import { Random } from "../shared/random.ts";
import { type Device, sessionOptions } from "../shared/runtime/session.ts";
import type { AdapterFeeds, GenerationOptions, GenerationRequest, GenerationSetup } from "./protocol.ts";

type Feeds = Record<string, Tensor>;

/** Draws from softmax(logits/temperature), or takes the likeliest where the temperature is 0. */
export function sampleToken(logits: Float32Array, temperature: number, random: Random): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  if (temperature <= 0) return best;
  const weights = new Float64Array(logits.length);
  let total = 0;
  for (let i = 0; i < logits.length; i++) total += weights[i] = Math.exp((logits[i]! - logits[best]!) / temperature);
  let left = random.next() * total;
  for (let i = 0; i < weights.length; i++) if ((left -= weights[i]!) < 0) return i;
  return best;
}

export class GenerationSession {
  #session: InferenceSession;
  /** Rank that makes an adapter vanish: 0, but a product over an axis of length 0 crashes onnxruntime-node 1.30 on WebGPU. */
  #noRank: 0 | 1;
  #adapter: Feeds;

  private constructor(session: InferenceSession, device: Device) {
    this.#session = session;
    this.#noRank = device === "webgpu" ? 1 : 0;
    this.#adapter = this.#vanishing();
  }

  static async open({ graph, folder, device }: GenerationSetup): Promise<GenerationSession> {
    const options = { ...sessionOptions(folder, device), graphOptimizationLevel: "all" as const };
    return new GenerationSession(await InferenceSession.create(graph, options), device);
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

  /** Uses an adapter from now on; modules that it does not have stay as in the base model. */
  setAdapter(tensors: AdapterFeeds): void {
    this.#adapter = this.#vanishing();
    for (const [name, { data, shape }] of Object.entries(tensors)) {
      this.#adapter[name] = new Tensor("float32", data, shape);
    }
  }

  /** Empty caches for a batch, by input name. */
  #emptyCache(batch: number): Feeds {
    const names = this.#session.inputNames.filter((name) => name.startsWith("past_key_values."));
    return Object.fromEntries(names.map((name) => {
      const { shape, type } = this.#metadata(name);
      const dims = shape.map((size, axis) => axis === 0 ? batch : typeof size === "number" ? size : 0);
      return [
        name,
        new Tensor(type as "float32", type === "float16" ? new Uint16Array(0) as never : new Float32Array(0), dims),
      ];
    }));
  }

  /** Continues each prompt; the stop token is not part of the answer. */
  async generate(requests: GenerationRequest[], options: GenerationOptions): Promise<number[][]> {
    const batch = requests.length, length = requests[0]?.promptIds.length ?? 0;
    if (requests.some(({ promptIds }) => promptIds.length !== length)) {
      throw new Error("Prompts of one call differ in length.");
    }
    const random = requests.map(({ seed }) => new Random(seed));
    const answers: number[][] = requests.map(() => []);
    const stopped = requests.map(() => false);
    const has = (name: string) => this.#session.inputNames.includes(name);
    let cache = this.#emptyCache(batch);
    let ids = requests.flatMap(({ promptIds }) => promptIds), width = length, past = 0;
    while (true) {
      const total = past + width;
      const int64 = (data: number[] | bigint[], dims: number[]) =>
        new Tensor("int64", BigInt64Array.from(data as bigint[], BigInt), dims);
      const feeds: Feeds = { ...this.#adapter, ...cache, input_ids: int64(ids, [batch, width]) };
      if (has("attention_mask")) feeds.attention_mask = int64(new Array(batch * total).fill(1), [batch, total]);
      if (has("position_ids")) {
        feeds.position_ids = int64(ids.map((_, i) => past + i % width), [batch, width]);
      }
      if (has("num_logits_to_keep")) {
        feeds.num_logits_to_keep = int64([0], this.#metadata("num_logits_to_keep").shape.map(() => 1));
      }
      const results = await this.#session.run(feeds);
      const logits = results.logits!.data as Float32Array, vocabulary = results.logits!.dims[2]!;
      ids = requests.map((_, row) => {
        if (stopped[row]) return options.stopIds[0] ?? 0;
        const start = (row * width + width - 1) * vocabulary;
        const token = sampleToken(logits.subarray(start, start + vocabulary), options.temperature, random[row]!);
        stopped[row] = options.stopIds.includes(token);
        if (!stopped[row]) answers[row]!.push(token);
        if (answers[row]!.length >= options.maxNewTokens) stopped[row] = true;
        return token;
      });
      if (stopped.every((each) => each)) return answers;
      cache = Object.fromEntries(
        Object.keys(cache).map((name) => [name, results[name.replace("past_key_values", "present")]!]),
      );
      past = total;
      width = 1;
    }
  }
}
