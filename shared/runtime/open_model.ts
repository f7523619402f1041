// Finds a model and opens it as every command does: folder, tokenizer, ONNX file and the hash of its files. Nothing is
// compiled here, and nothing is known of adapters or workers.

import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { readModel } from "../onnx/read_model.ts";
import type { Progress, Reporter } from "../progress.ts";
import { type ChatTokenizer, loadChatTokenizer } from "./chat_tokenizer.ts";
import { type Dtype, onnxCandidates } from "./dtypes.ts";
import { embeddedModelFolder } from "./embedded_model.ts";
import { type ModelFolder, resolveModelFolder } from "./model_folder.ts";

/** A model with its tokenizer, before anything is compiled. */
export interface OpenModel {
  folder: ModelFolder;
  tokenizer: ChatTokenizer;
  /** The .onnx file. */
  path: string;
  dtype: string;
}

/**
 * The folder behind `--model`, the embedded model where none is named; downloads a hub model and imports a
 * checkpoint without ONNX files, with progress and remarks to the reporter.
 *
 * @throws InputError where there is no such model
 */
export async function findModel(model: string | undefined, dtype: string, reporter: Reporter): Promise<ModelFolder> {
  let progress: Progress | undefined;
  let current = "", shown = 0;
  try {
    return await resolveModelFolder(model ?? embeddedModelFolder, {
      dtype,
      onRemark: reporter.warn,
      onProgress: ({ file, loaded, total }) => {
        if (file !== current) {
          progress?.done();
          [current, shown] = [file, 0];
          progress = reporter.progress({ label: file, total: total ?? 0, unit: "bytes" });
        }
        progress?.advance(loaded - shown);
        shown = loaded;
      },
    });
  } finally {
    progress?.done();
  }
}

/** Opens folder and tokenizer and finds the ONNX file of `dtype`. @throws InputError naming what is missing. */
export function openModel(folder: ModelFolder, dtype: string): OpenModel {
  const resolved = folder.resolveDtype(dtype);
  return { folder, tokenizer: loadChatTokenizer(folder), path: folder.onnxFile(resolved), dtype: resolved };
}

/** Whether transformers.js would open this very file: it looks for no other than onnx/model….onnx. */
export function isStockFile({ folder, path, dtype }: OpenModel): boolean {
  return path === join(folder.path, onnxCandidates(dtype as Dtype)[0]!);
}

interface HashedModel {
  files: readonly string[];
  /** The files' sizes and times when they were hashed. */
  looks: string;
  hash: Promise<string>;
}

/** What this process has hashed, by the graph's path: a job asks for its model's hash thrice. */
const hashed = new Map<string, HashedModel>();

/** sha-256 over the model's files: the graph and every external data file that it names. Changed files are read anew. */
export async function hashModelFiles(path: string): Promise<string> {
  const known = hashed.get(path);
  if (known && known.looks === await looksOf(known.files)) return await known.hash;
  const files = filesOf(path);
  const model = { files, looks: await looksOf(files), hash: hashFiles(files) };
  hashed.set(path, model);
  // What could not be read now may be read later.
  model.hash.catch(() => hashed.delete(path));
  return await model.hash;
}

function filesOf(path: string): string[] {
  const files = new Set([path]);
  for (const { data } of readModel(path, { links: "kept" }).initializers.values()) {
    if (data.kind === "external") files.add(join(dirname(path), data.location));
  }
  return [...files].sort();
}

/** Sizes and times, or what is the matter with a file. */
async function looksOf(files: readonly string[]): Promise<string> {
  const looks = files.map((file) => Deno.stat(file).then(({ size, mtime }) => [size, mtime?.getTime()], String));
  return JSON.stringify(await Promise.all(looks));
}

async function hashFiles(files: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const file of files) {
    using open = await Deno.open(file);
    for await (const chunk of open.readable) hash.update(chunk);
  }
  return hash.digest("hex");
}

/** What a base model is called where adapters, answers and jobs refer to it: its folder's name and the hash of its files. */
export async function identityOf({ folder, path }: OpenModel): Promise<string> {
  return `${folder.name}@${await hashModelFiles(path)}`;
}
