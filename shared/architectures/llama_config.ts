// What a Llama model is, in the words of its config.json: sizes, rotary frequencies and which variants are refused.
// It does not know weights, graphs or where a model lies.

import { z } from "zod";
import { InputError } from "../errors.ts";

/** Llama 3's rescaling of the rotary frequencies. */
export interface Llama3RopeScaling {
  rope_type: "llama3";
  factor: number;
  low_freq_factor: number;
  high_freq_factor: number;
  original_max_position_embeddings: number;
}

/** A Llama decoder (no biases, SiLU), with the names of config.json. */
export interface LlamaConfig {
  vocab_size: number;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  /** hidden_size / num_attention_heads where absent. */
  head_dim?: number;
  rms_norm_eps: number;
  rope_theta: number;
  rope_scaling?: Llama3RopeScaling | null;
  max_position_embeddings: number;
  tie_word_embeddings: boolean;
  /** Spread of the initial weights; 0.02 where absent. */
  initializer_range?: number;
  bos_token_id?: number | null;
  eos_token_id?: number | number[] | null;
  pad_token_id?: number | null;
}

const size = z.number().int().positive();
const scalingSchema = z.looseObject({ rope_type: z.string().optional(), type: z.string().optional() });
const llama3Schema = z.object({
  rope_type: z.literal("llama3"),
  factor: z.number().positive(),
  low_freq_factor: z.number().positive(),
  high_freq_factor: z.number().positive(),
  original_max_position_embeddings: size,
});
const tokenId = z.number().int().min(0);
const configSchema = z.object({
  model_type: z.literal("llama").default("llama"),
  hidden_act: z.literal("silu").default("silu"),
  attention_bias: z.literal(false).default(false),
  mlp_bias: z.literal(false).default(false),
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.optional(),
  head_dim: size.nullish(),
  rms_norm_eps: z.number().positive().default(1e-6),
  rope_theta: z.number().positive().optional(),
  rope_scaling: z.unknown().optional(),
  rope_parameters: z.unknown().optional(),
  max_position_embeddings: size.default(2048),
  tie_word_embeddings: z.boolean().default(false),
  initializer_range: z.number().positive().optional(),
  bos_token_id: tokenId.nullish(),
  eos_token_id: z.union([tokenId, z.array(tokenId)]).nullish(),
  pad_token_id: tokenId.nullish(),
});

/** Size of one attention head. */
export function headSize(config: LlamaConfig): number {
  return config.head_dim ?? config.hidden_size / config.num_attention_heads;
}

/**
 * Checks a parsed config.json and fills in what Hugging Face's defaults leave unsaid; other fields are dropped.
 *
 * @param source what messages name, such as the file's path
 * @throws {InputError} naming the field, for a model that is no plain Llama: biases, another activation, a rotary
 * scaling other than llama3's, sizes that do not divide.
 */
export function parseLlamaConfig(json: unknown, source: string): LlamaConfig {
  const read = configSchema.safeParse(json);
  if (!read.success) {
    const issue = read.error.issues[0];
    const field = issue?.path.join(".") || "the whole";
    throw new InputError(`${source}: field "${field}" is not what a Llama model has: ${issue?.message ?? "unusable"}.`);
  }
  const { model_type: _type, hidden_act: _activation, attention_bias: _a, mlp_bias: _m, ...fields } = read.data;
  const { rope_scaling, rope_parameters, rope_theta, head_dim, num_key_value_heads, ...rest } = fields;
  // transformers 5 keeps theta and scaling together in rope_parameters.
  const rope = rope_parameters ?? rope_scaling ?? null;
  const theta = z.object({ rope_theta: z.number().positive() }).safeParse(rope);
  const { initializer_range, bos_token_id, eos_token_id, pad_token_id, ...sizes } = rest;
  const config: LlamaConfig = {
    ...sizes,
    num_key_value_heads: num_key_value_heads ?? sizes.num_attention_heads,
    head_dim: head_dim ?? sizes.hidden_size / sizes.num_attention_heads,
    rope_theta: rope_theta ?? (theta.success ? theta.data.rope_theta : 10000),
    rope_scaling: parseScaling(rope, source),
    ...(initializer_range === undefined ? {} : { initializer_range }),
    ...(bos_token_id === undefined ? {} : { bos_token_id }),
    ...(eos_token_id === undefined ? {} : { eos_token_id }),
    ...(pad_token_id === undefined ? {} : { pad_token_id }),
  };
  checkLlamaConfig(config, source);
  return config;
}

function parseScaling(rope: unknown, source: string): Llama3RopeScaling | null {
  if (rope === null) return null;
  const kind = scalingSchema.safeParse(rope);
  const type = kind.success ? kind.data.rope_type ?? kind.data.type ?? "default" : "unreadable";
  if (type === "default") return null;
  if (type !== "llama3") {
    throw new InputError(`${source}: rope_scaling of type "${type}" is not supported; only null and "llama3" are.`);
  }
  const llama3 = llama3Schema.safeParse({ ...kind.data, rope_type: type });
  if (llama3.success) return llama3.data;
  throw new InputError(`${source}: rope_scaling.${llama3.error.issues[0]?.path.join(".")} is missing or no number.`);
}

/**
 * Checks what the types cannot: that sizes divide, that ONNX Runtime's attention takes the head size, and the rotary
 * scaling of a config that came as it is from a JSON file.
 *
 * @throws {InputError} naming the field and what it must be.
 */
export function checkLlamaConfig(config: LlamaConfig, source: string): void {
  const fail = (what: string): never => {
    throw new InputError(`${source}: ${what}.`);
  };
  parseScaling(config.rope_scaling ?? null, source);
  const { num_attention_heads: heads, num_key_value_heads: kvHeads } = config;
  const head = headSize(config);
  if (heads % kvHeads !== 0) fail(`num_attention_heads ${heads} is no multiple of num_key_value_heads ${kvHeads}`);
  if (!Number.isInteger(head)) fail(`hidden_size ${config.hidden_size} is no multiple of num_attention_heads ${heads}`);
  if (head % headMultiple !== 0) fail(`the head size is ${head}; ONNX Runtime wants a multiple of ${headMultiple}`);
}

/** "head_size shall be a multiple of 16", says ONNX Runtime 1.30 of GroupQueryAttention with rotary embedding. */
const headMultiple = 16;

const round = Math.fround;

/** Rotary frequencies, one for each pair of a head's elements, rounded to float32 step by step as PyTorch does. */
function frequencies(config: LlamaConfig): number[] {
  const head = headSize(config);
  const plain = Array.from(
    { length: head / 2 },
    (_, i) => round(1 / round(config.rope_theta ** round((2 * i) / head))),
  );
  const scaling = config.rope_scaling;
  if (!scaling) return plain;
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = scaling;
  return plain.map((frequency) => {
    const wavelength = round((2 * Math.PI) / frequency);
    if (wavelength < original / high) return frequency;
    if (wavelength > original / low) return round(frequency / factor);
    const smooth = round((original / wavelength - low) / (high - low));
    return round(round((1 - smooth) * frequency / factor) + round(smooth * frequency));
  });
}

/** Cosine and sine of every position's angles: float32 [max_position_embeddings, head size / 2] each. */
export function rotaryCaches(config: LlamaConfig): { shape: [number, number]; cos: Float32Array; sin: Float32Array } {
  const turns = frequencies(config);
  const shape: [number, number] = [config.max_position_embeddings, turns.length];
  const cos = new Float32Array(shape[0] * shape[1]), sin = new Float32Array(cos.length);
  for (let position = 0, at = 0; position < shape[0]; position++) {
    for (const turn of turns) {
      const angle = round(position * turn);
      cos[at] = Math.cos(angle);
      sin[at++] = Math.sin(angle);
    }
  }
  return { shape, cos, sin };
}
