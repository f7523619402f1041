// The model families whose ONNX graph Prospect writes, as a table: what each does that its config.json does not say, and
// the values of the fields that its checkpoints leave out (as Hugging Face's configurations have them).
// It turns a config.json into a Decoder or refuses it by name. It does not know weights or graphs.

import { z } from "zod";
import { InputError, RefusedModelError } from "../errors.ts";
import type { Decoder, DecoderLayer } from "./decoder.ts";
import { whyNotDecoder } from "./other_kinds.ts";
import { rotary } from "./rotary.ts";

const size = z.number().int().positive();
const positive = z.number().positive();

const configSchema = z.looseObject({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  max_position_embeddings: size,
  original_max_position_embeddings: size.nullish(),
  rms_norm_eps: positive.default(1e-6),
  tie_word_embeddings: z.boolean().default(false),
  hidden_act: z.string().nullish(),
  hidden_activation: z.string().nullish(),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  rope_theta: positive.nullish(),
  rope_local_base_freq: positive.default(10000),
  rope_scaling: z.unknown().optional(),
  rope_parameters: z.looseObject({}).nullish(),
  partial_rotary_factor: z.number().positive().max(1).nullish(),
  no_rope_layers: z.array(z.number()).nullish(),
  no_rope_layer_interval: size.default(4),
  layer_types: z.array(z.string()).nullish(),
  use_sliding_window: z.boolean().default(true),
  sliding_window: size.nullish(),
  sliding_window_pattern: size.nullish(),
  _sliding_window_pattern: size.nullish(),
  max_window_layers: size.or(z.literal(0)).nullish(),
  query_pre_attn_scalar: positive.nullish(),
  attn_logit_softcapping: positive.nullish(),
  final_logit_softcapping: positive.nullish(),
});

type Config = z.infer<typeof configSchema>;

/** A rule over layers, counted from 0. */
type LayerRule = (config: Config, layer: number) => boolean;

const everyLayer: LayerRule = () => true;
const everyOther: LayerRule = (_, layer) => layer % 2 === 0;
const allButEverySixth: LayerRule = (config, layer) =>
  (layer + 1) % (config.sliding_window_pattern ?? config._sliding_window_pattern ?? 6) !== 0;
const fromMaxWindowLayers: LayerRule = (config, layer) => layer >= (config.max_window_layers ?? 28);
const noRopeLayers: LayerRule = (config, layer) =>
  (config.no_rope_layers?.[layer] ?? (layer + 1) % config.no_rope_layer_interval) === 0;

/** What a family does beyond a pre-norm decoder with grouped attention, rotary positions and a gated SiLU MLP. */
interface Family {
  /** Values of fields that a config.json of this family may lack. */
  defaults: Partial<Config>;
  /** Layers that see `sliding_window` positions only, where config.json has no `layer_types`. None where absent. */
  slides?: LayerRule;
  /** Layers without rotary positions. None where absent. */
  positionless?: LayerRule;
  /** q, k and v have a bias whatever `attention_bias` says; the output projection has none. */
  queryKeyValueBias?: true;
  queryKeyNorm?: true;
  normsFromOne?: true;
  sandwichNorms?: true;
  /** Embeddings are multiplied by √hidden_size. */
  scaledEmbedding?: true;
  /** Attention divides by √query_pre_attn_scalar, not by the root of the head size. */
  ownAttentionScale?: true;
  /** Scores are capped at `attn_logit_softcapping`; other families have the field and do not use it. */
  cappedScores?: true;
  fusedProjections?: true;
  /** Sliding layers have a rotary embedding of their own, based on `rope_local_base_freq`. */
  localRotary?: true;
  /** What the family's early files call a rotary scaling, and its name of today. */
  formerScalings?: Record<string, string>;
}

const gelu = "gelu_pytorch_tanh";
const gemma = { tie_word_embeddings: true, head_dim: 256, max_position_embeddings: 8192, hidden_activation: gelu };
const qwen = { max_position_embeddings: 32768, use_sliding_window: false, sliding_window: 4096 };

const families: Record<string, Family> = {
  llama: { defaults: { max_position_embeddings: 2048 } },
  mistral: {
    defaults: { max_position_embeddings: 131072, sliding_window: 4096, num_key_value_heads: 8 },
    slides: everyLayer,
  },
  smollm3: {
    defaults: {
      max_position_embeddings: 32768,
      rope_theta: 2e6,
      use_sliding_window: false,
      tie_word_embeddings: true,
      num_key_value_heads: 4,
    },
    slides: noRopeLayers,
    positionless: noRopeLayers,
  },
  qwen2: { defaults: qwen, slides: fromMaxWindowLayers, queryKeyValueBias: true },
  qwen3: { defaults: { ...qwen, head_dim: 128 }, slides: fromMaxWindowLayers, queryKeyNorm: true },
  gemma: { defaults: gemma, normsFromOne: true, scaledEmbedding: true },
  gemma2: {
    defaults: {
      ...gemma,
      query_pre_attn_scalar: 256,
      sliding_window: 4096,
      attn_logit_softcapping: 50,
      final_logit_softcapping: 30,
    },
    slides: everyOther,
    normsFromOne: true,
    sandwichNorms: true,
    scaledEmbedding: true,
    ownAttentionScale: true,
    cappedScores: true,
  },
  gemma3_text: {
    defaults: {
      ...gemma,
      max_position_embeddings: 131072,
      query_pre_attn_scalar: 256,
      sliding_window: 4096,
      rope_theta: 1e6,
    },
    slides: allButEverySixth,
    queryKeyNorm: true,
    normsFromOne: true,
    sandwichNorms: true,
    scaledEmbedding: true,
    ownAttentionScale: true,
    localRotary: true,
  },
  phi3: {
    defaults: { max_position_embeddings: 4096, original_max_position_embeddings: 4096, rms_norm_eps: 1e-5 },
    slides: everyLayer,
    fusedProjections: true,
    formerScalings: { su: "longrope", yarn: "longrope" },
  },
};

/** Activations of the MLP's gate by Hugging Face's names. */
const activations: Record<string, Decoder["activation"]> = { silu: "silu", swish: "silu", [gelu]: "gelu_tanh" };

/** A model by config.json, and what its user should know. */
export interface ReadDecoder {
  decoder: Decoder;
  /** A sentence where the written model is less than the checkpoint. */
  remark?: string;
}

/**
 * Reads a config.json as a decoder of one of the families.
 *
 * @param source what messages name, such as the file's path
 * @throws {RefusedModelError} for what Prospect does not write: another family, quantised weights, experts, images, an
 * encoder
 * @throws {InputError} for a field that is missing or impossible, by name
 */
export function readDecoder(json: unknown, source: string): ReadDecoder {
  const type = checkKind(json, source);
  const family = families[type]!;
  const read = configSchema.safeParse({ ...family.defaults, ...json as object });
  if (!read.success) {
    const issue = read.error.issues[0];
    throw new InputError(
      `${source}: field "${issue?.path.join(".")}" is not what a ${type} model has: ${issue?.message ?? "unusable"}.`,
    );
  }
  const config = read.data;
  const heads = config.num_attention_heads, kvHeads = config.num_key_value_heads ?? heads;
  const headSize = config.head_dim ?? config.hidden_size / heads;
  const fail = (what: string): never => {
    throw new InputError(`${source}: ${what}.`);
  };
  if (heads % kvHeads !== 0) fail(`num_attention_heads ${heads} is no multiple of num_key_value_heads ${kvHeads}`);
  if (!Number.isInteger(headSize)) {
    fail(`hidden_size ${config.hidden_size} is no multiple of num_attention_heads ${heads}`);
  }
  if (headSize % 8 !== 0) {
    throw new RefusedModelError(
      `${source}: the head size is ${headSize}; ONNX Runtime's attention takes multiples of 8 only.`,
    );
  }
  // Old Gemma files say hidden_act "gelu" and mean the tanh approximation, as their hidden_activation says where it is.
  const activation = config.hidden_activation ?? family.defaults.hidden_activation ?? config.hidden_act ?? "silu";
  if (!Object.hasOwn(activations, activation)) {
    throw new RefusedModelError(
      `${source}: the activation "${activation}" is not one that Prospect writes (${
        Object.keys(activations).join(", ")
      }); ` +
        `use an ONNX export of this model.`,
    );
  }
  const layers = readLayers(config, family, source);
  const { rotaries, positions } = readRotaries(config, family, headSize, source);
  const decoder: Decoder = {
    vocabulary: config.vocab_size,
    hidden: config.hidden_size,
    inner: config.intermediate_size,
    heads,
    kvHeads,
    headSize,
    layers,
    rotaries,
    positions,
    epsilon: config.rms_norm_eps,
    normsFromOne: family.normsFromOne ?? false,
    sandwichNorms: family.sandwichNorms ?? false,
    queryKeyNorm: family.queryKeyNorm ?? false,
    biases: {
      queryKeyValue: family.queryKeyValueBias ?? config.attention_bias,
      attentionOutput: family.queryKeyValueBias ? false : config.attention_bias,
      mlp: config.mlp_bias,
    },
    fusedProjections: family.fusedProjections ?? false,
    activation: activations[activation]!,
    embeddingScale: family.scaledEmbedding ? Math.sqrt(config.hidden_size) : 1,
    attentionScale: 1 / Math.sqrt((family.ownAttentionScale && config.query_pre_attn_scalar) || headSize),
    attentionSoftcap: (family.cappedScores && config.attn_logit_softcapping) || 0,
    logitSoftcap: config.final_logit_softcapping ?? 0,
    tied: config.tie_word_embeddings,
  };
  if (positions === config.max_position_embeddings) return { decoder };
  return {
    decoder,
    remark: `the rotary scaling beyond ${positions} positions cannot be written as one table, so the model takes ` +
      `sequences of up to ${positions} tokens`,
  };
}

function readLayers(config: Config, family: Family, source: string): DecoderLayer[] {
  const kinds = config.layer_types;
  const unknown = kinds?.find((kind) => kind !== "sliding_attention" && kind !== "full_attention");
  if (unknown !== undefined) {
    throw new RefusedModelError(
      `${source}: layer_types has "${unknown}"; Prospect writes full_attention and sliding_attention.`,
    );
  }
  if (kinds && kinds.length !== config.num_hidden_layers) {
    throw new InputError(
      `${source}: layer_types names ${kinds.length} layers, but num_hidden_layers is ${config.num_hidden_layers}.`,
    );
  }
  return Array.from({ length: config.num_hidden_layers }, (_, layer) => {
    const local = kinds ? kinds[layer] === "sliding_attention" : family.slides?.(config, layer) ?? false;
    const window = local && config.use_sliding_window ? config.sliding_window ?? -1 : -1;
    if (family.positionless?.(config, layer)) return { window };
    return { window, rotary: family.localRotary ? (local ? "local" : "global") : "" };
  });
}

function readRotaries(config: Config, family: Family, headSize: number, source: string) {
  // transformers 5 keeps theta and scaling together in rope_parameters, by kind of layer where kinds differ.
  const parameters = (kind: "full_attention" | "sliding_attention"): Record<string, unknown> => {
    const modern = config.rope_parameters;
    if (modern) return { ...(modern[kind] ?? modern) as object };
    if (kind === "sliding_attention") return { rope_theta: config.rope_local_base_freq };
    return { ...(config.rope_scaling ?? {}) as object, rope_theta: config.rope_theta };
  };
  const make = (kind: "full_attention" | "sliding_attention") => {
    const { rope_theta, partial_rotary_factor, ...scaling } = parameters(kind);
    const type = family.formerScalings?.[`${scaling["rope_type"] ?? scaling["type"]}`];
    if (type) scaling["rope_type"] = type;
    const part = Number(partial_rotary_factor ?? config.partial_rotary_factor ?? 1);
    const turning = Math.trunc(headSize * part);
    if (turning % 2 !== 0) {
      throw new InputError(`${source}: partial_rotary_factor ${part} turns ${turning} elements, an odd number.`);
    }
    const base = {
      theta: Number(rope_theta ?? config.rope_theta ?? 10000),
      size: turning,
      positions: config.max_position_embeddings,
      originalPositions: config.original_max_position_embeddings ?? undefined,
    };
    return rotary(base, Object.keys(scaling).length > 0 ? scaling : null, source);
  };
  const full = make("full_attention");
  if (!family.localRotary) return { rotaries: { "": full.rotary }, positions: full.positions };
  return {
    rotaries: { global: full.rotary, local: make("sliding_attention").rotary },
    positions: full.positions,
  };
}

/** The family's name. */
function checkKind(json: unknown, source: string): string {
  const kind = z.looseObject({ model_type: z.string() }).safeParse(json);
  if (!kind.success) throw new InputError(`${source}: there is no model_type, so this is not a model's configuration.`);
  const type = kind.data.model_type;
  const reason = whyNotDecoder(kind.data, type, Object.keys(families));
  if (reason) throw new RefusedModelError(`${source}: ${reason}.`);
  if (!Object.hasOwn(families, type)) {
    throw new RefusedModelError(
      `${source}: model_type "${type}" is not one that Prospect writes ONNX for (${
        Object.keys(families).join(", ")
      }); ` +
        `give a folder with an ONNX export of it, such as onnx-community has.`,
    );
  }
  return type;
}
