// Writes a decoder as an ONNX graph, node for node as ONNX Runtime GenAI's builder does where both can, KV cache
// included. It is given the initializers; it does not know checkpoints, families or training.

import { attribute } from "../onnx/builder.ts";
import { type Attribute, type Graph, microsoft, type Shape, type Tensor } from "../onnx/graph.ts";
import type { DataType } from "../onnx/schema.ts";
import { type Decoder, type DecoderLayer, turnsInside } from "./decoder.ts";
import { weightSlots } from "./decoder_weights.ts";

/** An initializer that the graph needs. */
export interface InitializerShape {
  name: string;
  shape: readonly number[];
}

/** The tables of a rotary embedding: cosines, then sines, each [positions, turning elements / 2]. */
export function rotaryTables(
  { rotaries, positions }: Decoder,
): (InitializerShape & { rotary: string; wave: "cos" | "sin" })[] {
  return Object.entries(rotaries).flatMap(([rotary, { frequencies }]) =>
    (["cos", "sin"] as const).map((wave) => ({
      name: tableName(wave, rotary),
      shape: [positions, frequencies.length],
      rotary,
      wave,
    }))
  );
}

const tableName = (wave: "cos" | "sin", rotary: string) => rotary === "" ? `${wave}_cache` : `${wave}_cache_${rotary}`;

/** A node whose name and first output follow the builder's convention: `NAME` writes `NAME/output_0`. */
type Emit = (
  operator: string,
  name: string,
  inputs: string[],
  attributes?: Record<string, Attribute>,
  options?: { domain?: string; outputs?: string[] },
) => string;

/** What the writers of the parts share. */
interface Writing {
  decoder: Decoder;
  emit: Emit;
  /** A constant, written once. */
  integers: (values: number[] | number) => string;
  float: (value: number) => string;
  /** Product with a weight, and its bias. */
  linear: (path: string, input: string, bias?: boolean) => string;
}

/**
 * The decoder as a graph: input_ids, attention_mask and past_key_values.N.key/value to logits and present.N.key/value,
 * and position_ids where queries and keys turn outside GroupQueryAttention. A tied head multiplies by the transposed
 * embedding table, so the model has that tensor once, in the layout that Gather reads.
 *
 * @param tensorOf gives each initializer of {@link weightSlots} and {@link rotaryTables}
 */
export function decoderGraph(decoder: Decoder, tensorOf: (initializer: InitializerShape) => Tensor): Graph {
  const graph: Graph = {
    irVersion: 10,
    opsets: new Map([["", 21], [microsoft, 1]]),
    ...interfaceOf(decoder),
    nodes: [],
    initializers: new Map(),
  };
  const names = [...weightSlots(decoder).map(({ initializer, shape }) => ({ name: initializer, shape }))];
  for (const each of [...names, ...rotaryTables(decoder)]) graph.initializers.set(each.name, tensorOf(each));
  writeDecoder(writingInto(graph, decoder));
  return graph;
}

function interfaceOf(decoder: Decoder): Pick<Graph, "inputs" | "outputs"> {
  const value = (name: string, dataType: DataType, ...shape: Shape) => ({ name, dataType, shape });
  const caches = (prefix: string, length: string) =>
    ["key", "value"].flatMap((part) =>
      decoder.layers.map((_, i) =>
        value(`${prefix}.${i}.${part}`, "float32", "batch_size", decoder.kvHeads, length, decoder.headSize)
      )
    );
  return {
    inputs: [
      value("input_ids", "int64", "batch_size", "sequence_length"),
      value("attention_mask", "int64", "batch_size", "total_sequence_length"),
      ...turnsInside(decoder) ? [] : [value("position_ids", "int64", "batch_size", "sequence_length")],
      ...caches("past_key_values", "past_sequence_length"),
    ],
    outputs: [
      value("logits", "float32", "batch_size", "sequence_length", decoder.vocabulary),
      ...caches("present", "total_sequence_length"),
    ],
  };
}

function writingInto(graph: Graph, decoder: Decoder): Writing {
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
  const written = new Set<string>();
  const constant = (dataType: DataType, label: string, dims: number[], array: ArrayBufferView) => {
    const output = `/model/constants/${label}`;
    if (written.has(output)) return output;
    written.add(output);
    const bytes = new Uint8Array(array.buffer as ArrayBuffer);
    const value: Tensor = { name: output, dataType, dims, data: { kind: "inline", bytes } };
    return emit("Constant", `/model/constant_nodes/${label}`, [], { value: { kind: "tensor", value } }, {
      outputs: [output],
    });
  };
  return {
    decoder,
    emit,
    integers: (values) => {
      const list = [values].flat(), vector = Array.isArray(values);
      const label = vector ? `[${list.join(", ")}]` : `${values}`;
      return constant("int64", `INT64/${label}`, vector ? [list.length] : [], BigInt64Array.from(list, BigInt));
    },
    float: (value) =>
      constant("float32", `FLOAT/${Number.isInteger(value) ? value.toFixed(1) : value}`, [], Float32Array.of(value)),
    linear: (path, input, bias = false) => {
      const dotted = path.replaceAll("/", ".");
      const product = emit("MatMul", `/${path}/MatMul`, [input, `${dotted}.MatMul.weight`]);
      return bias ? emit("Add", `/${path}/Add`, [product, `${dotted}.Add.bias`]) : product;
    },
  };
}

function writeDecoder(writing: Writing): void {
  const { decoder, emit, float, linear } = writing;
  const epsilon = attribute.float(decoder.epsilon);
  const lengths = writeLengths(writing);
  const embed = "/model/embed_tokens";
  let residual = emit("Gather", `${embed}/Gather`, ["model.embed_tokens.weight", "input_ids"]);
  if (decoder.embeddingScale !== 1) residual = emit("Mul", `${embed}/Mul`, [residual, float(decoder.embeddingScale)]);
  /** What the block before added; the next norm of the stream adds it first. */
  let added: string | undefined;
  const scaleOf = (path: string) => `${path.replaceAll("/", ".")}.weight`;
  const norm = (path: string, input: string): string =>
    emit("SimplifiedLayerNormalization", `/${path}/LayerNorm`, [input, scaleOf(path)], {
      epsilon,
      axis: attribute.int(-1),
      stash_type: attribute.int(1),
    }, { outputs: [`/${path}/output_0`] });
  const streamNorm = (path: string): string => {
    if (added === undefined) return norm(path, residual);
    const output = `/${path}/output_0`, sum = `/${path}/output_3`, inputs = [residual, added, scaleOf(path)];
    const outputs = path.endsWith("final_norm_layernorm") ? [output] : [output, "", "", sum];
    residual = sum;
    const options = { domain: microsoft, outputs };
    return emit("SkipSimplifiedLayerNormalization", `/${path}/SkipLayerNorm`, inputs, { epsilon }, options);
  };

  decoder.layers.forEach((layer, i) => {
    const path = `model/layers.${i}`;
    const packed = linear(
      `${path}/attn/qkv_proj`,
      streamNorm(`${path}/input_layernorm`),
      decoder.biases.queryKeyValue,
    );
    const attended = writeAttention(writing, layer, i, packed, lengths);
    added = linear(`${path}/attn/o_proj`, attended, decoder.biases.attentionOutput);
    if (decoder.sandwichNorms) added = norm(`${path}/post_attention_layernorm`, added);
    const before = decoder.sandwichNorms ? "pre_feedforward_layernorm" : "post_attention_layernorm";
    added = writeMlp(writing, `${path}/mlp`, streamNorm(`${path}/${before}`));
    if (decoder.sandwichNorms) added = norm(`${path}/post_feedforward_layernorm`, added);
  });
  writeHead(writing, streamNorm(`model/layers.${decoder.layers.length}/final_norm_layernorm`));
}

function writeHead({ decoder, emit, float }: Writing, states: string): void {
  const table = decoder.tied
    ? emit("Transpose", "/lm_head/Transpose", ["model.embed_tokens.weight"], { perm: attribute.ints([1, 0]) })
    : "lm_head.MatMul.weight";
  const cap = decoder.logitSoftcap;
  if (cap === 0) return void emit("MatMul", "/lm_head/MatMul", [states, table], {}, { outputs: ["logits"] });
  const scaled = emit("Div", "/lm_head/softcap/Div", [emit("MatMul", "/lm_head/MatMul", [states, table]), float(cap)]);
  const capped = emit("Tanh", "/lm_head/softcap/Tanh", [scaled]);
  emit("Mul", "/lm_head/softcap/Mul", [capped, float(cap)], {}, { outputs: ["logits"] });
}

function writeMlp({ decoder, emit, integers, linear }: Writing, path: string, input: string): string {
  const bias = decoder.biases.mlp;
  let gate: string, up: string;
  if (decoder.fusedProjections) {
    const both = linear(`${path}/gate_up_proj`, input), name = `/${path}/gate_up_proj/Split`;
    [gate, up] = [`${name}/output_0`, `${name}/output_1`];
    const outputs = [gate, up], sizes = integers([decoder.inner, decoder.inner]);
    emit("Split", name, [both, sizes], { axis: attribute.int(-1) }, { outputs });
  } else {
    gate = linear(`${path}/gate_proj`, input, bias);
    up = linear(`${path}/up_proj`, input, bias);
  }
  const active = decoder.activation === "silu"
    ? emit("Mul", `/${path}/act_fn/Mul`, [gate, emit("Sigmoid", `/${path}/act_fn/Sigmoid`, [gate])])
    : emit("Gelu", `/${path}/act_fn/FastGelu`, [gate], { approximate: attribute.string("tanh") });
  return linear(`${path}/down_proj`, emit("Mul", `/${path}/Mul`, [active, up]), bias);
}

/** Attention over the cache, with what happens to queries and keys before it. */
function writeAttention(
  writing: Writing,
  layer: DecoderLayer,
  index: number,
  packed: string,
  lengths: string[],
): string {
  const { decoder, emit, integers } = writing;
  const { heads, kvHeads, headSize } = decoder;
  const path = `/model/layers.${index}/attn`, inside = turnsInside(decoder);
  let [query, key, value] = [packed, "", ""];
  if (decoder.queryKeyNorm || (layer.rotary !== undefined && !inside)) {
    const sizes = integers([heads * headSize, kvHeads * headSize, kvHeads * headSize]);
    const outputs = [0, 1, 2].map((i) => `${path}/qkv_proj/Split/output_${i}`);
    emit("Split", `${path}/qkv_proj/Split`, [packed, sizes], { axis: attribute.int(-1) }, { outputs });
    [query, key, value] = outputs as [string, string, string];
  }
  if (decoder.queryKeyNorm) {
    query = writeHeadNorm(writing, `${path}/q_norm`, query, heads);
    key = writeHeadNorm(writing, `${path}/k_norm`, key, kvHeads);
  }
  const tables = layer.rotary === undefined
    ? ["", ""]
    : [tableName("cos", layer.rotary), tableName("sin", layer.rotary)];
  if (layer.rotary !== undefined && !inside) {
    const { size } = decoder.rotaries[layer.rotary]!;
    const turn = (name: string, states: string, count: number) =>
      emit("RotaryEmbedding", `${path}/${name}/RotaryEmbedding`, [states, "position_ids", ...tables], {
        interleaved: attribute.int(0),
        num_heads: attribute.int(count),
        rotary_embedding_dim: attribute.int(size === headSize ? 0 : size),
      }, { domain: microsoft });
    query = turn("q_rotary", query, heads);
    key = turn("k_rotary", key, kvHeads);
  }
  const turning = layer.rotary !== undefined && inside;
  const past = ["key", "value"].map((part) => `past_key_values.${index}.${part}`);
  const present = ["key", "value"].map((part) => `present.${index}.${part}`);
  const name = `${path}/GroupQueryAttention`;
  const inputs = [query, key, value, ...past, ...lengths, ...turning ? tables : ["", ""], "", "", ""];
  return emit("GroupQueryAttention", name, inputs, {
    num_heads: attribute.int(heads),
    kv_num_heads: attribute.int(kvHeads),
    scale: attribute.float(decoder.attentionScale),
    local_window_size: attribute.int(layer.window),
    softcap: attribute.float(decoder.attentionSoftcap),
    do_rotary: attribute.int(turning ? 1 : 0),
    rotary_interleaved: attribute.int(0),
  }, { domain: microsoft, outputs: [`${name}/output_0`, ...present] });
}

/** Normalises each head of [batch, sequence, count·headSize]. */
function writeHeadNorm({ decoder, emit, integers }: Writing, path: string, states: string, count: number): string {
  const { headSize, epsilon } = decoder;
  const apart = emit("Reshape", `${path}/Reshape_1`, [states, integers([0, -1, headSize])]);
  const scale = `${path.slice(1).replaceAll("/", ".")}.layernorm.weight`;
  const normed = emit("SimplifiedLayerNormalization", `${path}/SimplifiedLayerNormalization`, [apart, scale], {
    epsilon: attribute.float(epsilon),
    axis: attribute.int(-1),
    stash_type: attribute.int(1),
  });
  return emit("Reshape", `${path}/Reshape_2`, [normed, integers([0, -1, count * headSize])]);
}

/** From the mask: index of each row's last token, and the length of the whole, as GroupQueryAttention wants them. */
function writeLengths({ emit, integers }: Writing): [last: string, total: string] {
  const path = "/model/attn_mask_reformat/attn_mask_subgraph";
  const int32 = { to: attribute.int(6) }, one = integers([1]);
  const counts = emit("ReduceSum", `${path}/ReduceSum`, ["attention_mask", one], { keepdims: attribute.int(0) });
  const last = emit("Cast", `${path}/Sub/Cast`, [emit("Sub", `${path}/Sub`, [counts, one])], int32);
  const shape = emit("Shape", `${path}/Shape`, ["attention_mask"]);
  const total = emit("Gather", `${path}/Gather`, [shape, integers(1)], { axis: attribute.int(0) });
  return [last, emit("Cast", `${path}/Gather/Cast`, [total], int32)];
}
