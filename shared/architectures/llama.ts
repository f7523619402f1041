// A Llama of one's own: its config, new weights, and the whole model folder that unmodified transformers.js runs.
// Everything is in memory, for small models that are trained from nothing; checkpoints on disk are imported by
// import_checkpoint.ts. It does not know tokenizers or training.

import { join } from "node:path";
import { ensureWritableFolder, writeFileAtomic } from "../atomic_file.ts";
import { InputError } from "../errors.ts";
import type { Graph } from "../onnx/graph.ts";
import { writeModel } from "../onnx/write_model.ts";
import type { Random } from "../random.ts";
import type { Decoder } from "./decoder.ts";
import { decoderGraph, rotaryTables } from "./decoder_graph.ts";
import { weightSlots } from "./decoder_weights.ts";
import { readDecoder } from "./families.ts";
import { rotaryTable } from "./rotary.ts";

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
  max_position_embeddings: number;
  tie_word_embeddings: boolean;
  /** Spread of the initial weights; 0.02 where absent. */
  initializer_range?: number;
  bos_token_id?: number | null;
  eos_token_id?: number | number[] | null;
  pad_token_id?: number | null;
}

/** A float32 tensor in memory, row-major. */
export interface Weight {
  shape: readonly number[];
  data: Float32Array;
}

export type Weights = ReadonlyMap<string, Weight>;

/** protobuf's limit for one file, less room for the nodes. */
const largestFile = 2 ** 31 - 2 ** 20;

function decoderOf(config: LlamaConfig): Decoder {
  return readDecoder({ model_type: "llama", ...config }, "the Llama config").decoder;
}

/**
 * New weights under Hugging Face's names: normal with `initializer_range` (0.02), the projections back into the
 * residual stream smaller by √(2·layers) so that its spread does not grow with depth (GPT-2), norms 1.
 */
export function llamaInitialWeights(config: LlamaConfig, random: Random): Map<string, Weight> {
  const spread = config.initializer_range ?? 0.02;
  const residual = spread / Math.sqrt(2 * config.num_hidden_layers);
  const weights = new Map<string, Weight>();
  for (const { parts, kind } of weightSlots(decoderOf(config))) {
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
 * Hugging Face's tensors as the ONNX graph's initializers. Tensors that the model does not have are ignored. The table
 * and the norms are shared, not copied.
 *
 * @throws {InputError} naming the tensor that is missing or has another shape than the config says.
 */
export function packWeights(config: LlamaConfig, weights: Weights): Map<string, Weight> {
  const packed = new Map<string, Weight>();
  for (const { initializer, shape, parts, transposed } of weightSlots(decoderOf(config))) {
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
  for (const { initializer, shape, parts, transposed } of weightSlots(decoderOf(config))) {
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

/**
 * The model as a graph with its weights inside.
 *
 * @param packed initializers by their ONNX names, as {@link packWeights} makes them
 */
export function llamaGraph(config: LlamaConfig, packed: Weights): Graph {
  const decoder = decoderOf(config);
  const tables = new Map(
    rotaryTables(decoder).map(({ name, rotary, wave }) => {
      return [name, rotaryTable(decoder.rotaries[rotary]!, wave, 0, decoder.positions)];
    }),
  );
  return decoderGraph(decoder, ({ name, shape }) => {
    const data = tables.get(name) ?? packed.get(name)!.data;
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    return { name, dataType: "float32", dims: [...shape], data: { kind: "inline", bytes } };
  });
}

/**
 * Writes a model folder as transformers.js reads it, but for the tokenizer: config.json, generation_config.json and
 * onnx/model.onnx with its weights inside. config.json comes last, so a folder that has one is whole.
 *
 * @param weights under Hugging Face's names; see {@link unpackWeights} for trained initializers
 * @throws {InputError} when the folder cannot be written, a weight is missing, or the model is over 2 GiB.
 */
export async function writeLlamaModel(folder: string, config: LlamaConfig, weights: Weights): Promise<void> {
  const packed = packWeights(config, weights);
  let bytes = 0;
  for (const { data } of packed.values()) bytes += data.byteLength;
  if (bytes > largestFile) {
    throw new InputError(`${folder}: ${bytes} bytes of weights do not fit into one ONNX file (2 GiB).`);
  }
  const model = writeModel(llamaGraph(config, packed));
  await ensureWritableFolder(join(folder, "onnx"));
  await writeFileAtomic(join(folder, "onnx", "model.onnx"), model);
  const json = (value: object) => JSON.stringify(value, null, 2) + "\n";
  const { bos_token_id, eos_token_id, pad_token_id, max_position_embeddings: max_length } = config;
  const generation = { bos_token_id, eos_token_id, pad_token_id, max_length };
  await writeFileAtomic(join(folder, "generation_config.json"), json(generation));
  await writeFileAtomic(join(folder, "config.json"), json(configFile(config)));
}

function configFile(config: LlamaConfig): object {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_act: "silu",
    attention_bias: false,
    mlp_bias: false,
    use_cache: true,
    dtype: "float32",
    ...config,
    head_dim: decoderOf(config).headSize,
    rope_scaling: null,
  };
}
