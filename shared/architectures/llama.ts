// Writes a Llama decoder as an ONNX graph, node for node as ONNX Runtime GenAI's builder does, and a whole model folder
// that unmodified transformers.js runs. Weights come from outside: it does not know checkpoints, tokenizers or training.

import { join } from "node:path";
import { ensureWritableFolder, writeFileAtomic } from "../atomic_file.ts";
import { InputError } from "../errors.ts";
import { attribute } from "../onnx/builder.ts";
import { type Attribute, type Graph, microsoft, type Shape, type Tensor } from "../onnx/graph.ts";
import type { DataType } from "../onnx/schema.ts";
import { writeModel } from "../onnx/write_model.ts";
import { checkLlamaConfig, headSize, type LlamaConfig, rotaryCaches } from "./llama_config.ts";
import { packWeights, type Weight, weightLayout, type Weights } from "./llama_weights.ts";

export { type Llama3RopeScaling, type LlamaConfig, parseLlamaConfig } from "./llama_config.ts";
export { llamaInitialWeights, packWeights, unpackWeights, type Weight, type Weights } from "./llama_weights.ts";

/** protobuf's limit for one file, less room for the nodes. */
const largestFile = 2 ** 31 - 2 ** 20;

/** A node whose name and first output follow the builder's convention: `NAME` writes `NAME/output_0`. */
type Emit = (
  operator: string,
  name: string,
  inputs: string[],
  attributes?: Record<string, Attribute>,
  options?: { domain?: string; outputs?: string[] },
) => string;

/**
 * The decoder as a graph: input_ids, attention_mask and past_key_values.N.key/value to logits and present.N.key/value.
 * A tied head multiplies by the transposed embedding table, so the model has that tensor once, in the layout that
 * Gather reads.
 *
 * @param weight gives each initializer by its ONNX name, as {@link packWeights} makes them
 * @throws {InputError} for a config that ONNX Runtime's attention does not take, or a weight of the wrong shape.
 */
export function llamaGraph(config: LlamaConfig, weight: (name: string) => Weight): Graph {
  checkLlamaConfig(config, "the Llama config");
  const graph: Graph = {
    irVersion: 10,
    opsets: new Map([["", 21], [microsoft, 1]]),
    ...interfaceOf(config),
    nodes: [],
    initializers: new Map(),
  };
  const emit: Emit = (
    operator,
    name,
    inputs,
    attributes = {},
    { domain = "", outputs = [`${name}/output_0`] } = {},
  ) => {
    const map = new Map(Object.entries(attributes));
    graph.nodes.push({ operator, domain, name, inputs, outputs, attributes: map, metadata: new Map() });
    return outputs[0]!;
  };
  for (const { initializer, shape } of weightLayout(config)) {
    const { shape: given, data } = weight(initializer);
    if (`${given}` !== `${shape}`) {
      throw new InputError(`weight "${initializer}" is [${given}], but config.json asks for [${shape}].`);
    }
    graph.initializers.set(initializer, floats(initializer, shape, data));
  }
  const { shape, cos, sin } = rotaryCaches(config);
  graph.initializers.set("cos_cache", floats("cos_cache", shape, cos));
  graph.initializers.set("sin_cache", floats("sin_cache", shape, sin));
  writeDecoder(config, emit);
  return graph;
}

function interfaceOf(config: LlamaConfig): Pick<Graph, "inputs" | "outputs"> {
  const value = (name: string, dataType: DataType, ...shape: Shape) => ({ name, dataType, shape });
  const caches = (prefix: string, length: string) =>
    ["key", "value"].flatMap((part) =>
      Array.from({ length: config.num_hidden_layers }, (_, i) =>
        value(
          `${prefix}.${i}.${part}`,
          "float32",
          "batch_size",
          config.num_key_value_heads,
          length,
          headSize(config),
        ))
    );
  return {
    inputs: [
      value("input_ids", "int64", "batch_size", "sequence_length"),
      value("attention_mask", "int64", "batch_size", "total_sequence_length"),
      ...caches("past_key_values", "past_sequence_length"),
    ],
    outputs: [
      value("logits", "float32", "batch_size", "sequence_length", config.vocab_size),
      ...caches("present", "total_sequence_length"),
    ],
  };
}

function writeDecoder(config: LlamaConfig, emit: Emit): void {
  const epsilon = attribute.float(config.rms_norm_eps);
  const lengths = writeLengths(emit);
  let residual = emit("Gather", "/model/embed_tokens/Gather", ["model.embed_tokens.weight", "input_ids"]);
  /** What the layer before added; the next norm adds it into the residual stream. */
  let added: string | undefined;
  const norm = (path: string): string => {
    const output = `/${path}/output_0`, scale = `${path.replaceAll("/", ".")}.weight`;
    if (added === undefined) {
      const attributes = { epsilon, axis: attribute.int(-1), stash_type: attribute.int(1) };
      const outputs = [output];
      return emit("SimplifiedLayerNormalization", `/${path}/LayerNorm`, [residual, scale], attributes, { outputs });
    }
    const sum = `/${path}/output_3`, inputs = [residual, added, scale];
    const outputs = path.endsWith("final_norm_layernorm") ? [output] : [output, "", "", sum];
    residual = sum;
    const options = { domain: microsoft, outputs };
    return emit("SkipSimplifiedLayerNormalization", `/${path}/SkipLayerNorm`, inputs, { epsilon }, options);
  };
  const linear = (path: string, input: string) =>
    emit("MatMul", `/${path}/MatMul`, [input, `${path.replaceAll("/", ".")}.MatMul.weight`]);

  for (let i = 0; i < config.num_hidden_layers; i++) {
    const layer = `model/layers.${i}`;
    const packed = linear(`${layer}/attn/qkv_proj`, norm(`${layer}/input_layernorm`));
    const attended = writeAttention(config, emit, i, packed, lengths);
    added = linear(`${layer}/attn/o_proj`, attended);
    const normed = norm(`${layer}/post_attention_layernorm`);
    const gate = linear(`${layer}/mlp/gate_proj`, normed), up = linear(`${layer}/mlp/up_proj`, normed);
    const sigmoid = emit("Sigmoid", `/${layer}/mlp/act_fn/Sigmoid`, [gate]);
    const active = emit("Mul", `/${layer}/mlp/act_fn/Mul`, [gate, sigmoid]);
    added = linear(`${layer}/mlp/down_proj`, emit("Mul", `/${layer}/mlp/Mul`, [active, up]));
  }
  const states = norm(`model/layers.${config.num_hidden_layers}/final_norm_layernorm`);
  const table = config.tie_word_embeddings
    ? emit("Transpose", "/lm_head/Transpose", ["model.embed_tokens.weight"], { perm: attribute.ints([1, 0]) })
    : "lm_head.MatMul.weight";
  emit("MatMul", "/lm_head/MatMul", [states, table], {}, { outputs: ["logits"] });
}

/** Attention over the cache, rotary embedding included. */
function writeAttention(
  config: LlamaConfig,
  emit: Emit,
  layer: number,
  packed: string,
  lengths: [last: string, total: string],
): string {
  const name = `/model/layers.${layer}/attn/GroupQueryAttention`;
  const past = ["key", "value"].map((part) => `past_key_values.${layer}.${part}`);
  const present = ["key", "value"].map((part) => `present.${layer}.${part}`);
  const inputs = [packed, "", "", ...past, ...lengths, "cos_cache", "sin_cache", "", "", ""];
  return emit("GroupQueryAttention", name, inputs, {
    num_heads: attribute.int(config.num_attention_heads),
    kv_num_heads: attribute.int(config.num_key_value_heads),
    scale: attribute.float(1 / Math.sqrt(headSize(config))),
    local_window_size: attribute.int(-1),
    softcap: attribute.float(0),
    do_rotary: attribute.int(1),
    rotary_interleaved: attribute.int(0),
  }, { domain: microsoft, outputs: [`${name}/output_0`, ...present] });
}

/** From the mask: index of each row's last token, and the length of the whole, as GroupQueryAttention wants them. */
function writeLengths(emit: Emit): [last: string, total: string] {
  const path = "/model/attn_mask_reformat/attn_mask_subgraph";
  const one = (label: string, dims: number[]) => {
    const bytes = new Uint8Array(BigInt64Array.of(1n).buffer), output = `/model/constants/INT64/${label}`;
    const value: Tensor = { name: output, dataType: "int64", dims, data: { kind: "inline", bytes } };
    return emit("Constant", `/model/constant_nodes/INT64/${label}`, [], { value: { kind: "tensor", value } }, {
      outputs: [output],
    });
  };
  const int32 = { to: attribute.int(6) }, vector = one("[1]", [1]);
  const counts = emit("ReduceSum", `${path}/ReduceSum`, ["attention_mask", vector], { keepdims: attribute.int(0) });
  const last = emit("Cast", `${path}/Sub/Cast`, [emit("Sub", `${path}/Sub`, [counts, vector])], int32);
  const shape = emit("Shape", `${path}/Shape`, ["attention_mask"]);
  const total = emit("Gather", `${path}/Gather`, [shape, one("1", [])], { axis: attribute.int(0) });
  return [last, emit("Cast", `${path}/Gather/Cast`, [total], int32)];
}

function floats(name: string, shape: readonly number[], data: Float32Array): Tensor {
  const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  return { name, dataType: "float32", dims: [...shape], data: { kind: "inline", bytes } };
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
  const model = writeModel(llamaGraph(config, (name) => packed.get(name)!));
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
    head_dim: headSize(config),
    rope_scaling: config.rope_scaling ?? null,
  };
}
