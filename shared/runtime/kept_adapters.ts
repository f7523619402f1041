// Adapters as they were registered: copies in DATA_DIR/adapters/, each in a folder that is called by its content and never
// changed. What trainers and people write elsewhere may be overwritten; what is here is checked against its name whenever
// it is read. Does not know the registry, nor what the files mean.

import { createHash, randomUUID } from "node:crypto";
import { join } from "node:path";
import { moveFileAtomic, writeFailure } from "../atomic_file.ts";
import { InputError } from "../errors.ts";

/** Beside PEFT's two files the prompts that the adapter has seen: the gate compares on rows that are not among them. */
const peftFiles = ["adapter_config.json", "adapter_model.safetensors"], promptsFile = "trained_prompts.json";

const home = (dataFolder: string) => join(dataFolder, "adapters");

/** Where the files of that version are kept, relative to the data folder. */
export const keptFolder = (version: string): string => join("adapters", version);

/** A registered adapter's files are missing or others; the sentence names the model and no place of this machine. */
export class UnusableAdapterError extends InputError {}

/** What files are called by: sha-256 over them. */
export interface FilesVersion {
  version: string;
  /** Without the prompts, as Prospect called them before it counted those. */
  older: string;
}

/** @throws where one is missing */
export const hashAdapterFiles = (folder: string): Promise<FilesVersion> => goThrough(folder, undefined);

/** Whether files are those of that version. */
export const isVersion = (files: FilesVersion, version: string): boolean =>
  files.version === version || files.older === version;

/** Hashes files, a piece at a time so that others get their turn, and copies the same bytes where `copies` names a folder. */
async function goThrough(folder: string, copies: string | undefined): Promise<FilesVersion> {
  const hash = createHash("sha256"), piece = new Uint8Array(2 ** 20);
  const add = async (name: string) => {
    using source = await Deno.open(join(folder, name));
    using copy = copies === undefined ? undefined : await makeOnce(join(copies, name));
    for (let read: number | null; (read = await source.read(piece)) !== null;) {
      const bytes = piece.subarray(0, read);
      hash.update(bytes);
      for (let written = 0; copy && written < read;) written += await copy.write(bytes.subarray(written));
    }
    await copy?.sync();
  };
  for (const name of peftFiles) await add(name);
  const older = hash.copy().digest("hex");
  const prompts = await add(promptsFile).then(() => true, (error) => {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  });
  return { version: prompts ? hash.digest("hex") : older, older };
}

const makeOnce = (path: string) => Deno.open(path, { write: true, createNew: true, mode: 0o400 });

/**
 * Copies an adapter's files to where they are kept, whole or not at all.
 *
 * @param as the version that they were called by before, for those that an older Prospect registered
 * @returns their version
 * @throws InputError where they are not that version, or cannot be written
 */
export async function keepAdapter(dataFolder: string, from: string, as?: string): Promise<string> {
  const fresh = join(home(dataFolder), `.${randomUUID()}.tmp`);
  try {
    await Deno.mkdir(fresh, { recursive: true, mode: 0o700 });
    const files = await goThrough(from, fresh), version = as ?? files.version;
    if (!isVersion(files, version)) throw new InputError(`${from}: the adapter changed while it was read.`);
    await putInPlace(dataFolder, version, fresh);
    return version;
  } catch (error) {
    await Deno.remove(fresh, { recursive: true }).catch(() => {});
    throw writeFailure(home(dataFolder), error);
  }
}

/** Where those files are already, these are not needed; where others are, they are not what their name says. */
async function putInPlace(dataFolder: string, version: string, fresh: string): Promise<void> {
  const place = join(dataFolder, keptFolder(version));
  try {
    return await moveFileAtomic(fresh, place);
  } catch (error) {
    if (!await isThere(place)) throw error;
  }
  if (await isKept(dataFolder, version)) return await Deno.remove(fresh, { recursive: true });
  const other = setAside(dataFolder, version);
  await moveFileAtomic(fresh, place);
  if (other !== undefined) await removeEntry(dataFolder, other);
}

/** Whether files of that version are in their place, and are what they are called. */
export async function isKept(dataFolder: string, version: string): Promise<boolean> {
  const files = await hashAdapterFiles(join(dataFolder, keptFolder(version))).catch(() => undefined);
  return files !== undefined && isVersion(files, version);
}

/** Puts kept files where no reader finds them, at once. @returns the entry to remove; undefined where there were none */
export function setAside(dataFolder: string, version: string): string | undefined {
  const entry = `.${randomUUID()}.tmp`;
  try {
    Deno.renameSync(join(dataFolder, keptFolder(version)), join(home(dataFolder), entry));
    return entry;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Removes what was set aside, or was never finished. */
export const removeEntry = (dataFolder: string, entry: string): Promise<void> =>
  Deno.remove(join(home(dataFolder), entry), { recursive: true });

/** An adapter as the registry has it. */
interface Registered {
  name: string;
  version: string;
  /** Where its files were at first, relative to the data folder. */
  folder: string;
}

/**
 * The folder of a registered adapter's files. Those of an older Prospect are where their run wrote them: they are kept
 * from now on, if they are still what was registered.
 *
 * @throws UnusableAdapterError where they are not here, or are others and would have to be kept
 */
export async function findRegistered(dataFolder: string, { name, version, folder }: Registered): Promise<string> {
  const place = join(dataFolder, keptFolder(version)), first = join(dataFolder, folder);
  if (await isThere(place)) return place;
  if (first === place || !await isThere(first)) {
    throw new UnusableAdapterError(`base:${name} cannot answer here: its files are not in this process's data folder.`);
  }
  const files = await hashAdapterFiles(first).catch(() => undefined);
  if (!files || !isVersion(files, version)) throw alteredFiles(name, version);
  await keepAdapter(dataFolder, first, version);
  return place;
}

/** The same, read through and found to be what was registered. @throws UnusableAdapterError */
export async function checkRegistered(dataFolder: string, adapter: Registered): Promise<string> {
  const folder = await findRegistered(dataFolder, adapter);
  if (await isKept(dataFolder, adapter.version)) return folder;
  throw alteredFiles(adapter.name, adapter.version);
}

const isThere = (path: string) => Deno.stat(path).then(() => true, () => false);

/** The refusal of files that are not what was registered. */
export const alteredFiles = (name: string, version: string): UnusableAdapterError =>
  new UnusableAdapterError(
    `base:${name} cannot answer: its files are no longer those that were registered (sha-256 ${
      version.slice(0, 12)
    }…). ` +
      `Load the true files once more under this name, or others under another.`,
  );

/** Versions that are kept and what writers that died left (`.….tmp`), with when each was made, in milliseconds since 1970. */
export async function listKept(dataFolder: string): Promise<{ entry: string; at: number }[]> {
  const found: { entry: string; at: number }[] = [];
  const entries = await Array.fromAsync(Deno.readDir(home(dataFolder))).catch(() => []);
  for (const { name } of entries) {
    const stat = await Deno.stat(join(home(dataFolder), name)).catch(() => undefined);
    if (stat) found.push({ entry: name, at: stat.mtime?.getTime() ?? Infinity });
  }
  return found;
}
