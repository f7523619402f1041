// The folder that a gateway keeps its things in, and the store in it or elsewhere. It knows no tables and no routes.

import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { InputError } from "../../shared/errors.ts";
import { type Database, openDatabase } from "../../shared/store/database.ts";

/**
 * Opens the store of a gateway, and makes its data folder where it is not there yet.
 *
 * @param dataFolder readable by its owner alone, since it holds what people wrote
 * @param databaseUrl PostgreSQL's; undefined is SQLite in the folder
 * @throws InputError for a folder that cannot be one, and for what `openDatabase` refuses
 */
export async function openStore(dataFolder: string, databaseUrl: string | undefined): Promise<Database> {
  try {
    await Deno.mkdir(dataFolder, { recursive: true, mode: 0o700 });
  } catch (error) {
    const { message } = error as Error;
    throw new InputError(`--data-dir ${dataFolder} cannot be used as a folder (${message}); name another.`);
  }
  return await openDatabase(databaseUrl ?? join(dataFolder, "prospect.sqlite"));
}

/** A file for an upload until it is read; whoever makes it removes it. */
export const scratchFile = (dataFolder: string): string => join(dataFolder, `scratch-${randomUUID()}`);

/** Scratch files that old, in milliseconds, belong to a gateway that was killed; younger ones may be another's. */
const longestUpload = 24 * 60 * 60 * 1000;

/** Removes what gateways that were killed have left: people's words should not lie about where nobody deletes them. */
export async function removeLeftovers(dataFolder: string): Promise<void> {
  for await (const { name } of Deno.readDir(dataFolder)) {
    if (!name.startsWith("scratch-")) continue;
    const path = join(dataFolder, name), { mtime } = await Deno.stat(path);
    if (mtime && mtime.getTime() < Date.now() - longestUpload) await Deno.remove(path);
  }
}
