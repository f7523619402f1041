// Downloads a model of the hub into transformers.js' own cache layout, so that both read the same files: what one has
// fetched the other finds. The repository's list of files says what there is; which of them a precision needs is
// decided here. It does not know what is in the files, nor how one is fetched (hub/).

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { InputError } from "../errors.ts";
import { hasCheckpoint } from "../onnx/checkpoint.ts";
import { cacheFolder } from "./cache_folder.ts";
import { type Dtype, DTYPES, onnxCandidates } from "./dtypes.ts";
import { hubEndpoint } from "./hub/endpoint.ts";
import { type DownloadProgress, fetchFile, isAsListed } from "./hub/fetch_file.ts";
import { type HubModel, mainRevision, nameOf } from "./hub/hub_model.ts";
import { type ListedFile, listFiles } from "./hub/list_files.ts";
import { PassingTrouble, type Patience, usualPatience } from "./hub/patience.ts";

export type { DownloadProgress } from "./hub/fetch_file.ts";
export { type HubModel, mainRevision, parseHubModel } from "./hub/hub_model.ts";

export interface HubOptions {
  onProgress?: (progress: DownloadProgress) => void;
  onRemark?: (sentence: string) => void;
  /** Where hub models are kept. Default `hub` in Prospect's cache folder. */
  cacheDir?: string;
  patience?: Patience;
  /** Looks at config.json before safetensors are fetched, and throws where they would be of no use. */
  checkCheckpoint?: (folder: string) => void;
}

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
 * Downloads what a model needs for one precision and returns its folder: `<cacheDir>/<owner>/<name>`, and a folder of
 * the revision's name in there for another than main. A complete model needs no network at all; a download that was cut
 * off goes on where it stopped.
 *
 * @throws {InputError} in one sentence where there is no such model, it may not be read, it lacks the precision, or the
 * hub cannot be reached
 */
export async function downloadModel(model: HubModel, dtype: Dtype | "auto", options: HubOptions): Promise<string> {
  const folder = folderOf(model, options), name = nameOf(model);
  // No listing can name a better file than full precision; what else is here may serve where the hub cannot be asked.
  if (isComplete(folder, dtype === "auto" ? "fp32" : dtype)) return folder;
  const complete = DTYPES.find((each) => isComplete(folder, each));
  const trials = {
    patience: options.patience ?? usualPatience,
    onRemark: options.onRemark ?? (() => {}),
  };
  try {
    const tries = dtype === "auto" && complete ? { tries: 1 } : {};
    const { files, commit } = await listFiles(model, { ...trials, ...tries });
    const listed = [...files.keys()];
    for (const needed of ["config.json", "tokenizer.json"]) {
      if (listed.includes(needed)) continue;
      throw new InputError(`The hub's ${name} has no ${needed}, so it is not a model that Prospect can open.`);
    }
    const weights = weightFiles(listed, dtype);
    if (!weights) throw new InputError(noWeights(name, dtype, listed));
    const source = { model, commit, onProgress: options.onProgress ?? (() => {}), ...trials };
    const fetch = async (path: string) => {
      const file = files.get(path)!;
      // What a download that was cut off has left may be of an older commit.
      if (!complete) await removeUnlessListed(folder, file);
      await fetchFile(file, folder, source);
    };
    for (const file of SMALL_FILES) if (listed.includes(file)) await fetch(file);
    if (!weights.at(-1)!.endsWith(".onnx")) {
      options.checkCheckpoint?.(folder);
      options.onRemark?.(`The hub's ${name} has no ONNX file: fetching its safetensors instead.`);
    }
    for (const file of weights) await fetch(file);
    return folder;
  } catch (error) {
    if (!(error instanceof PassingTrouble)) throw error;
    if (dtype === "auto" && complete) {
      options.onRemark?.(`The hub cannot be reached (${error.message}): using ${name} as it is here, in ${complete}.`);
      return folder;
    }
    const mend = error.pause === undefined ? "check the network and run the same command again" : "run it again then";
    throw new InputError(
      `Could not download ${name} from ${hubEndpoint()} (${error.message}): ${mend}, which goes on where this stopped, ` +
        `or give a local folder (there is none at ${resolve(model.id)}).`,
    );
  }
}

/** transformers.js keeps other revisions than main in folders among main's files. @throws {InputError} */
function folderOf({ id, revision }: HubModel, options: HubOptions): string {
  const folder = join(options.cacheDir ?? join(cacheFolder(), "hub"), ...id.split("/"));
  if (revision === mainRevision) return folder;
  const [first, ...rest] = revision.split("/") as [string, ...string[]];
  if (first !== "onnx") return join(folder, first, ...rest);
  throw new InputError(`${id}@${revision}: a folder onnx is where main's files are; name the commit's hash instead.`);
}

async function removeUnlessListed(folder: string, file: ListedFile): Promise<void> {
  const path = join(folder, file.path);
  // Another process may do the same.
  if (existsSync(path) && !await isAsListed(path, file)) await Deno.remove(path).catch(() => {});
}

/** Whether a precision is here with all it needs. */
function isComplete(folder: string, dtype: Dtype): boolean {
  if (!["config.json", "tokenizer.json"].every((file) => existsSync(join(folder, file)))) return false;
  const onnx = (each: Dtype) => onnxCandidates(each).some((file) => existsSync(join(folder, file)));
  if (onnx(dtype)) return true;
  return dtype === "fp32" && !DTYPES.some(onnx) && hasCheckpoint(folder);
}

function noWeights(name: string, dtype: Dtype | "auto", listed: string[]): string {
  const there = DTYPES.filter((each) => weightFiles(listed, each));
  if (there.length > 0) {
    return `The hub's ${name} has no ONNX file for dtype ${dtype}: choose --dtype ${there.join(", ")}.`;
  }
  const kind = listed.find((file) => /\.(gguf|bin|pt|pth|h5|msgpack)$/.test(file));
  return `The hub's ${name} has neither an ONNX file nor safetensors${kind ? ` (it has ${kind})` : ""}: look for an ` +
    `onnx-community export of it.`;
}
