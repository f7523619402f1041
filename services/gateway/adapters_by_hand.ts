// Adapters that people bring and take away: their files are copied to where registered ones are kept, and those that no
// adapter has any more are removed. It knows no routes.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../../shared/errors.ts";
import {
  isVersion,
  keepAdapter,
  keptFolder,
  listKept,
  removeEntry,
  setAside,
} from "../../shared/runtime/kept_adapters.ts";
import { bringAdapter, inUse, keepsFiles, removeAdapter } from "../../shared/store/change_adapters.ts";
import type { Database } from "../../shared/store/database.ts";
import { findAdapter, modelOf, registeredVersions } from "../../shared/store/registry.ts";
import type { Engine } from "./engine/engine.ts";
import type { Gateway } from "./gateway.ts";
import { unload } from "./registered_models.ts";

type Place = Pick<Gateway, "database" | "dataFolder" | "models" | "aliases">;

/**
 * Registers the adapter in a folder, which nobody has measured, and loads it.
 *
 * @throws InputError for an adapter that does not fit the model
 * @throws RegistryConflictError for a name whose files may not change
 */
export async function loadByHand(
  { database, dataFolder, models, aliases }: Place,
  engine: Engine,
  name: string,
  folder: string,
): Promise<void> {
  const files = await engine.checkAdapter(folder), known = await findAdapter(database, name);
  const as = known && isVersion(files, known.version) ? known.version : files.version;
  // Of the command's aliases the store knows nothing.
  const alias = aliasNaming(aliases, name);
  if (alias !== undefined && known && known.version !== as) throw keepsFiles(alias, modelOf(name));
  const version = await keepAdapter(dataFolder, folder, as), kept = keptFolder(version);
  const replaced = await database.write(async (queries) => {
    // Another process may have tidied it away before it had a name.
    if (!existsSync(join(dataFolder, kept))) throw new InputError(`${folder}: the copy is gone; load it once more.`);
    return await bringAdapter(queries, { name, base: engine.base, folder: kept, version });
  });
  models.retry({ name, version });
  await models.refresh();
  await models.load(engine, name);
  if (replaced) await collectFiles(database, dataFolder, replaced.version);
}

/**
 * Takes an adapter out of the registry, and its files with it where no other has them. Answers under way are finished.
 *
 * @returns whether there was one
 * @throws RegistryConflictError where an alias asks for it, of the store or of this gateway's command, or a job starts from it
 */
export async function removeByHand(
  { database, dataFolder, models, aliases }: Place,
  engine: Engine,
  name: string,
): Promise<boolean> {
  // An alias may have been moved by another process since the store was looked at.
  await models.refresh();
  checkUnused(aliases, name);
  const removed = await database.write((queries) => removeAdapter(queries, name));
  if (!removed) return false;
  await models.refresh();
  if (engine.adapters().some((loaded) => loaded.name === name)) await unload(engine, name);
  await collectFiles(database, dataFolder, removed.version);
  return true;
}

/** @throws RegistryConflictError where an alias asks for the adapter */
export function checkUnused(aliases: Gateway["aliases"], name: string): void {
  const alias = aliasNaming(aliases, name);
  if (alias !== undefined) throw inUse(alias, modelOf(name));
}

function aliasNaming(aliases: Gateway["aliases"], name: string): string | undefined {
  const model = modelOf(name);
  return [...aliases].find(([, arms]) => arms.some((arm) => arm.model === model))?.[0];
}

/** Removes files of a version that no adapter has any more. */
async function collectFiles(database: Database, dataFolder: string, version: string): Promise<void> {
  // Within a write, so that nobody registers them meanwhile; out of the way at once, since other writes wait.
  const aside = await database.write(async (queries) =>
    (await registeredVersions(queries)).has(version) ? undefined : setAside(dataFolder, version)
  );
  if (aside !== undefined) await removeEntry(dataFolder, aside);
}

/** So old in milliseconds, files without an adapter were left by a process that was killed; younger ones may be about to have one. */
const longestUnnamed = 24 * 60 * 60 * 1000;

/** Removes what processes that were killed have left among the kept files. */
export async function removeUnnamedFiles(database: Database, dataFolder: string): Promise<void> {
  for (const { entry, at } of await listKept(dataFolder)) {
    if (at > Date.now() - longestUnnamed) continue;
    if (entry.startsWith(".")) await removeEntry(dataFolder, entry);
    else await collectFiles(database, dataFolder, entry);
  }
}
