// PEFT's adapter_config.json: made, checked, and asked for a module's rank and scaling. It does not know files or
// tensors (adapter.ts does). Which settings are refused, and why, is the table at the end.

import { z } from "zod";
import { InputError } from "../errors.ts";

const positiveInteger = z.number().int().positive();
const schema = z.looseObject({
  peft_type: z.literal("LORA"),
  r: positiveInteger,
  lora_alpha: z.number().finite(),
  target_modules: z.union([z.array(z.string()).min(1), z.string()]),
  base_model_name_or_path: z.string().nullable().default(null),
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
  /** Last parts of module names, for example `q_proj`. Sorted in the config. */
  targetModules: string[];
  /** The model the adapter belongs to: a hub name or a folder. */
  baseModel: string;
  /** True where the checkpoint stores weights [in, out] (GPT-2's Conv1D). The adapter's own shapes do not change. */
  fanInFanOut?: boolean;
}

/**
 * A config with exactly the keys that PEFT 0.21 writes.
 *
 * @throws {InputError} when the rank is not a positive whole number or no module is named.
 */
export function adapterConfig(options: AdapterConfigOptions): AdapterConfig {
  return parseAdapterConfig({
    alora_invocation_tokens: null,
    alpha_pattern: {},
    arrow_config: null,
    auto_mapping: null,
    base_model_name_or_path: options.baseModel,
    bias: "none",
    corda_config: null,
    ensure_weight_tying: false,
    eva_config: null,
    exclude_modules: null,
    fan_in_fan_out: options.fanInFanOut ?? false,
    inference_mode: true,
    init_lora_weights: true,
    kasa_config: null,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_alpha: options.alpha,
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
    r: options.rank,
    rank_pattern: {},
    revision: null,
    target_modules: [...new Set(options.targetModules)].sort(),
    target_parameters: null,
    task_type: "CAUSAL_LM",
    trainable_token_indices: null,
    use_bdlora: null,
    use_dora: false,
    use_qalora: false,
    use_rslora: false,
    velora_config: null,
  }, "new adapter");
}

/**
 * Checks a parsed adapter_config.json. `where` is the file's name, for the messages.
 *
 * @throws {InputError} naming the file and the field, for a wrong type or a setting that is not supported.
 */
export function parseAdapterConfig(json: unknown, where: string): AdapterConfig {
  if (typeof json !== "object" || json === null) throw new InputError(`${where}: not a JSON object`);
  const fields = json as Record<string, unknown>;
  if (fields["peft_type"] !== "LORA") {
    throw new InputError(
      `${where}: peft_type: ${JSON.stringify(fields["peft_type"])} is not supported, only "LORA" is`,
    );
  }
  for (const [field, { accepts, because }] of Object.entries(REFUSALS)) {
    if (field in fields && !accepts(fields[field])) {
      throw new InputError(`${where}: ${field}: ${JSON.stringify(fields[field])} is not supported (${because})`);
    }
  }
  const parsed = schema.safeParse(fields);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new InputError(`${where}: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "unusable"}`);
  }
  const patterns = [...Object.keys(parsed.data.rank_pattern), ...Object.keys(parsed.data.alpha_pattern)];
  for (const pattern of patterns) checkPattern(modulePattern(pattern), pattern, where);
  const targets = parsed.data.target_modules;
  if (typeof targets === "string") checkPattern(targets, targets, where);
  return parsed.data;
}

/**
 * The rank of a module's matrices: the first entry of `rank_pattern` that matches the name, else `r`.
 * `moduleName` is the checkpoint's (`model.layers.0.self_attn.q_proj`), with or without `base_model.model.` before it.
 *
 * Source: peft/utils/other.py `get_pattern_key`.
 */
export function rankOf(config: AdapterConfig, moduleName: string): number {
  return lookUp(config.rank_pattern, moduleName) ?? config.r;
}

/**
 * What the product of a module's matrices is multiplied by: alpha / rank, or alpha / √rank with rsLoRA, both with the
 * patterns applied.
 *
 * Source: peft/tuners/lora/layer.py `update_layer`.
 */
export function scalingOf(config: AdapterConfig, moduleName: string): number {
  const rank = rankOf(config, moduleName);
  const alpha = lookUp(config.alpha_pattern, moduleName) ?? config.lora_alpha;
  return alpha / (config.use_rslora ? Math.sqrt(rank) : rank);
}

function lookUp(patterns: Record<string, number>, moduleName: string): number | undefined {
  const name = moduleName.replace(/^base_model\.model\./, "");
  return Object.entries(patterns).find(([pattern]) => new RegExp(modulePattern(pattern)).test(name))?.[1];
}

/** PEFT's `re.match(rf"(.*\.)?({key})$", name)`, which is anchored at the start. */
function modulePattern(key: string): string {
  return `^(?:.*\\.)?(?:${key})$`;
}

function checkPattern(pattern: string, key: string, where: string): void {
  try {
    new RegExp(pattern);
  } catch {
    throw new InputError(`${where}: the pattern ${JSON.stringify(key)} is not a regular expression`);
  }
}

interface Refusal {
  accepts: (value: unknown) => boolean;
  because: string;
}

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
  layer_replication: { accepts: absent, because: "it changes the number of layers" },
  alora_invocation_tokens: { accepts: absent, because: "activated LoRA changes only a part of the tokens" },
  arrow_config: { accepts: absent, because: "Arrow routes between adapters" },
  use_qalora: { accepts: absent, because: "QALoRA pools its input" },
  use_bdlora: { accepts: absent, because: "its matrices are block diagonal" },
  kasa_config: { accepts: absent, because: "KaSA changes the base weights" },
  monteclora_config: { accepts: absent, because: "its matrices are random" },
  megatron_config: { accepts: absent, because: "its layers are split over machines" },
  init_lora_weights: {
    accepts: (value) =>
      typeof value === "boolean" || value === null || ["gaussian", "eva", "orthogonal"].includes(value as string),
    because: "this start changes the base weights; let PEFT convert the adapter to plain LoRA first",
  },
};
