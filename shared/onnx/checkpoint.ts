// A Hugging Face checkpoint folder as one set of named tensors, whether its weights are in one safetensors file or in
// several with an index. Only headers are read; tensors come piece by piece. It does not know what the tensors mean.

import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { InputError } from "../errors.ts";
import { readSafetensorsHeader, readSafetensorsPart, type SafetensorsEntry } from "./safetensors.ts";

const single = "model.safetensors";
const index = "model.safetensors.index.json";

// File names come from elsewhere, so they may not leave the folder.
const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string().regex(/^[\w.-]+\.safetensors$/)) });

/** The tensors of a checkpoint. */
export interface Checkpoint {
  shapes: ReadonlyMap<string, readonly number[]>;
  /** @throws {InputError} for a tensor that `read` cannot read as float32. */
  checkFloat(name: string): void;
  /** `count` elements of a tensor from element `first` on, row-major, as float32. */
  read(name: string, first: number, count: number): Promise<Float32Array>;
}

/** Whether a folder holds weights as {@link openCheckpoint} reads them. */
export function hasCheckpoint(folder: string): boolean {
  return existsSync(join(folder, single)) || existsSync(join(folder, index));
}

/** The files that hold a checkpoint's weights, the index itself first where there is one. */
export function checkpointFiles(folder: string): string[] {
  if (existsSync(join(folder, single))) return [single];
  const path = join(folder, index);
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new InputError(`${path} is not JSON: ${(error as Error).message}.`);
  }
  return [index, ...shardsOf(json, path)];
}

/** The shards that an index names. @throws {InputError} where it is not an index */
export function shardsOf(json: unknown, path: string): string[] {
  const parsed = indexSchema.safeParse(json);
  if (!parsed.success) throw new InputError(`${path}: "weight_map" does not map tensors to .safetensors files.`);
  return [...new Set(Object.values(parsed.data.weight_map))].sort();
}

/**
 * Opens the checkpoint in a folder: model.safetensors, or the shards that model.safetensors.index.json names.
 *
 * @throws {InputError} naming the file that is missing, cut off or not safetensors, or a tensor that is no float.
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  const places = new Map<string, { path: string; entry: SafetensorsEntry }>();
  for (const file of checkpointFiles(folder)) {
    if (file === index) continue;
    const path = join(folder, file);
    if (!existsSync(path) || !statSync(path).isFile()) {
      throw new InputError(`${path} is missing, but ${join(folder, index)} names it; download it again.`);
    }
    for (const [name, entry] of (await readSafetensorsHeader(path)).entries) places.set(name, { path, entry });
  }
  const checkFloat = (name: string) => {
    const { path, entry } = places.get(name)!;
    if (["F32", "F16", "BF16", "F64"].includes(entry.dtype)) return;
    throw new InputError(
      `${path}: tensor "${name}" is ${entry.dtype}; Prospect imports F32, F16 and BF16 weights, so give the ` +
        `checkpoint before it was quantised.`,
    );
  };
  return {
    shapes: new Map([...places].map(([name, { entry }]) => [name, entry.shape])),
    checkFloat,
    async read(name, first, count) {
      checkFloat(name);
      const { path, entry } = places.get(name)!;
      return await readSafetensorsPart(path, entry, first, count);
    },
  };
}
