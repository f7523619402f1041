// Downloads a model of the hub into transformers.js' own cache layout, so that both read the same files: what one has
// fetched the other finds. The repository's list of files says what there is; which of them a precision needs is
// decided here. It does not know what is in the files.

import { createWriteStream, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { writeFailure } from "../atomic_file.ts";
import { InputError } from "../errors.ts";
import { hasCheckpoint } from "../onnx/checkpoint.ts";
import { cacheFolder } from "./cache_folder.ts";
import { type Dtype, DTYPES, onnxCandidates } from "./dtypes.ts";

/** One step of a download. `total` is absent where the server does not say. */
export interface DownloadProgress {
  file: string;
  loaded: number;
  total?: number;
}

export interface HubOptions {
  onProgress?: (progress: DownloadProgress) => void;
  onRemark?: (sentence: string) => void;
  /** Where hub models are kept. Default `hub` in Prospect's cache folder. */
  cacheDir?: string;
  /** Default https://huggingface.co. */
  host?: string;
  /** Looks at config.json before safetensors are fetched, and throws where they would be of no use. */
  checkCheckpoint?: (folder: string) => void;
}

/** `owner/name`. */
export const hubIdPattern = /^[\w.-]+\/[\w.-]+$/;

/** Files of a model besides its weights, as far as it has them. config.json comes last: it vouches for the others. */
const SMALL_FILES = [
  "generation_config.json",
  "special_tokens_map.json",
  "tokenizer_config.json",
  "chat_template.jinja",
  "tokenizer.json",
  "config.json",
];

const checkpointFile = /^model(-\d+-of-\d+)?\.safetensors$/;
const checkpointIndex = "model.safetensors.index.json";

const listSchema = z.looseObject({ siblings: z.array(z.looseObject({ rfilename: z.string() })) });

/**
 * Which weight files a precision needs, in the order in which they must be fetched: the last vouches for those before.
 * The ONNX file comes after its external data (`.onnx_data`, `.onnx_data_1`, …); where there is no ONNX file at all,
 * and full precision will do, the safetensors, whose index comes after its shards.
 *
 * @param listed paths in the repository
 */
export function weightFiles(listed: string[], dtype: Dtype | "auto"): string[] | undefined {
  const has = new Set(listed);
  const onnx = (dtype === "auto" ? DTYPES : [dtype]).flatMap(onnxCandidates).find((file) => has.has(file));
  if (onnx !== undefined) {
    const data = listed.filter((file) =>
      /^(_data(_\d+)?|\.data)$/.test(file.startsWith(onnx) ? file.slice(onnx.length) : "")
    );
    return [...data.sort(), onnx];
  }
  if (dtype !== "auto" && dtype !== "fp32") return undefined;
  const weights = listed.filter((file) => checkpointFile.test(file)).sort();
  if (has.has("model.safetensors")) return ["model.safetensors"];
  return weights.length > 0 && has.has(checkpointIndex) ? [...weights, checkpointIndex] : undefined;
}

/**
 * Downloads what `owner/name` needs for one precision and returns the folder, `<cacheDir>/<owner>/<name>`. A complete
 * model needs no network at all; a download that was cut off goes on with the files that are missing.
 *
 * @throws {InputError} in one sentence where there is no such model, it may not be read, it lacks the precision, or the
 * hub cannot be reached
 */
export async function downloadModel(id: string, dtype: Dtype | "auto", options: HubOptions): Promise<string> {
  const folder = join(options.cacheDir ?? join(cacheFolder(), "hub"), ...id.split("/"));
  // No listing can name a better file than full precision; what else is here may serve where the hub cannot be asked.
  if (isComplete(folder, dtype === "auto" ? "fp32" : dtype)) return folder;
  try {
    const listed = await listFiles(id, options);
    for (const needed of ["config.json", "tokenizer.json"]) {
      if (listed.includes(needed)) continue;
      throw new InputError(`The hub's ${id} has no ${needed}, so it is not a model that Prospect can open.`);
    }
    const weights = weightFiles(listed, dtype);
    if (!weights) throw new InputError(noWeights(id, dtype, listed));
    for (const file of SMALL_FILES) if (listed.includes(file)) await fetchFile(id, file, folder, options);
    if (!weights.at(-1)!.endsWith(".onnx")) {
      options.checkCheckpoint?.(folder);
      options.onRemark?.(`The hub's ${id} has no ONNX file: fetching its safetensors instead.`);
    }
    for (const file of weights) await fetchFile(id, file, folder, options);
    return folder;
  } catch (error) {
    if (error instanceof InputError) throw error;
    const local = dtype === "auto" && DTYPES.find((each) => isComplete(folder, each));
    if (local) {
      options.onRemark?.(`The hub cannot be reached (${reason(error)}): using ${id} as it is here, in ${local}.`);
      return folder;
    }
    const where = `${id} from ${hostOf(options)} (${reason(error)})`;
    throw new InputError(
      `Could not download ${where}: check the network, or give a local folder (there is none at ${resolve(id)}).`,
    );
  }
}

/** Whether a precision is here with all it needs. */
function isComplete(folder: string, dtype: Dtype): boolean {
  if (!["config.json", "tokenizer.json"].every((file) => existsSync(join(folder, file)))) return false;
  const onnx = (each: Dtype) => onnxCandidates(each).some((file) => existsSync(join(folder, file)));
  if (onnx(dtype)) return true;
  return dtype === "fp32" && !DTYPES.some(onnx) && hasCheckpoint(folder);
}

function noWeights(id: string, dtype: Dtype | "auto", listed: string[]): string {
  const there = DTYPES.filter((each) => weightFiles(listed, each));
  if (there.length > 0) {
    return `The hub's ${id} has no ONNX file for dtype ${dtype}: choose --dtype ${there.join(", ")}.`;
  }
  const kind = listed.find((file) => /\.(gguf|bin|pt|pth|h5|msgpack)$/.test(file));
  return `The hub's ${id} has neither an ONNX file nor safetensors${kind ? ` (it has ${kind})` : ""}: look for an ` +
    `onnx-community export of it.`;
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return (error.cause instanceof Error ? error.cause.message : error.message).replaceAll(/\s+/g, " ");
}

function hostOf(options: HubOptions): string {
  return (options.host ?? "https://huggingface.co").replace(/\/$/, "");
}

/** Asks the hub. @throws {InputError} for a repository that is not there or may not be read; Error for other failures. */
async function request(id: string, path: string, options: HubOptions): Promise<Response> {
  const token = process.env["HF_TOKEN"] ?? process.env["HF_ACCESS_TOKEN"];
  const headers: Record<string, string> = token && options.host === undefined
    ? { Authorization: `Bearer ${token}` }
    : {};
  const response = await fetch(`${hostOf(options)}${path}`, { headers });
  if (response.ok) return response;
  await response.body?.cancel();
  const { status } = response, code = response.headers.get("x-error-code");
  const mend = token ? "the token in HF_TOKEN may not read it" : "set HF_TOKEN to a token that may read it";
  if (code === "GatedRepo" || status === 403) {
    throw new InputError(
      `The hub's ${id} is gated: accept its terms on ${hostOf(options)}/${id}, and ${
        token ? "check that HF_TOKEN is yours" : "set HF_TOKEN"
      }; or give a local folder.`,
    );
  }
  // The hub answers 401 for a repository that does not exist, so as not to tell which private ones do.
  if (status === 401 || status === 404) {
    throw new InputError(`The hub has no ${id} (HTTP ${status}): check the id, or, if it is private, ${mend}.`);
  }
  throw new Error(`HTTP ${status} for ${path}`);
}

async function listFiles(id: string, options: HubOptions): Promise<string[]> {
  const response = await request(id, `/api/models/${id}`, options);
  const parsed = listSchema.safeParse(await response.json());
  if (!parsed.success) throw new Error("its list of files is not as expected");
  return parsed.data.siblings.map(({ rfilename }) => rfilename);
}

/** Removes what killed downloads left: pieces that nobody has written to for a day. */
function removeAbandoned(folder: string): void {
  for (const name of readdirSync(folder).filter((name) => name.endsWith(".partial"))) {
    const path = join(folder, name), written = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (Date.now() - written > 24 * 60 * 60 * 1000) rmSync(path, { force: true });
  }
}

/** Puts a file into the folder, unless it is there. A half download never takes the file's name. */
async function fetchFile(id: string, file: string, folder: string, options: HubOptions): Promise<void> {
  const target = join(folder, file);
  if (existsSync(target)) return;
  const response = await request(id, `/${id}/resolve/main/${file}`, options);
  const length = Number(response.headers.get("content-length") ?? NaN);
  // A compressed body's content-length is not the file's, so it is no total.
  const total = Number.isFinite(length) && !response.headers.get("content-encoding") ? length : undefined;
  const partial = `${target}.${process.pid}.partial`;
  mkdirSync(dirname(target), { recursive: true });
  removeAbandoned(dirname(target));
  let loaded = 0;
  const report = async function* (chunks: AsyncIterable<Uint8Array>) {
    for await (const chunk of chunks) {
      loaded += chunk.length;
      options.onProgress?.(total === undefined ? { file, loaded } : { file, loaded, total });
      yield chunk;
    }
  };
  try {
    const body = response.body ?? new Blob([]).stream();
    await pipeline(Readable.from(report(body as AsyncIterable<Uint8Array>)), createWriteStream(partial));
    if (total !== undefined && loaded !== total) throw new Error(`${file} ended after ${loaded} of ${total} bytes`);
    renameSync(partial, target);
  } catch (error) {
    rmSync(partial, { force: true });
    throw writeFailure(target, error);
  }
}
