// Writes small checkpoints of random numbers as Hugging Face has them: config.json and safetensors in one file or in
// shards, in any float type. The tensors' names and shapes come from what a config.json means, not from the importer.

import { join } from "node:path";
import { Random } from "../../shared/random.ts";

/** Tensors under Hugging Face's names. */
export type Tensors = Map<string, { shape: number[]; data: Float32Array }>;

/** A config.json with the fields that every family has. */
export interface SmallConfig extends Record<string, unknown> {
  model_type: string;
  vocab_size: number;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  head_dim: number;
}

/** Which tensors a family has besides those of all. */
export interface Habits {
  queryKeyNorm?: boolean;
  sandwich?: boolean;
  fused?: boolean;
  qkvBias?: boolean;
  tied?: boolean;
  /** Norm weights are about this: 1, or 0 where the model adds 1. */
  normMean?: 0 | 1;
}

/** Random tensors of a small model, of a spread that makes logits of about 1. */
export function randomTensors(config: SmallConfig, habits: Habits, seed: number): Tensors {
  const random = new Random(seed), tensors: Tensors = new Map();
  const put = (name: string, shape: number[], mean: number, spread: number) => {
    const length = shape.reduce((product, size) => product * size, 1);
    // Multiples of 1/128 of a few bits are the same number in every float type; + 0 for there is no -0 among them.
    const data = Float32Array.from({ length }, () => Math.round(128 * (mean + spread * random.normal())) / 128 + 0);
    tensors.set(name, { shape, data });
  };
  const { hidden_size: hidden, intermediate_size: inner, head_dim: size } = config;
  const queries = config.num_attention_heads * size, keys = config.num_key_value_heads * size;
  const linear = (name: string, outSize: number, inSize: number) => put(`${name}.weight`, [outSize, inSize], 0, 0.3);
  const norm = (name: string, width = hidden) => put(`${name}.weight`, [width], habits.normMean ?? 1, 0.2);
  linear("model.embed_tokens", config.vocab_size, hidden);
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const layer = `model.layers.${i}`;
    norm(`${layer}.input_layernorm`);
    norm(`${layer}.post_attention_layernorm`);
    if (habits.sandwich) { for (const each of ["pre", "post"]) norm(`${layer}.${each}_feedforward_layernorm`); }
    const parts: [string, number][] = habits.fused
      ? [["qkv", queries + 2 * keys]]
      : [["q", queries], ["k", keys], ["v", keys]];
    for (const [name, width] of parts) {
      linear(`${layer}.self_attn.${name}_proj`, width, hidden);
      if (habits.qkvBias) put(`${layer}.self_attn.${name}_proj.bias`, [width], 0, 0.3);
    }
    if (habits.queryKeyNorm) { for (const each of ["q", "k"]) norm(`${layer}.self_attn.${each}_norm`, size); }
    linear(`${layer}.self_attn.o_proj`, hidden, queries);
    if (habits.fused) linear(`${layer}.mlp.gate_up_proj`, 2 * inner, hidden);
    else for (const each of ["gate", "up"]) linear(`${layer}.mlp.${each}_proj`, inner, hidden);
    linear(`${layer}.mlp.down_proj`, hidden, inner);
  }
  norm("model.norm");
  if (!habits.tied) linear("lm_head", config.vocab_size, hidden);
  return tensors;
}

const encoders = {
  /** Zeros, for who looks at the type alone. */
  F8_E4M3: (data: Float32Array) => new Uint8Array(data.length),
  F32: (data: Float32Array) => new Uint8Array(data.slice().buffer),
  BF16: (data: Float32Array) => {
    const bits = new Uint32Array(data.slice().buffer);
    return new Uint8Array(Uint16Array.from(bits, (each) => each >>> 16).buffer);
  },
  F16: (data: Float32Array) =>
    new Uint8Array(
      Uint16Array.from(data, (each) => {
        if (each === 0) return 0;
        const sign = each < 0 ? 0x8000 : 0, exponent = Math.floor(Math.log2(Math.abs(each)));
        return sign | (exponent + 15) << 10 | (Math.abs(each) / 2 ** exponent - 1) * 1024;
      }).buffer,
    ),
};

/** The bytes of a safetensors file. */
export function safetensors(tensors: Tensors, dtype: keyof typeof encoders): Uint8Array {
  const header: Record<string, unknown> = {}, pieces: Uint8Array[] = [];
  let end = 0;
  for (const [name, { shape, data }] of tensors) {
    const bytes = encoders[dtype](data);
    header[name] = { dtype, shape, data_offsets: [end, end += bytes.length] };
    pieces.push(bytes);
  }
  const json = new TextEncoder().encode(JSON.stringify(header)), length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true);
  return new Uint8Array([length, json, ...pieces].flatMap((each) => [...each]));
}

/** Writes a checkpoint folder; with `shards`, into so many files and their index. */
export async function writeCheckpoint(
  folder: string,
  config: object,
  tensors: Tensors,
  { dtype = "F32" as keyof typeof encoders, shards = 1 } = {},
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(config));
  await Deno.writeTextFile(join(folder, "tokenizer.json"), "{}");
  if (shards === 1) return await Deno.writeFile(join(folder, "model.safetensors"), safetensors(tensors, dtype));
  const weight_map: Record<string, string> = {};
  const names = [...tensors.keys()];
  for (let shard = 0; shard < shards; shard++) {
    const part: Tensors = new Map(), file = `model-0000${shard + 1}-of-0000${shards}.safetensors`;
    for (const name of names.filter((_, i) => i % shards === shard)) {
      part.set(name, tensors.get(name)!);
      weight_map[name] = file;
    }
    await Deno.writeFile(join(folder, file), safetensors(part, dtype));
  }
  await Deno.writeTextFile(join(folder, "model.safetensors.index.json"), JSON.stringify({ metadata: {}, weight_map }));
}
