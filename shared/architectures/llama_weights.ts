// The weights of a Llama model under two sets of names: Hugging Face's checkpoint (`[out, in]`, q, k and v apart) and
// the ONNX graph's initializers (`[in, out]`, q, k and v side by side). Draws new ones, and turns one into the other.
// It does not know files, operators or training.

import { InputError } from "../errors.ts";
import type { Random } from "../random.ts";
import { headSize, type LlamaConfig } from "./llama_config.ts";

/** A float32 tensor in memory, row-major. */
export interface Weight {
  shape: readonly number[];
  data: Float32Array;
}

export type Weights = ReadonlyMap<string, Weight>;

/** One initializer and the checkpoint's tensors it is made of. */
export interface WeightSlot {
  initializer: string;
  /** Shape in the ONNX graph. */
  shape: readonly number[];
  /** Checkpoint tensors, in the order of the initializer's columns. */
  parts: readonly { name: string; shape: readonly number[] }[];
  /** Whether the initializer holds the transposes. */
  transposed: boolean;
  /** A norm starts as ones; a residual projection adds into the stream, so it starts smaller. */
  kind: "embedding" | "norm" | "linear" | "residual";
}

/** Every weight of the model, in graph order. A tied head has none of its own. */
export function weightLayout(config: LlamaConfig): WeightSlot[] {
  const { hidden_size: hidden, intermediate_size: inner, vocab_size: vocabulary, num_hidden_layers: layers } = config;
  const queries = config.num_attention_heads * headSize(config), keys = config.num_key_value_heads * headSize(config);
  const linear = (
    initializer: string,
    inSize: number,
    parts: [name: string, outSize: number][],
    kind: "linear" | "residual" = "linear",
  ): WeightSlot => ({
    initializer: `${initializer}.MatMul.weight`,
    shape: [inSize, parts.reduce((sum, [, outSize]) => sum + outSize, 0)],
    parts: parts.map(([name, outSize]) => ({ name: `${name}.weight`, shape: [outSize, inSize] })),
    transposed: true,
    kind,
  });
  const norm = (initializer: string, name = initializer): WeightSlot => {
    const shape = [hidden];
    return { initializer, shape, parts: [{ name, shape }], transposed: false, kind: "norm" };
  };
  const table = { initializer: "model.embed_tokens.weight", shape: [vocabulary, hidden] };
  const slots: WeightSlot[] = [{
    ...table,
    parts: [{ name: table.initializer, shape: table.shape }],
    transposed: false,
    kind: "embedding",
  }];
  for (let i = 0; i < layers; i++) {
    const layer = `model.layers.${i}`, attention = `${layer}.self_attn`, mlp = `${layer}.mlp`;
    slots.push(
      norm(`${layer}.input_layernorm.weight`),
      linear(`${layer}.attn.qkv_proj`, hidden, [
        [`${attention}.q_proj`, queries],
        [`${attention}.k_proj`, keys],
        [`${attention}.v_proj`, keys],
      ]),
      linear(`${layer}.attn.o_proj`, queries, [[`${attention}.o_proj`, hidden]], "residual"),
      norm(`${layer}.post_attention_layernorm.weight`),
      linear(`${mlp}.gate_proj`, hidden, [[`${mlp}.gate_proj`, inner]]),
      linear(`${mlp}.up_proj`, hidden, [[`${mlp}.up_proj`, inner]]),
      linear(`${mlp}.down_proj`, inner, [[`${mlp}.down_proj`, hidden]], "residual"),
    );
  }
  slots.push(norm(`model.layers.${layers}.final_norm_layernorm.weight`, "model.norm.weight"));
  if (!config.tie_word_embeddings) slots.push(linear("lm_head", hidden, [["lm_head", vocabulary]]));
  return slots;
}

/**
 * New weights under Hugging Face's names: normal with `initializer_range` (0.02), the projections back into the
 * residual stream smaller by √(2·layers) so that its spread does not grow with depth (GPT-2), norms 1.
 */
export function llamaInitialWeights(config: LlamaConfig, random: Random): Map<string, Weight> {
  const spread = config.initializer_range ?? 0.02;
  const residual = spread / Math.sqrt(2 * config.num_hidden_layers);
  const weights = new Map<string, Weight>();
  for (const { parts, kind } of weightLayout(config)) {
    for (const { name, shape } of parts) {
      const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
      if (kind === "norm") data.fill(1);
      else for (let i = 0; i < data.length; i++) data[i] = (kind === "residual" ? residual : spread) * random.normal();
      weights.set(name, { shape, data });
    }
  }
  return weights;
}

/**
 * Hugging Face's tensors as the ONNX graph's initializers. Tensors that the model does not have are ignored (a tied
 * checkpoint may repeat its table as `lm_head.weight`). The table and the norms are shared, not copied.
 *
 * @throws {InputError} naming the tensor that is missing or has another shape than the config says.
 */
export function packWeights(config: LlamaConfig, weights: Weights): Map<string, Weight> {
  const packed = new Map<string, Weight>();
  for (const { initializer, shape, parts, transposed } of weightLayout(config)) {
    const [rows, columns] = shape as [number, number];
    const data = transposed ? new Float32Array(rows * columns) : take(weights, parts[0]!.name, shape).data;
    let first = 0;
    for (const part of transposed ? parts : []) {
      const [outSize, inSize] = part.shape as [number, number];
      const source = take(weights, part.name, part.shape).data;
      for (let o = 0; o < outSize; o++) {
        for (let i = 0; i < inSize; i++) data[i * columns + first + o] = source[o * inSize + i]!;
      }
      first += outSize;
    }
    packed.set(initializer, { shape, data });
  }
  return packed;
}

/**
 * The inverse of {@link packWeights}: initializers, perhaps trained, as Hugging Face's tensors. The table and the norms
 * are shared, not copied.
 *
 * @throws {InputError} naming the initializer that is missing or has another shape than the config says.
 */
export function unpackWeights(config: LlamaConfig, initializers: Weights): Map<string, Weight> {
  const weights = new Map<string, Weight>();
  for (const { initializer, shape, parts, transposed } of weightLayout(config)) {
    const { data } = take(initializers, initializer, shape);
    const columns = shape[1]!;
    let first = 0;
    for (const part of parts) {
      if (!transposed) {
        weights.set(part.name, { shape: part.shape, data });
        continue;
      }
      const [outSize, inSize] = part.shape as [number, number];
      const target = new Float32Array(outSize * inSize);
      for (let o = 0; o < outSize; o++) {
        for (let i = 0; i < inSize; i++) target[o * inSize + i] = data[i * columns + first + o]!;
      }
      weights.set(part.name, { shape: part.shape, data: target });
      first += outSize;
    }
  }
  return weights;
}

function take(weights: Weights, name: string, shape: readonly number[]): Weight {
  const weight = weights.get(name);
  if (!weight) throw new InputError(`weight "${name}" is missing; a Llama model of this config has it as [${shape}].`);
  const fits = weight.shape.length === shape.length && shape.every((size, i) => weight.shape[i] === size);
  if (!fits || weight.data.length !== shape.reduce((product, size) => product * size, 1)) {
    throw new InputError(`weight "${name}" is [${weight.shape}], but config.json asks for [${shape}].`);
  }
  return weight;
}
