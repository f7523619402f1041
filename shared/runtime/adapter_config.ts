// PEFT's adapter_config.json: made, checked, and asked for a module's rank and scaling. It does not know files or
// tensors (adapter.ts does). Which settings are refused, and why, is the table at the end.

import { z } from "zod";
import { InputError } from "../errors.ts";
import { lookUp, patternsOf } from "./module_patterns.ts";

const positiveInteger = z.number().int().positive();
/** Absent and null are one in PEFT's files. */
const nullable = <Kind extends z.ZodType>(kind: Kind) => kind.nullish().transform((value) => value ?? null);
const names = z.union([z.array(z.string()), z.string()]);
const layer = z.number().int().min(0);

const schema = z.looseObject({
  peft_type: z.literal("LORA"),
  r: positiveInteger,
  lora_alpha: z.number().finite(),
  target_modules: z.union([z.array(z.string()).min(1), z.string()]),
  exclude_modules: nullable(names),
  layers_to_transform: nullable(z.union([z.array(layer), layer])),
  layers_pattern: nullable(names),
  base_model_name_or_path: nullable(z.string()),
  lora_dropout: z.number().default(0),
  fan_in_fan_out: z.boolean().default(false),
  use_rslora: z.boolean().default(false),
  rank_pattern: z.record(z.string(), positiveInteger).nullish().transform((pattern) => pattern ?? {}),
  alpha_pattern: z.record(z.string(), z.number().finite()).nullish().transform((pattern) => pattern ?? {}),
});

/**
 * A checked config. The named fields are those that Prospect reads; every other field of the file is kept as it was.
 */
export type AdapterConfig = z.infer<typeof schema>;

/** What a new adapter needs. */
export interface AdapterConfigOptions {
  rank: number;
  alpha: number;
  /** Module names or their last parts, for example `q_proj`. Sorted in the config. */
  targetModules: string[];
  /** The model the adapter belongs to: a hub name or a folder. */
  baseModel: string;
  /** The base model's revision on the hub, where it is not main. */
  revision?: string | undefined;
  /** True where the checkpoint stores weights [in, out] (GPT-2's Conv1D). The adapter's own shapes do not change. */
  fanInFanOut?: boolean;
}

/** Every key that PEFT 0.21 writes, with the value that stands for "not used". */
const PEFT_KEYS = {
  alora_invocation_tokens: null,
  alpha_pattern: {},
  arrow_config: null,
  auto_mapping: null,
  base_model_name_or_path: null,
  bias: "none",
  corda_config: null,
  ensure_weight_tying: false,
  eva_config: null,
  exclude_modules: null,
  fan_in_fan_out: false,
  inference_mode: true,
  init_lora_weights: true,
  kasa_config: null,
  layer_replication: null,
  layers_pattern: null,
  layers_to_transform: null,
  loftq_config: {},
  lora_alpha: 8,
  lora_bias: false,
  lora_dropout: 0,
  lora_ga_config: null,
  megatron_config: null,
  megatron_core: "megatron.core",
  modules_to_save: null,
  monteclora_config: null,
  peft_type: "LORA",
  peft_version: "0.21.0",
  qalora_group_size: 16,
  r: 8,
  rank_pattern: {},
  revision: null,
  target_modules: null,
  target_parameters: null,
  task_type: "CAUSAL_LM",
  trainable_token_indices: null,
  use_bdlora: null,
  use_dora: false,
  use_qalora: false,
  use_rslora: false,
  velora_config: null,
};

/**
 * A config with exactly the keys that PEFT 0.21 writes.
 *
 * @throws {InputError} when the rank is not a positive whole number or no module is named.
 */
export function adapterConfig(options: AdapterConfigOptions): AdapterConfig {
  return parseAdapterConfig({
    ...PEFT_KEYS,
    base_model_name_or_path: options.baseModel,
    revision: options.revision ?? null,
    fan_in_fan_out: options.fanInFanOut ?? false,
    lora_alpha: options.alpha,
    r: options.rank,
    target_modules: [...new Set(options.targetModules)].sort(),
  }, "new adapter");
}

/** The config as PEFT 0.21 would write it: keys that an older PEFT did not have are there too. In order. */
export function completeConfig(config: AdapterConfig): Record<string, unknown> {
  return Object.fromEntries(Object.entries({ ...PEFT_KEYS, ...config }).sort(([a], [b]) => a < b ? -1 : 1));
}

/**
 * Checks a parsed adapter_config.json. `where` is the file's name, for the messages.
 *
 * @throws {InputError} naming the file and the field, for a wrong type or a setting that is not supported.
 */
export function parseAdapterConfig(json: unknown, where: string): AdapterConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new InputError(`${where}: not a JSON object`);
  }
  const fields = json as Record<string, unknown>;
  if (fields["peft_type"] !== "LORA") {
    const type = JSON.stringify(fields["peft_type"] ?? null);
    const instead = /PROMPT|PREFIX|P_TUNING|CPT/.test(type) ? "train a LoRA adapter" : mergeFirst;
    throw new InputError(`${where}: peft_type: ${type} is not supported, only "LORA" is; ${instead}.`);
  }
  for (const [field, { accepts, because, instead = mergeFirst }] of Object.entries(REFUSALS)) {
    if (field in fields && !accepts(fields[field])) {
      const value = JSON.stringify(fields[field]);
      throw new InputError(`${where}: ${field}: ${value} is not supported (${because}); ${instead}.`);
    }
  }
  const parsed = schema.safeParse(fields);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!, field = issue.path.join(".");
    const value = JSON.stringify(fields[String(issue.path[0])] ?? null);
    throw new InputError(`${where}: ${field}: ${value} cannot be used (${issue.message}).`);
  }
  const { rank_pattern, alpha_pattern } = parsed.data;
  for (
    const { key, compile } of patternsOf(parsed.data, [...Object.keys(rank_pattern), ...Object.keys(alpha_pattern)])
  ) {
    try {
      compile();
    } catch {
      throw new InputError(
        `${where}: the pattern ${
          JSON.stringify(key)
        } cannot be read as a regular expression; list the modules instead.`,
      );
    }
  }
  return parsed.data;
}

/**
 * The rank of a module's matrices: the first entry of `rank_pattern` that matches the name, else `r`.
 * `moduleName` is the checkpoint's (`model.layers.0.self_attn.q_proj`), with or without `base_model.model.` before it.
 *
 * Source: peft/utils/other.py `get_pattern_key`.
 */
export function rankOf(config: AdapterConfig, moduleName: string): number {
  return lookUp(config.rank_pattern, bare(moduleName)) ?? config.r;
}

/**
 * What the product of a module's matrices is multiplied by: alpha / rank, or alpha / √rank with rsLoRA, both with the
 * patterns applied.
 *
 * Source: peft/tuners/lora/layer.py `update_layer`.
 */
export function scalingOf(config: AdapterConfig, moduleName: string): number {
  const rank = rankOf(config, moduleName);
  const alpha = lookUp(config.alpha_pattern, bare(moduleName)) ?? config.lora_alpha;
  return alpha / (config.use_rslora ? Math.sqrt(rank) : rank);
}

const bare = (moduleName: string) => moduleName.replace(/^base_model\.model\./, "");

interface Refusal {
  accepts: (value: unknown) => boolean;
  because: string;
  /** What would work. */
  instead?: string;
}

/** What works with every adapter that can be merged. */
export const mergeFirst =
  "merge the adapter into its base model (PEFT's merge_and_unload), save that and give it as --model";
const withoutIt = "train the adapter again without it";

const absent = (value: unknown): boolean =>
  value === null || value === undefined || value === false ||
  (typeof value === "object" && Object.keys(value).length === 0);

/** Settings that change what the adapter computes. The others only steer how PEFT begins or trains it. */
const REFUSALS: Record<string, Refusal> = {
  use_dora: { accepts: absent, because: "DoRA rescales the base weights" },
  bias: { accepts: (value) => value === "none" || value === null, because: "trained biases are not read" },
  lora_bias: { accepts: absent, because: "LoRA biases are not read" },
  modules_to_save: { accepts: absent, because: "whole trained modules are not read" },
  trainable_token_indices: { accepts: absent, because: "trained embedding rows are not read" },
  target_parameters: { accepts: absent, because: "LoRA on bare parameters is not read" },
  layer_replication: { accepts: absent, because: "it changes the number of layers", instead: withoutIt },
  alora_invocation_tokens: {
    accepts: absent,
    because: "activated LoRA changes only a part of the tokens",
    instead: withoutIt,
  },
  arrow_config: { accepts: absent, because: "Arrow routes between adapters", instead: "name one of the adapters" },
  use_qalora: { accepts: absent, because: "QALoRA pools its input" },
  use_bdlora: { accepts: absent, because: "its matrices are block diagonal" },
  kasa_config: { accepts: absent, because: "KaSA changes the base weights" },
  monteclora_config: { accepts: absent, because: "its matrices are random", instead: withoutIt },
  megatron_config: { accepts: absent, because: "its layers are split over machines", instead: withoutIt },
  init_lora_weights: {
    accepts: (value) =>
      typeof value === "boolean" || value === null ||
      ["gaussian", "eva", "orthogonal", "mica"].includes(value as string),
    because: "this start changes the base weights, so the matrices are not the difference to the base model",
    instead:
      "save it once more from PEFT with path_initial_model_for_weight_conversion (PiSSA, OLoRA, CorDA, LoRA-GA), " +
      "or merge it into its changed base and export that (LoftQ)",
  },
};
