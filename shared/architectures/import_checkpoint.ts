// From a Hugging Face checkpoint folder (config.json, safetensors) to a folder that transformers.js runs: writes
// onnx/model.onnx with external float32 data and copies what else belongs to the model. Weights stream through a block
// of a few MiB at a time. It does not know families: families.ts reads the config.

import { copyFileSync, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { writeFailure } from "../atomic_file.ts";
import { InputError } from "../errors.ts";
import { type Checkpoint, hasCheckpoint, openCheckpoint } from "../onnx/checkpoint.ts";
import type { Tensor } from "../onnx/graph.ts";
import { otherWeightsIn } from "../onnx/other_weights.ts";
import { writeModel } from "../onnx/write_model.ts";
import type { Decoder } from "./decoder.ts";
import { decoderGraph, rotaryTables } from "./decoder_graph.ts";
import { type WeightSlot, weightSlots } from "./decoder_weights.ts";
import { type ReadDecoder, readDecoder } from "./families.ts";
import { rotaryTable } from "./rotary.ts";

/** Raised whenever an import may come out differently: folders of before are then not used. */
export const importVersion = 2;

/** Elements read, converted and written at a time, where a row is not longer. */
const block = 2 ** 22;

/** External tensors start at pages, so that they can be mapped. */
const page = 4096;

export interface ImportOptions {
  /** Bytes of an external data file; only a larger tensor makes a larger file. Default 2e9, for browsers. */
  largestDataFile?: number;
  /** Called once all was found fit, before anything is written. */
  onChecked?: () => Promise<void>;
  /** Called as bytes of weights are written. */
  onProgress?: (written: number, total: number) => void;
}

/** What the user should know of the import. */
export interface Imported {
  /** A sentence where the written model is less than the checkpoint. */
  remark?: string;
}

/**
 * Writes the ONNX model of a checkpoint. `out` appears whole, by a rename at the end, or not at all.
 *
 * @param folder config.json and model.safetensors, or shards with their index; read only
 * @param out must not exist yet
 * @throws {InputError} for a model that Prospect does not write, a missing or misshapen tensor, a full disk.
 */
export async function importCheckpoint(folder: string, out: string, options: ImportOptions = {}): Promise<Imported> {
  if (!existsSync(folder)) {
    throw new InputError(
      `There is no folder ${folder} here: give a checkpoint on this disk. A model of the hub is downloaded and imported by ` +
        `every command that takes --model owner/name.`,
    );
  }
  const { config, decoder, remark } = readConfig(folder), remarks = remark === undefined ? [] : [remark];
  if (!hasCheckpoint(folder)) {
    throw new InputError(
      `${folder} has neither model.safetensors nor model.safetensors.index.json: ${
        otherWeightsIn(folder) ?? "Prospect imports safetensors weights"
      }.`,
    );
  }
  if (existsSync(out)) throw new InputError(`${out} is there already; remove it or choose another folder.`);
  const checkpoint = await openCheckpoint(folder);
  checkTensors(decoder, checkpoint, folder);
  if (decoder.tied && await hasOwnHead(decoder, checkpoint)) {
    decoder.tied = false;
    remarks.push("tie_word_embeddings is true, but lm_head.weight is there with other numbers, so they are not tied");
  }
  const partial = `${out}.${crypto.randomUUID()}.partial`;
  try {
    await options.onChecked?.();
    await Deno.mkdir(join(partial, "onnx"), { recursive: true });
    const files = await writeOnnx(join(partial, "onnx"), decoder, checkpoint, options);
    for (const file of readdirSync(folder)) {
      if (!/\.(json|jinja|model|txt)$/.test(file) || /^config\.json$|\.index\.json$/.test(file)) continue;
      // Neither a folder nor a link to nothing.
      if (statSync(join(folder, file), { throwIfNoEntry: false })?.isFile()) {
        copyFileSync(join(folder, file), join(partial, file));
      }
    }
    await Deno.writeTextFile(join(partial, "config.json"), JSON.stringify(configFile(config, decoder, files), null, 2));
    await Deno.rename(partial, out);
  } catch (error) {
    await Deno.remove(partial, { recursive: true }).catch(() => {});
    throw writeFailure(out, error);
  }
  return remarks.length === 0 ? {} : { remark: remarks.join("; ") };
}

/** Reads a checkpoint's config.json. @throws {InputError} for a model that Prospect does not write */
export function readConfig(folder: string): ReadDecoder & { config: Record<string, unknown> } {
  const path = join(folder, "config.json"), config = readJson(path);
  return { config, ...readDecoder(config, path) };
}

function readJson(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    const other = otherWeightsIn(dirname(path));
    throw new InputError(
      `${path} is missing: a checkpoint folder needs config.json and model.safetensors${other ? `; ${other}` : ""}.`,
    );
  }
  try {
    const json = JSON.parse(text);
    if (typeof json === "object" && json !== null && !Array.isArray(json)) return json;
  } catch (error) {
    throw new InputError(`${path} is not JSON: ${(error as Error).message}.`);
  }
  throw new InputError(`${path} is not a JSON object, so not a model's configuration.`);
}

/** config.json as transformers.js wants it: its cache sizes spelled out, and where the weights are. */
function configFile(config: Record<string, unknown>, decoder: Decoder, files: number): object {
  return {
    ...config,
    num_key_value_heads: decoder.kvHeads,
    head_dim: decoder.headSize,
    max_position_embeddings: decoder.positions,
    tie_word_embeddings: decoder.tied,
    dtype: "float32",
    torch_dtype: "float32",
    "transformers.js_config": { use_external_data_format: { "model.onnx": files } },
  };
}

/** What old checkpoints keep although the model computes it. */
const computed = /(^|\.)rotary_emb\.inv_freq$/;

/** Every tensor is there in its shape, as floats, and none would be left out, before anything is written. */
function checkTensors(decoder: Decoder, checkpoint: Checkpoint, folder: string): void {
  const wanted = weightSlots(decoder).flatMap(({ parts }) => parts);
  for (const { name, shape } of wanted) {
    const found = checkpoint.shapes.get(name);
    if (!found) {
      const adapter = [...checkpoint.shapes.keys()].some((each) => each.includes("lora_"));
      throw new InputError(
        `${folder}: tensor "${name}" is missing${
          adapter ? "; this is an adapter, so give it as --adapter or --init-adapter" : ", which config.json asks for"
        }.`,
      );
    }
    if (`${found}` !== `${shape}`) {
      throw new InputError(`${folder}: tensor "${name}" is [${found}], but config.json asks for [${shape}].`);
    }
    checkpoint.checkFloat(name);
  }
  const known = new Set([...wanted.map(({ name }) => name), ...(decoder.tied ? ["lm_head.weight"] : [])]);
  const unread = [...checkpoint.shapes.keys()].filter((name) => {
    return /^(model|lm_head)\./.test(name) && !known.has(name) && !computed.test(name);
  });
  if (unread.length === 0) return;
  const more = unread.length > 1 ? ` (and ${unread.length - 1} more)` : "";
  throw new InputError(
    `${folder}: tensor "${unread[0]}"${more} has no place in the model that config.json describes, ` +
      `and answers without it would be others; correct config.json (num_hidden_layers, attention_bias, mlp_bias, ` +
      `model_type), or give an ONNX export.`,
  );
}

/** Whether the checkpoint has a head beside the embedding table, with other numbers: transformers 5 does not tie those. */
async function hasOwnHead({ vocabulary, hidden }: Decoder, checkpoint: Checkpoint): Promise<boolean> {
  if (`${checkpoint.shapes.get("lm_head.weight")}` !== `${[vocabulary, hidden]}`) return false;
  const step = Math.max(1, Math.floor(block / hidden));
  for (let first = 0; first < vocabulary; first += step) {
    const rows = (name: string) => checkpoint.read(name, first * hidden, Math.min(step, vocabulary - first) * hidden);
    const head = await rows("lm_head.weight"), table = await rows("model.embed_tokens.weight");
    if (head.some((value, i) => value !== table[i])) return true;
  }
  return false;
}

/** Where each initializer goes: pages of external data files, none longer than `largest` unless a tensor is. */
function layOut(initializers: { name: string; shape: readonly number[] }[], largest: number) {
  const places = new Map<string, { location: string; offset: number; length: number }>();
  let files = 1, end = 0, total = 0;
  for (const { name, shape } of initializers) {
    const length = 4 * shape.reduce((product, size) => product * size, 1);
    let offset = Math.ceil(end / page) * page;
    if (offset > 0 && offset + length > largest) [files, offset] = [files + 1, 0];
    const location = files === 1 ? "model.onnx_data" : `model.onnx_data_${files - 1}`;
    places.set(name, { location, offset, length });
    end = offset + length;
    total += length;
  }
  return { places, files, total };
}

/** Writes model.onnx and its data files into `folder`. @returns the number of data files */
async function writeOnnx(
  folder: string,
  decoder: Decoder,
  checkpoint: Checkpoint,
  { onProgress, largestDataFile = 2e9 }: ImportOptions,
): Promise<number> {
  const slots = weightSlots(decoder), tables = rotaryTables(decoder);
  const { places, files, total } = layOut([
    ...slots.map(({ initializer, shape }) => ({ name: initializer, shape })),
    ...tables,
  ], largestDataFile);
  let written = 0;
  onProgress?.(0, total);
  const open = new Map<string, Deno.FsFile>();
  /** Writes float32 values, `at` elements behind the start of an initializer. */
  const write = (initializer: string, at: number, values: Float32Array) => {
    const { location, offset } = places.get(initializer)!;
    let file = open.get(location);
    if (!file) open.set(location, file = Deno.openSync(join(folder, location), { write: true, create: true }));
    file.seekSync(offset + 4 * at, Deno.SeekMode.Start);
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
    written += bytes.length;
  };
  try {
    for (const slot of slots) await writeSlot(slot, checkpoint, write, () => onProgress?.(written, total));
    for (const { name, rotary, wave, shape: [positions, width] } of tables) {
      const step = Math.ceil(block / width!);
      for (let first = 0; first < positions!; first += step) {
        const count = Math.min(step, positions! - first);
        write(name, first * width!, rotaryTable(decoder.rotaries[rotary]!, wave, first, count));
      }
      onProgress?.(written, total);
    }
  } finally {
    for (const file of open.values()) file.close();
  }
  const graph = decoderGraph(decoder, ({ name, shape }): Tensor => {
    return { name, dataType: "float32", dims: [...shape], data: { kind: "external", ...places.get(name)! } };
  });
  await Deno.writeFile(join(folder, "model.onnx"), writeModel(graph));
  return files;
}

/** Streams a slot's tensors into the initializer, block of rows by block of rows. */
async function writeSlot(
  { initializer, shape, parts, transposed, plus }: WeightSlot,
  checkpoint: Checkpoint,
  write: (initializer: string, at: number, values: Float32Array) => void,
  onBlock: () => void,
): Promise<void> {
  const columns = shape.at(-1)!;
  let before = 0;
  for (const { name, shape: [rows, width = 1] } of parts) {
    const step = Math.max(1, Math.floor(block / width));
    for (let first = 0; first < rows!; first += step) {
      const count = Math.min(step, rows! - first);
      const values = await checkpoint.read(name, first * width, count * width);
      if (plus) { for (let i = 0; i < values.length; i++) values[i]! += plus; }
      if (!transposed) {
        write(initializer, (before + first) * width, values);
      } else {
        const turned = transpose(values, count, width);
        // A block that has all columns is one run of the initializer; others are a run in each of its rows.
        if (count === columns) write(initializer, 0, turned);
        else {
          for (let row = 0; row < width; row++) {
            write(initializer, row * columns + before + first, turned.subarray(row * count, (row + 1) * count));
          }
        }
      }
      onBlock();
    }
    before += rows!;
  }
}

/** [rows, columns] as [columns, rows], in tiles that fit the processor's cache. */
function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const turned = new Float32Array(values.length), tile = 32;
  for (let top = 0; top < rows; top += tile) {
    for (let left = 0; left < columns; left += tile) {
      const bottom = Math.min(top + tile, rows), right = Math.min(left + tile, columns);
      for (let row = top; row < bottom; row++) {
        for (let column = left; column < right; column++) turned[column * rows + row] = values[row * columns + column]!;
      }
    }
  }
  return turned;
}
