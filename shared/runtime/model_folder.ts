// From `--model` to a local folder in transformers.js layout: config.json, tokenizer.json and onnx/*.onnx.
// A path is taken as it is; `owner/name` is downloaded from the hub into transformers.js' own cache layout, so both
// read the same files. Does not know what is inside an ONNX file or a tokenizer, only which files must be there.

import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import process from "node:process";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { InputError } from "../errors.ts";

/** transformers.js' precisions and what each adds to the file's base name, from the most to the least precise. */
export const DTYPE_SUFFIXES = {
  fp32: "",
  fp16: "_fp16",
  q8: "_quantized",
  int8: "_int8",
  uint8: "_uint8",
  q4: "_q4",
  q4f16: "_q4f16",
  bnb4: "_bnb4",
  q2: "_q2",
  q2f16: "_q2f16",
  q1: "_q1",
  q1f16: "_q1f16",
} as const;

/** A precision by transformers.js' name. */
export type Dtype = keyof typeof DTYPE_SUFFIXES;

const DTYPES = Object.keys(DTYPE_SUFFIXES) as Dtype[];

/** Where a decoder lies in a repository, the usual place first. optimum writes to the root unless told otherwise. */
const BASE_NAMES = ["onnx/model", "onnx/decoder_model_merged", "model", "decoder_model_merged"];

const ModelConfigSchema = z.looseObject({
  model_type: z.string().optional(),
  vocab_size: z.number().optional(),
  eos_token_id: z.union([z.number(), z.array(z.number())]).nullish(),
  bos_token_id: z.union([z.number(), z.array(z.number())]).nullish(),
  pad_token_id: z.number().nullish(),
  hidden_size: z.number().nullish(),
  num_attention_heads: z.number().nullish(),
  num_key_value_heads: z.number().nullish(),
  head_dim: z.number().nullish(),
  sliding_window: z.number().nullish(),
  use_sliding_window: z.boolean().nullish(),
});

/** config.json: the few fields Prospect reads are typed, all others are kept as they are. */
export type ModelConfig = z.infer<typeof ModelConfigSchema>;

/** A model on this disk. */
export interface ModelFolder {
  /** Absolute path of the folder. */
  path: string;
  /** `owner/name` for the hub, the folder's own name otherwise: for people, not a key. */
  name: string;
  config: ModelConfig;
  /** The precisions whose ONNX file is here, most precise first. */
  dtypes: Dtype[];
  /** `auto` becomes the most precise file present; any other name is checked. Throws InputError. */
  resolveDtype(dtype: string): Dtype;
  /** Absolute path of the ONNX file of a precision (or `auto`). Throws InputError naming the files that are there. */
  onnxFile(dtype: string): string;
}

/** One step of a download. `total` is absent where the server does not say. */
export interface DownloadProgress {
  file: string;
  loaded: number;
  total?: number;
}

/** How to find a model. */
export interface ResolveOptions {
  /** Which ONNX file a hub model needs; folders keep all they have. Default `auto`, the most precise one. */
  dtype?: string;
  onProgress?: (progress: DownloadProgress) => void;
  /** Where hub models are kept. Default `$PROSPECT_CACHE`, else `~/.cache/prospect/hub`. */
  cacheDir?: string;
  /** Default https://huggingface.co. */
  host?: string;
}

/**
 * Finds the model behind `--model`.
 *
 * @param model A folder (`./x`, `/x`, or any existing directory) or a hub id `owner/name`.
 * @throws InputError when there is no such folder, a file is missing or broken, or the hub cannot be reached.
 */
export async function resolveModelFolder(model: string, options: ResolveOptions = {}): Promise<ModelFolder> {
  const dtype = options.dtype ?? "auto";
  if (dtype !== "auto") checkDtypeName(dtype);
  if (isDirectory(model)) return openModelFolder(model);
  if (existsSync(model)) {
    throw new InputError(
      `${model} is a file: --model takes the folder that holds config.json, tokenizer.json and onnx/.`,
    );
  }
  if (looksLikePath(model)) {
    throw new InputError(`The model folder ${model} does not exist: give a folder or a hub id such as owner/name.`);
  }
  if (!/^[\w.-]+\/[\w.-]+$/.test(model)) {
    throw new InputError(
      `There is no folder ${model} here, and it is not a hub id either (those look like owner/name): check --model.`,
    );
  }
  const folder = await downloadModel(model, dtype, options);
  return openModelFolder(folder, model);
}

/**
 * Opens a local folder.
 *
 * @param path The folder. @param name What to call it; default its own name.
 * @throws InputError when config.json or tokenizer.json is missing or not JSON.
 */
export function openModelFolder(path: string, name?: string): ModelFolder {
  const root = resolve(path);
  const need = (file: string) => {
    if (!existsSync(join(root, file))) {
      throw new InputError(
        `${root} has no ${file}: a model folder needs config.json, tokenizer.json and onnx/model.onnx.`,
      );
    }
    return join(root, file);
  };
  const configPath = need("config.json");
  need("tokenizer.json");
  const parsed = ModelConfigSchema.safeParse(parseJson(configPath));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new InputError(
      `${configPath} is not a model configuration: ${issue?.path.join(".") || "root"}: ${issue?.message}.`,
    );
  }
  const find = (dtype: Dtype) => onnxCandidates(dtype).map((file) => join(root, file)).find((file) => existsSync(file));
  const dtypes = DTYPES.filter((dtype) => find(dtype) !== undefined);
  const resolveDtype = (dtype: string): Dtype => {
    if (dtype !== "auto") {
      if (find(checkDtypeName(dtype)) !== undefined) return dtype as Dtype;
    } else if (dtypes[0] !== undefined) return dtypes[0];
    throw new InputError(noOnnxFile(root, dtype, dtypes));
  };
  return {
    path: root,
    name: name ?? basename(root),
    config: parsed.data,
    dtypes,
    resolveDtype,
    onnxFile: (dtype) => find(resolveDtype(dtype)) as string,
  };
}

function noOnnxFile(root: string, dtype: string, dtypes: Dtype[]): string {
  const there = ["onnx", "."].flatMap((folder) => {
    const path = join(root, folder);
    if (!isDirectory(path)) return [];
    return readdirSync(path).filter((file) => file.endsWith(".onnx")).map((file) => join(folder, file));
  }).sort();
  const wanted = dtype === "auto"
    ? "onnx/model.onnx"
    : `ONNX file for dtype ${dtype} (onnx/model${suffixOf(dtype)}.onnx)`;
  const choice = dtypes.length > 0 ? `; choose one of --dtype ${dtypes.join(", ")}` : "";
  return `${root} has no ${wanted}. ONNX files there: ${there.join(", ") || "none"}${choice}.`;
}

function suffixOf(dtype: string): string {
  return DTYPE_SUFFIXES[dtype as Dtype];
}

function checkDtypeName(dtype: string): Dtype {
  if (Object.hasOwn(DTYPE_SUFFIXES, dtype)) return dtype as Dtype;
  throw new InputError(`Unknown dtype ${JSON.stringify(dtype)}: use auto or one of ${DTYPES.join(", ")}.`);
}

function onnxCandidates(dtype: Dtype): string[] {
  return BASE_NAMES.map((base) => `${base}${DTYPE_SUFFIXES[dtype]}.onnx`);
}

function looksLikePath(model: string): boolean {
  return /^(\.{0,2}[/\\]|~|[A-Za-z]:[/\\])/.test(model) || model === "." || model === ".." ||
    model.split("/").length > 2;
}

function isDirectory(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory();
}

function parseJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new InputError(`${path} is not JSON: ${(error as Error).message}.`);
  }
}

// ---- the hub ----------------------------------------------------------------------------------------------------

/** Files that make a folder complete where they exist; without them it still works. */
const OPTIONAL_FILES = [
  "generation_config.json",
  "special_tokens_map.json",
  "tokenizer_config.json",
  "chat_template.jinja",
];

/**
 * Downloads what `owner/name` needs for one precision and returns the folder. transformers.js 4.3.1 exports no getter
 * for a single file (its `getModelFile` is internal) and its loaders open an ONNX session, so the files are fetched
 * here, into the layout of its FileCache (`<cacheDir>/<owner>/<name>/<file>`).
 *
 * The order is the bookkeeping: config.json after the optional files and an ONNX file after its external data, so a
 * file that is present vouches for those before it, and a complete model needs no network at all.
 */
async function downloadModel(id: string, dtype: string, options: ResolveOptions): Promise<string> {
  const folder = join(options.cacheDir ?? defaultCacheDir(), ...id.split("/"));
  const fetchFile = (file: string) => fetchHubFile(id, file, folder, options);
  const dtypes = dtype === "auto" ? DTYPES : [dtype as Dtype];
  const local = () => dtypes.some((d) => onnxCandidates(d).some((file) => existsSync(join(folder, file))));
  try {
    if (!existsSync(join(folder, "config.json"))) {
      if (!await fetchFile("tokenizer.json")) {
        throw new InputError(
          `The hub has no ${id} with a tokenizer.json (or it is private: set HF_TOKEN). Check the id, or use a model exported for transformers.js.`,
        );
      }
      for (const file of OPTIONAL_FILES) await fetchFile(file);
      if (!await fetchFile("config.json")) throw new InputError(`The hub's ${id} has no config.json.`);
    }
    for (const candidate of dtypes.flatMap(onnxCandidates)) {
      if (existsSync(join(folder, candidate))) return folder;
      if (!await existsOnHub(id, candidate, options)) continue;
      // Chunks are called .onnx_data, .onnx_data_1, …; config.json may not list them, so ask until one is missing.
      for (let chunk = 0; await fetchFile(`${candidate}_data${chunk === 0 ? "" : `_${chunk}`}`); chunk++);
      await fetchFile(candidate);
      return folder;
    }
  } catch (error) {
    if (error instanceof InputError) throw error;
    // Offline: a model that is already complete still serves (for `auto`, with the best precision kept here).
    if (existsSync(join(folder, "config.json")) && local()) return folder;
    const why = error instanceof Error
      ? (error.cause instanceof Error ? error.cause.message : error.message)
      : String(error);
    throw new InputError(
      `Could not download ${id} from ${
        hostOf(options)
      } (${why}): check the network, or give a local folder (there is none at ${resolve(id)}).`,
    );
  }
  throw new InputError(
    `The hub's ${id} has no ONNX file for dtype ${dtype} (${
      dtypes.flatMap(onnxCandidates).slice(0, 2).join(" or ")
    }): ` +
      `look for an onnx-community export of it, or choose another --dtype.`,
  );
}

function defaultCacheDir(): string {
  return process.env["PROSPECT_CACHE"] || join(homedir(), ".cache", "prospect", "hub");
}

function hostOf(options: ResolveOptions): string {
  return (options.host ?? "https://huggingface.co").replace(/\/$/, "");
}

function request(
  id: string,
  file: string,
  options: ResolveOptions,
  headers: Record<string, string>,
): Promise<Response> {
  const token = process.env["HF_TOKEN"] ?? process.env["HF_ACCESS_TOKEN"];
  if (token && options.host === undefined) headers["Authorization"] = `Bearer ${token}`;
  return fetch(`${hostOf(options)}/${id}/resolve/main/${file}`, { headers });
}

/** The hub answers 401 for a repository that does not exist and 404 for a file that does not. */
function isMissing(response: Response): boolean {
  return response.status === 401 || response.status === 403 || response.status === 404;
}

async function existsOnHub(id: string, file: string, options: ResolveOptions): Promise<boolean> {
  // One byte by range, as transformers.js asks: HEAD reports the size of a compressed body.
  const response = await request(id, file, options, { Range: "bytes=0-0" });
  await response.body?.cancel();
  if (isMissing(response)) return false;
  if (!response.ok) throw new Error(`HTTP ${response.status} for ${file}`);
  return true;
}

/** True when the file is in `folder` afterwards, false when the hub has none. A half download never takes its name. */
async function fetchHubFile(id: string, file: string, folder: string, options: ResolveOptions): Promise<boolean> {
  const target = join(folder, file);
  if (existsSync(target)) return true;
  const response = await request(id, file, options, {});
  if (isMissing(response)) {
    await response.body?.cancel();
    return false;
  }
  if (!response.ok || response.body === null) throw new Error(`HTTP ${response.status} for ${file}`);
  const length = Number(response.headers.get("content-length") ?? NaN);
  // A compressed body's content-length is not the file's, so it is no total.
  const total = Number.isFinite(length) && !response.headers.get("content-encoding") ? length : undefined;
  const partial = `${target}.${process.pid}.partial`;
  mkdirSync(dirname(target), { recursive: true });
  let loaded = 0;
  const report = async function* (chunks: AsyncIterable<Uint8Array>) {
    for await (const chunk of chunks) {
      loaded += chunk.length;
      options.onProgress?.(total === undefined ? { file, loaded } : { file, loaded, total });
      yield chunk;
    }
  };
  try {
    await pipeline(Readable.from(report(response.body as AsyncIterable<Uint8Array>)), createWriteStream(partial));
    if (total !== undefined && loaded !== total) throw new Error(`${file} ended after ${loaded} of ${total} bytes`);
    renameSync(partial, target);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
  return true;
}
