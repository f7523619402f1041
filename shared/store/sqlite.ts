// Opens an SQLite file for several processes at once. It does not know what is stored in it.

import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";

const patience = 10_000;

/** SQLite's name for a database that no file holds. */
const inMemory = ":memory:";

/**
 * Opens or creates a database in write-ahead mode whose statements wait for other writers.
 *
 * @param synchronous "FULL" makes a commit survive a power cut, "NORMAL" only the death of the process.
 */
export function openSqlite(path: string, synchronous: "FULL" | "NORMAL"): DatabaseSync {
  if (path !== inMemory) {
    Deno.mkdirSync(dirname(path), { recursive: true });
    // Its journal gets the mode that the file has.
    Deno.openSync(path, { create: true, append: true, mode: 0o600 }).close();
  }
  const database = new DatabaseSync(path, { timeout: patience });
  try {
    waitWhileLocked(() => database.exec("PRAGMA journal_mode = WAL"));
    database.exec(`PRAGMA synchronous = ${synchronous}; PRAGMA foreign_keys = ON`);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** SQLite does not call its busy handler while the journal mode changes, so two first openers must wait here. */
function waitWhileLocked(attempt: () => void): void {
  const end = Date.now() + patience;
  for (;;) {
    try {
      return attempt();
    } catch (error) {
      if (!/locked|busy/.test((error as Error).message) || Date.now() > end) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
  }
}
