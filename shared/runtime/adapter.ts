// A LoRA adapter in PEFT's folder layout: adapter_config.json and adapter_model.safetensors, read and written so
// that PEFT 0.21 and Prospect open each other's. It does not know models: whether a module exists is the compiler's
// question. What Prospect cannot compute exactly as PEFT does is refused by name, never ignored.

import { join } from "node:path";
import { ensureWritableFolder, writeFileAtomic } from "../atomic_file.ts";
import { InputError } from "../errors.ts";
import { encodeSafetensors, readSafetensors, toFloat32 } from "../onnx/safetensors.ts";
import { type AdapterConfig, parseAdapterConfig, rankOf } from "./adapter_config.ts";

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
const TENSOR_NAME = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/;

/**
 * Reads an adapter folder. 16-bit and 64-bit tensors become float32.
 *
 * @throws {InputError} naming the file and the field or tensor: a missing file, a kind of adapter that is not plain
 * LoRA, a missing partner of a matrix, or a shape that does not fit the rank.
 */
export async function readAdapter(folder: string): Promise<Adapter> {
  const config = parseAdapterConfig(await readConfigFile(folder), join(folder, CONFIG_FILE));
  const path = join(folder, WEIGHTS_FILE);
  if (!await exists(path) && await exists(join(folder, "adapter_model.bin"))) {
    throw new InputError(
      `${folder}: adapter_model.bin is a Python pickle, which is not read; save it as ${WEIGHTS_FILE}`,
    );
  }
  const tensors = new Map<string, AdapterTensor>();
  for (const [name, tensor] of await readSafetensors(path)) {
    checkName(name, path);
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
  const sorted = Object.fromEntries(Object.entries(adapter.config).sort(([a], [b]) => a < b ? -1 : 1));
  await writeFileAtomic(join(folder, CONFIG_FILE), JSON.stringify(sorted, null, 2) + "\n");
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

function checkName(name: string, path: string): void {
  if (TENSOR_NAME.test(name)) return;
  const reason = name.includes("lora_magnitude_vector")
    ? "belongs to DoRA, which is not supported"
    : name.includes("lora_embedding_")
    ? "is LoRA on an embedding, which is not supported"
    : name.includes("lora_B.bias")
    ? "is a LoRA bias (lora_bias), which is not supported"
    : "is not a LoRA matrix; only base_model.model.<module>.lora_A.weight and .lora_B.weight are supported";
  throw new InputError(`${path}: tensor "${name}" ${reason}`);
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
      throw new InputError(`${path}: tensor "${name}" is on a module that is not in the config's target_modules`);
    }
    const rank = rankOf(config, module);
    const [rows, columns] = shape;
    if (shape.length !== 2 || (matrix === "A" ? rows : columns) !== rank) {
      const expected = matrix === "A" ? `[${rank}, in]` : `[out, ${rank}]`;
      throw new InputError(
        `${path}: tensor "${name}" has shape [${shape.join(", ")}]; with rank ${rank} it is ${expected}`,
      );
    }
    if (rows! * columns! !== data.length) {
      throw new InputError(`${path}: tensor "${name}" has ${data.length} values, its shape wants ${rows! * columns!}`);
    }
  }
}

/** PEFT: a list entry matches a module's whole name or its last parts; a string is a pattern for the whole name. */
function isTarget(config: AdapterConfig, module: string): boolean {
  const targets = config.target_modules;
  if (typeof targets === "string") return targets === "all-linear" || new RegExp(`^(?:${targets})$`).test(module);
  return targets.some((target) => module === target || module.endsWith(`.${target}`));
}

async function readConfigFile(folder: string): Promise<unknown> {
  const path = join(folder, CONFIG_FILE);
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof SyntaxError) throw new InputError(`${path}: not JSON (${error.message})`);
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      throw new InputError(`${path}: no such file; an adapter folder holds ${CONFIG_FILE} and ${WEIGHTS_FILE}`);
    }
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch {
    return false;
  }
}
