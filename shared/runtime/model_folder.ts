// From `--model` to a local folder in transformers.js layout: config.json, tokenizer.json and onnx/*.onnx.
// A path is taken as it is, `owner/name` (or `owner/name@revision`) comes from the hub, and a folder with safetensors in
// place of ONNX files is imported. Does not know what is inside an ONNX file or a tokenizer, only which files must be
// there.

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import { readConfig } from "../architectures/import_checkpoint.ts";
import { InputError } from "../errors.ts";
import { hasCheckpoint } from "../onnx/checkpoint.ts";
import { aboutOtherWeights, otherWeightsIn, refusePointer } from "../onnx/other_weights.ts";
import { checkDtypeName, type Dtype, DTYPES, onnxCandidates } from "./dtypes.ts";
import { downloadModel, type HubOptions, mainRevision, parseHubModel } from "./hub.ts";
import { importedModel } from "./imported_model.ts";

export type { DownloadProgress } from "./hub.ts";
export type { Dtype } from "./dtypes.ts";

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
  /** Of the hub, where another than main was asked for. */
  revision?: string;
  config: ModelConfig;
  /** The precisions whose ONNX file is here, most precise first. */
  dtypes: Dtype[];
  /** `auto` becomes the most precise file present; any other name is checked. Throws InputError. */
  resolveDtype(dtype: string): Dtype;
  /** Absolute path of the ONNX file of a precision (or `auto`). Throws InputError naming the files that are there. */
  onnxFile(dtype: string): string;
}

/** How to find a model. */
export interface ResolveOptions extends HubOptions {
  /** Which ONNX file a hub model needs; folders keep all they have. Default `auto`, the most precise one. */
  dtype?: string;
  /** Where imported checkpoints are kept. Default `imported` in Prospect's cache folder. */
  importDir?: string;
  /** Told in a sentence what the user should know, such as that a checkpoint is imported. */
  onRemark?: (sentence: string) => void;
}

/**
 * Finds the model behind `--model`.
 *
 * @param model A folder (`./x`, `/x`, or any existing directory), or `owner/name` or `owner/name@revision` of the hub;
 * one with safetensors but without ONNX files, or without that of fp32 where it is asked for, is imported into the cache,
 * and the folder itself is left as it is.
 * @throws InputError when there is no such folder, a file is missing or broken, or the hub cannot be reached.
 */
export async function resolveModelFolder(model: string, options: ResolveOptions = {}): Promise<ModelFolder> {
  const dtype = options.dtype ?? "auto";
  if (dtype !== "auto") checkDtypeName(dtype);
  if (isDirectory(model)) return await openOrImport(resolve(model), basename(resolve(model)), dtype, options);
  if (existsSync(model)) {
    throw new InputError(
      `${model} is a file: --model takes the folder that holds config.json, tokenizer.json and onnx/${
        clause(aboutOtherWeights(basename(model)))
      }.`,
    );
  }
  if (looksLikePath(model)) {
    throw new InputError(`The model folder ${model} does not exist: give a folder or a hub id such as owner/name.`);
  }
  const onHub = parseHubModel(model);
  if (!onHub) {
    throw new InputError(
      `There is no folder ${model} here, and it is not a hub id either (those look like owner/name or ` +
        `owner/name@revision): check --model.`,
    );
  }
  const path = await downloadModel(onHub, dtype as Dtype | "auto", { checkCheckpoint: readConfig, ...options });
  const folder = await openOrImport(path, onHub.id, dtype, options);
  return onHub.revision === mainRevision ? folder : { ...folder, revision: onHub.revision };
}

/** The folder itself where it has the ONNX file or nothing that could become it. */
async function openOrImport(path: string, name: string, dtype: string, options: ResolveOptions): Promise<ModelFolder> {
  const folder = openModelFolder(path, name), { dtypes } = folder;
  const found = dtype === "auto" ? dtypes.length > 0 : dtypes.includes(dtype as Dtype);
  if (found || !hasCheckpoint(path)) return folder;
  if (dtype === "auto" || dtype === "fp32") return openModelFolder(await importedModel(path, options), name);
  if (dtypes.length > 0) return folder;
  throw new InputError(
    `${path} has no ONNX file, only safetensors, which are imported as fp32: use --dtype fp32 in place of ${dtype}, ` +
      `or give an ONNX export with that dtype.`,
  );
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
        `${root} has no ${file}: a model folder needs config.json, tokenizer.json and onnx/model.onnx or ` +
          `model.safetensors${clause(otherWeightsIn(root))}.`,
      );
    }
    refusePointer(join(root, file));
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
    ? "onnx/model.onnx and no model.safetensors"
    : `ONNX file for dtype ${dtype} (${onnxCandidates(dtype as Dtype)[0]})`;
  const choice = dtypes.length > 0 ? `; choose one of --dtype ${dtypes.join(", ")}` : clause(otherWeightsIn(root));
  return `${root} has no ${wanted}. ONNX files there: ${there.join(", ") || "none"}${choice}.`;
}

const clause = (text: string | undefined) => text === undefined ? "" : `; ${text}`;

function looksLikePath(model: string): boolean {
  return /^(\.{0,2}[/\\]|~|[A-Za-z]:[/\\])/.test(model) || model === "." || model === ".." ||
    model.split("@")[0]!.split("/").length > 2;
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
