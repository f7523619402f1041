// The store that gateway, trainer and keys share under the same options: in their data folder, or elsewhere. It knows no
// tables.

import { join } from "node:path";
import { InputError } from "../errors.ts";
import { lockFolder } from "../folder_lock.ts";
import { type Database, openDatabase } from "./database.ts";
import { makePrivateFolder } from "./private_folder.ts";

/**
 * Opens the store, and makes the data folder where it is not there yet. While it is open nobody replaces the folder.
 *
 * @param dataFolder readable by its owner alone, since it holds what people wrote
 * @param databaseUrl PostgreSQL's; undefined is SQLite in the folder
 * @throws InputError for a folder that cannot be one, and for what `openDatabase` refuses
 */
export async function openStore(dataFolder: string, databaseUrl: string | undefined): Promise<Database> {
  try {
    await makePrivateFolder(dataFolder);
  } catch (error) {
    const { message } = error as Error;
    throw new InputError(`--data-dir ${dataFolder} cannot be used as a folder (${message}); name another.`);
  }
  const lock = await lockFolder(dataFolder, "shared");
  if (!lock) throw new InputError(`--data-dir ${dataFolder}: a copy is being put in its place; wait for that to end.`);
  try {
    const database = await openDatabase(databaseUrl ?? join(dataFolder, "prospect.sqlite"));
    const { close } = database;
    database.close = () => close().finally(() => closeOnce(lock));
    return database;
  } catch (error) {
    lock.close();
    throw error;
  }
}

const closed = new WeakSet<Deno.FsFile>();

/** A store may be closed twice. */
function closeOnce(lock: Deno.FsFile): void {
  if (!closed.has(lock)) lock.close();
  closed.add(lock);
}
