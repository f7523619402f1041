// A LoRA adapter in PEFT's folder layout: adapter_config.json and adapter_model.safetensors, read and written so
// that PEFT 0.21 and Prospect open each other's. It does not know models: whether a module exists is the compiler's
// question. What Prospect cannot compute exactly as PEFT does is refused by name, never ignored.

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { ensureWritableFolder, writeFileAtomic } from "../atomic_file.ts";
import { InputError } from "../errors.ts";
import { encodeSafetensors, readSafetensors, toFloat32 } from "../onnx/safetensors.ts";
import { type AdapterConfig, completeConfig, mergeFirst, parseAdapterConfig, rankOf } from "./adapter_config.ts";
import { isTarget } from "./module_patterns.ts";

export { type AdapterConfig, adapterConfig, parseAdapterConfig, rankOf, scalingOf } from "./adapter_config.ts";

/** A row-major float32 matrix. */
export interface AdapterTensor {
  shape: number[];
  data: Float32Array;
}

/**
 * The tensors carry PEFT's names: `base_model.model.<module>.lora_A.weight` of shape [rank, in] and
 * `….lora_B.weight` of shape [out, rank], where `<module>` is the module's name in the checkpoint, for example
 * `model.layers.0.self_attn.q_proj`. Every module has both.
 */
export interface Adapter {
  config: AdapterConfig;
  tensors: Map<string, AdapterTensor>;
}

const CONFIG_FILE = "adapter_config.json";
const WEIGHTS_FILE = "adapter_model.safetensors";
const whatIsThere = `an adapter folder holds ${CONFIG_FILE} and ${WEIGHTS_FILE}`;
const TENSOR_NAME = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/;
/** As in PEFT's live modules, where the adapter's own name is one more part; saved by who did not go through PEFT. */
const LIVE_NAME = /^(base_model\.model\..+\.lora_[AB])\.([^.]+)\.weight$/;

/**
 * Reads an adapter folder. 16-bit and 64-bit tensors become float32.
 *
 * @throws {InputError} naming the file and the field or tensor: a missing file, a kind of adapter that is not plain
 * LoRA, a missing partner of a matrix, or a shape that does not fit the rank.
 */
export function readAdapter(folder: string): Adapter {
  const config = parseAdapterConfig(readConfigFile(folder), join(folder, CONFIG_FILE));
  const path = join(folder, WEIGHTS_FILE);
  if (!existsSync(path)) {
    throw new InputError(
      existsSync(join(folder, "adapter_model.bin"))
        ? `${folder}: adapter_model.bin is a Python pickle, which is not read; load it with PEFT and save it once ` +
          `more, as ${WEIGHTS_FILE}.`
        : `${path}: no such file; ${whatIsThere}.`,
    );
  }
  const tensors = new Map<string, AdapterTensor>();
  const stored = readSafetensors(path);
  const live = new Set(
    [...stored.keys()].map((name) => LIVE_NAME.exec(name)?.[2]).filter((name) => name !== undefined),
  );
  if (live.size > 1) {
    throw new InputError(
      `${path}: it holds several adapters (${[...live].join(", ")}); save each in a folder of its own.`,
    );
  }
  for (const [storedName, tensor] of stored) {
    const name = storedName.replace(LIVE_NAME, "$1.weight");
    checkName(name, path);
    if (tensors.has(name)) {
      throw new InputError(`${path}: "${name}" is there twice, once with an adapter's name in it.`);
    }
    try {
      tensors.set(name, { shape: tensor.shape, data: toFloat32(tensor) });
    } catch (error) {
      if (error instanceof InputError) throw new InputError(`${path}: tensor "${name}": ${error.message}`);
      throw error;
    }
  }
  const adapter = { config, tensors };
  checkAdapter(adapter, path);
  return adapter;
}

/**
 * Writes an adapter folder that PEFT loads; each file is replaced in one step, the weights first.
 *
 * @throws {InputError} when the adapter is not consistent or the folder cannot be written.
 */
export async function writeAdapter(folder: string, adapter: Adapter): Promise<void> {
  const path = join(folder, WEIGHTS_FILE);
  parseAdapterConfig(adapter.config, join(folder, CONFIG_FILE));
  checkAdapter(adapter, path);
  await ensureWritableFolder(folder);
  await writeFileAtomic(path, encodeSafetensors(adapter.tensors, { format: "pt" }));
  await writeFileAtomic(join(folder, CONFIG_FILE), JSON.stringify(completeConfig(adapter.config), null, 2) + "\n");
}

/** The module and the matrix that a tensor name stands for, or undefined when it is not a LoRA matrix. */
export function parseTensorName(name: string): { module: string; matrix: "A" | "B" } | undefined {
  const [, module, matrix] = TENSOR_NAME.exec(name) ?? [];
  return module === undefined ? undefined : { module, matrix: matrix === "A" ? "A" : "B" };
}

/** PEFT's name of a module's matrix, for example `base_model.model.<module>.lora_A.weight`. */
export function tensorName(module: string, matrix: "A" | "B"): string {
  return `base_model.model.${module}.lora_${matrix}.weight`;
}

/** The modules that the adapter changes, in the order of its tensors. */
export function modulesOf(adapter: Adapter): string[] {
  const modules = [...adapter.tensors.keys()].map((name) => parseTensorName(name)?.module);
  return [...new Set(modules.filter((module) => module !== undefined))];
}

/** Why a tensor is none that is read, by a part of its name. */
const OTHER_TENSORS: [part: RegExp, reason: string][] = [
  [
    /\.base_layer\./,
    "comes with LoRA on an embedding or the output head, which is not supported; train without it in target_modules, " +
    `or, where the two are not tied, ${mergeFirst}`,
  ],
  [/lora_magnitude_vector/, `belongs to DoRA, which is not supported; ${mergeFirst}`],
  [/lora_embedding_[AB]/, `is LoRA on an embedding, which is not supported; ${mergeFirst}`],
  [/lora_B\..*bias$/, `is a LoRA bias (lora_bias), which is not supported; ${mergeFirst}`],
  [/trainable_tokens/, `holds trained rows of an embedding, which are not supported; ${mergeFirst}`],
  [/\.bias$/, `is a trained bias, which is not supported; ${mergeFirst}`],
  [
    /^base_model\.model\..*\.weight$/,
    `is a whole trained or resized module (modules_to_save), not supported; ${mergeFirst}`,
  ],
];

function checkName(name: string, path: string): void {
  const module = parseTensorName(name)?.module;
  if (module === undefined) {
    const reason = OTHER_TENSORS.find(([part]) => part.test(name))?.[1] ??
      "is not a LoRA matrix; only base_model.model.<module>.lora_A.weight and .lora_B.weight are read";
    throw new InputError(`${path}: tensor "${name}" ${reason}.`);
  }
  if (!/\.\d+\./.test(module)) {
    throw new InputError(
      `${path}: tensor "${name}" is LoRA on ${module}, outside the decoder's layers (such as the output head), which is ` +
        `not supported; train without it in target_modules, or ${mergeFirst}.`,
    );
  }
}

function checkAdapter({ config, tensors }: Adapter, path: string): void {
  if (tensors.size === 0) throw new InputError(`${path}: there is no tensor in it`);
  for (const [name, { shape, data }] of tensors) {
    checkName(name, path);
    const { module, matrix } = parseTensorName(name)!;
    const partner = tensorName(module, matrix === "A" ? "B" : "A");
    if (!tensors.has(partner)) throw new InputError(`${path}: tensor "${partner}" is missing ("${name}" is there)`);
    if (!isTarget(config, module)) {
      // PEFT would leave such a tensor out with a warning, and the adapter would behave differently there and here.
      throw new InputError(
        `${path}: tensor "${name}" is on a module that the config's target_modules (with exclude_modules and ` +
          `layers_to_transform) do not mean; the two files are not from one save.`,
      );
    }
    const rank = rankOf(config, module);
    const [rows, columns] = shape;
    if (shape.length !== 2 || (matrix === "A" ? rows : columns) !== rank) {
      const expected = matrix === "A" ? `[${rank}, in]` : `[out, ${rank}]`;
      throw new InputError(
        `${path}: tensor "${name}" has shape [${shape.join(", ")}]; with rank ${rank}, as the config says (r, ` +
          `rank_pattern), it is ${expected}; the two files are not from one save.`,
      );
    }
    if (rows! * columns! !== data.length) {
      throw new InputError(`${path}: tensor "${name}" has ${data.length} values, its shape wants ${rows! * columns!}`);
    }
    const broken = data.find((value) => !Number.isFinite(value));
    if (broken !== undefined) {
      throw new InputError(
        `${path}: tensor "${name}" holds ${broken}: the training that wrote it diverged, or its numbers are beyond ` +
          `float32; take an earlier checkpoint, or train again with a lower learning rate.`,
      );
    }
  }
}

function readConfigFile(folder: string): unknown {
  const path = join(folder, CONFIG_FILE);
  try {
    return JSON.parse(Deno.readTextFileSync(path));
  } catch (error) {
    if (error instanceof SyntaxError) throw new InputError(`${path}: not JSON (${error.message})`);
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      const inside = adaptersInside(folder);
      const mend = inside.length > 0 ? `; give one of the adapters in it: ${inside.join(", ")}` : "";
      throw new InputError(`${path}: no such file; ${whatIsThere}${mend}.`);
    }
    throw error;
  }
}

/** Adapters one folder deeper: a trainer's checkpoints, or where PEFT puts an adapter that has a name. */
function adaptersInside(folder: string): string[] {
  try {
    const folders = readdirSync(folder).sort().map((name) => join(folder, name));
    return folders.filter((each) => existsSync(join(each, CONFIG_FILE)));
  } catch {
    return [];
  }
}
