// Copies of an SQLite file as it stands at one moment, made while others use it. Does not know what is in it.

import { backup, DatabaseSync } from "node:sqlite";
import { moveFileAtomic } from "../atomic_file.ts";

/** How long a copy waits for a process that locks the file, in milliseconds. */
const patience = 10_000;

/**
 * Copies what is committed, whole or not at all, into a file that only its owner may read. One that is there is replaced.
 *
 * @throws InputError where it cannot be written
 */
export async function copySqlite(path: string, to: string): Promise<void> {
  const unfinished = `${to}.${crypto.randomUUID()}.tmp`;
  try {
    // What is there already keeps its mode.
    const file = await Deno.open(unfinished, { write: true, createNew: true, mode: 0o600 });
    try {
      using database = new DatabaseSync(path, { timeout: patience });
      // All in one go: a copy in pieces begins again whenever somebody writes. VACUUM INTO needs all permissions in Deno.
      await backup(database, unfinished, { rate: 0x7fffffff });
      // Nothing of it is left to a log beside it.
      using copy = new DatabaseSync(unfinished);
      copy.exec("PRAGMA journal_mode = DELETE");
      await file.sync();
    } finally {
      file.close();
    }
    await moveFileAtomic(unfinished, to);
  } catch (error) {
    await Deno.remove(unfinished).catch(() => {});
    throw error;
  }
}

/** Copies a database that is about to be brought to `version`. @returns where the copy is, beside it */
export async function backUpSqlite(path: string, version: number): Promise<string> {
  const free = async (to: string) => !await Deno.stat(to).then(() => true, () => false);
  const base = `${path}.before-v${version}`;
  let to = base;
  for (let number = 2; !await free(to); number++) to = `${base}-${number}`;
  await copySqlite(path, to);
  return to;
}
