// Keeps what importing a checkpoint writes in Prospect's cache folder, so that it is done once: found again by the
// checkpoint's path and the names, sizes and times of its files. It does not know what is in them.

import { createHash } from "node:crypto";
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { importCheckpoint, importVersion } from "../architectures/import_checkpoint.ts";
import { ensureWritableFolder } from "../atomic_file.ts";
import { cacheFolder } from "./cache_folder.ts";
import type { DownloadProgress } from "./hub.ts";

export interface ImportedModelOptions {
  importDir?: string;
  onProgress?: (progress: DownloadProgress) => void;
  onRemark?: (sentence: string) => void;
}

/** An import that was killed leaves its unfinished folder; after a day nobody is writing there any more. */
const abandonedAfter = 24 * 60 * 60 * 1000;

const hash = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 16);

/**
 * The folder with the imported model of a checkpoint folder, which is only read. Older imports of the same folder are
 * removed.
 *
 * @throws {InputError} for a checkpoint that cannot be imported, or a cache folder that cannot be written
 */
export async function importedModel(path: string, options: ImportedModelOptions = {}): Promise<string> {
  const home = join(options.importDir ?? join(cacheFolder(), "imported"), `${basename(path)}-${hash(path)}`);
  const out = join(home, stateOf(path));
  if (existsSync(out)) {
    options.onRemark?.(
      `${path} has no fp32 ONNX file: using the one that was written from its safetensors, in ${out}.`,
    );
    return out;
  }
  const file = `importing ${basename(path)}`;
  try {
    const { remark } = await importCheckpoint(path, out, {
      onChecked: async () => {
        options.onRemark?.(`${path} has no fp32 ONNX file: writing one from its safetensors into ${out}, once.`);
        await ensureWritableFolder(home);
      },
      onProgress: (loaded, total) => options.onProgress?.({ file, loaded, total }),
    });
    if (remark) options.onRemark?.(`${path}: ${remark}.`);
  } catch (error) {
    // Another process may have been first: then its folder is whole.
    if (!existsSync(out)) throw error;
  }
  for (const { name } of [...Deno.readDirSync(home)]) {
    const old = join(home, name), age = Date.now() - statSync(old, { throwIfNoEntry: false })!.mtimeMs;
    if (old !== out && (!name.endsWith(".partial") || age > abandonedAfter)) {
      await Deno.remove(old, { recursive: true }).catch(() => {});
    }
  }
  return out;
}

/** A name that changes whenever a file of the folder does. */
function stateOf(path: string): string {
  const files = readdirSync(path).sort().flatMap((name) => {
    if (!/\.(json|jinja|safetensors|model|txt)$/.test(name)) return [];
    // A link to nothing is as good as no file.
    const file = statSync(join(path, name), { throwIfNoEntry: false });
    return file ? [`${name} ${file.size} ${file.mtimeMs}`] : [];
  });
  return hash([importVersion, ...files].join("\n"));
}
