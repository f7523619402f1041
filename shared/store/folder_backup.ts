// Copies of a data folder: its database as it stands at one moment, and every file that it names, whole or not at all. The
// gateway and the trainer may be at work meanwhile; a folder is put back only while nobody uses it. Does not know what is
// in the files.

import { basename, dirname, join, relative, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { InputError } from "../errors.ts";
import { writeFailure } from "../atomic_file.ts";
import { folderLockName, lockFolder } from "../folder_lock.ts";
import { keptFolder } from "../runtime/kept_adapters.ts";
import { copySqlite } from "./sqlite_backup.ts";

/** The database's name in a data folder. */
export const databaseName = "prospect.sqlite";

/** Times that a copy is begun anew since files were deleted meanwhile. */
const mostTries = 5;

/** What is left out: the database, which is copied otherwise, its earlier copies, locks, and what is not finished. */
const leftOut = new RegExp(`^${databaseName.replace(".", "\\.")}|\\.lock$|^scratch-|\\.tmp$`);

const isThere = (path: string) => Deno.lstat(path).then(() => true, () => false);

/**
 * Copies a data folder to `out`, which must not be there.
 *
 * @param withDatabase false where the database is a server, which has tools of its own.
 * @returns files copied
 * @throws InputError for a folder that is none, or a place that is taken or cannot be written
 */
export async function backUpFolder(dataFolder: string, out: string, withDatabase: boolean): Promise<number> {
  if (withDatabase && !await isThere(join(dataFolder, databaseName))) {
    throw new InputError(`--data-dir ${dataFolder}: there is no ${databaseName} in it; name a gateway's data folder.`);
  }
  if (await isThere(out)) throw new InputError(`--out ${out}: it is there already; name a new folder.`);
  if (!relative(resolve(dataFolder), resolve(out)).startsWith("..")) {
    throw new InputError(`--out ${out}: it lies in the data folder; name one elsewhere.`);
  }
  return await asOneStep(out, async (unfinished) => {
    const database = join(unfinished, databaseName);
    for (let tries = 1;; tries++) {
      if (withDatabase) await copySqlite(join(dataFolder, databaseName), database);
      const copied = await copyFolder(dataFolder, unfinished);
      // What the database names was there when it was copied, and may have been deleted before its turn came.
      const gone = withDatabase ? await missing(database, unfinished, dataFolder) : undefined;
      if (gone === undefined) return copied + Number(withDatabase);
      if (tries === mostTries) {
        throw new InputError(`${dataFolder}: ${gone} is named by the database and is not there; delete what names it.`);
      }
    }
  });
}

/**
 * Puts a copy in the place of a data folder.
 *
 * @param replace whether one that is there, and not empty, may be replaced
 * @returns files copied
 * @throws InputError for a copy that is none, a folder that is used or must not be replaced
 */
export async function restoreFolder(from: string, dataFolder: string, replace: boolean): Promise<number> {
  const database = join(from, databaseName);
  const wrong = await isThere(database) ? damage(database) : `there is no ${databaseName} in it`;
  if (wrong) throw new InputError(`--from ${from}: ${wrong}; name a folder that deno task backup has made.`);
  const there = await isThere(dataFolder);
  if (there && !replace && !await isEmpty(dataFolder)) {
    throw new InputError(
      `--data-dir ${dataFolder}: there is something in it; add --replace to put the copy in its place.`,
    );
  }
  const lock = there ? await lockFolder(dataFolder, "alone") : undefined;
  if (there && !lock) {
    throw new InputError(`--data-dir ${dataFolder}: a gateway or a trainer uses it; stop them first.`);
  }
  const old = `${resolve(dataFolder)}.replaced-${crypto.randomUUID()}`;
  try {
    return await asOneStep(dataFolder, async (unfinished) => {
      const copied = await copyFolder(from, unfinished);
      await copySqlite(database, join(unfinished, databaseName));
      if (there) await Deno.rename(dataFolder, old);
      return copied + 1;
    });
  } catch (error) {
    if (await isThere(old) && !await isThere(dataFolder)) await Deno.rename(old, dataFolder);
    throw error;
  } finally {
    lock?.close();
    if (await isThere(dataFolder)) await Deno.remove(old, { recursive: true }).catch(() => {});
  }
}

/** Makes a folder beside its place and moves it there once it is whole. */
async function asOneStep<Result>(place: string, make: (unfinished: string) => Promise<Result>): Promise<Result> {
  const folder = resolve(place);
  const unfinished = join(dirname(folder), `.${basename(folder)}.${crypto.randomUUID()}.tmp`);
  try {
    await Deno.mkdir(dirname(folder), { recursive: true });
    await Deno.mkdir(unfinished, { mode: 0o700 });
    const result = await make(unfinished);
    await Deno.rename(unfinished, folder);
    return result;
  } catch (error) {
    await Deno.remove(unfinished, { recursive: true }).catch(() => {});
    throw writeFailure(place, error);
  }
}

/** Copies files that are not there yet. @returns how many were copied */
async function copyFolder(from: string, to: string): Promise<number> {
  let copied = 0;
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (leftOut.test(name) || name === folderLockName) continue;
    const source = join(from, name), target = join(to, name);
    try {
      if (isDirectory) {
        await Deno.mkdir(target, { recursive: true, mode: 0o700 });
        copied += await copyFolder(source, target);
      } else {
        await copyFile(source, target);
        copied++;
      }
    } catch (error) {
      // Deleted meanwhile: whether that matters is seen at the end.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return copied;
}

async function copyFile(from: string, to: string): Promise<void> {
  await Deno.copyFile(from, to);
  using file = await Deno.open(to, { read: true });
  await file.sync();
}

/** What a copied database names and the copy lacks, unless it had long been gone from the folder itself. */
async function missing(database: string, copy: string, dataFolder: string): Promise<string | undefined> {
  const anyIn = async (folder: string, places: string[]) =>
    (await Promise.all(places.map((place) => isThere(join(folder, place))))).includes(true);
  let named: Set<string> | undefined;
  for (const places of namedPlaces(database)) {
    if (await anyIn(copy, places)) continue;
    named ??= new Set(namedPlaces(join(dataFolder, databaseName)).map(([first]) => first!));
    if (!named.has(places[0]!) || await anyIn(dataFolder, places)) return places[0];
  }
}

/** Files and folders that a database names, relative to its folder; of each the places where it may be. */
function namedPlaces(path: string): string[][] {
  using database = new DatabaseSync(path, { readOnly: true, timeout: 10_000 });
  const files = database.prepare("SELECT path FROM files").all().map(({ path }) => [String(path)]);
  const adapters = database.prepare("SELECT version, folder FROM adapters").all()
    .map(({ version, folder }) => [keptFolder(String(version)), String(folder)]);
  return [...files, ...adapters];
}

/** What is wrong with a copy; undefined where nothing is. */
function damage(database: string): string | undefined {
  try {
    using opened = new DatabaseSync(database, { readOnly: true });
    const found = Object.values(opened.prepare("PRAGMA quick_check").get() ?? {})[0];
    if (found !== "ok") return `its database is damaged (${found})`;
  } catch (error) {
    return `its database cannot be read (${(error as Error).message})`;
  }
}

async function isEmpty(folder: string): Promise<boolean> {
  for await (const { name } of Deno.readDir(folder)) if (name !== folderLockName) return false;
  return true;
}
