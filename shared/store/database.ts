// Opens the store's database, SQLite or PostgreSQL behind one query layer, and brings an old one up to date. Does not know
// what is stored in it (migrations.ts has the tables) or how either is spoken to.

import { InputError } from "../errors.ts";
import { continueIds } from "./continue_ids.ts";
import { migrate, newestVersion, versionOf } from "./migrations.ts";
import { nameOfServer, openPostgresDatabase } from "./postgres_database.ts";
import type { Database, Lock } from "./queries.ts";
import { backUpSqlite } from "./sqlite_backup.ts";
import { openSqliteDatabase } from "./sqlite_database.ts";
import { waitForLock } from "./wait_for_lock.ts";

export type { Database, Lock, Queries, Value } from "./queries.ts";

/** How long another process may take to bring the database up to date, in milliseconds. */
const patience = 10 * 60_000;

/**
 * Opens or creates a database and brings it to the newest version; an SQLite file is copied before that.
 *
 * @param where A postgres:// or postgresql:// URL, else the path of an SQLite file.
 * @param announce Told in a sentence where an old database is about to be changed.
 * @throws InputError for a newer version, a damaged file or a server that cannot be reached; never shows a password.
 */
export async function openDatabase(
  where: string,
  announce: (sentence: string) => void = (sentence) => console.error(sentence),
): Promise<Database> {
  const postgres = /^postgres(ql)?:\/\//i.test(where);
  const database = postgres ? await openPostgresDatabase(where) : openSqliteDatabase(where);
  const name = postgres ? nameOfServer(where) : where;
  try {
    if (await checkVersion(database, name) < newestVersion) await update(database, where, name, announce);
    await continueIds(database);
    return database;
  } catch (error) {
    await database.close();
    if (error instanceof InputError) throw error;
    throw new InputError(`${name}: the database cannot be used (${(error as Error).message}).`, { cause: error });
  }
}

/** @returns the database's version @throws InputError where a newer Prospect has written it */
async function checkVersion(database: Database, name: string): Promise<number> {
  const version = await versionOf(database, database.kind);
  if (version <= newestVersion) return version;
  throw new InputError(
    `${name}: the database is of version ${version}, written by a newer Prospect (this one knows ${newestVersion}); ` +
      `use that one, or another database.`,
  );
}

/** One process at a time; whoever comes second finds it done. */
async function update(
  database: Database,
  where: string,
  name: string,
  announce: (sentence: string) => void,
): Promise<void> {
  const lock = await lockMigration(database, name);
  try {
    const version = await checkVersion(database, name);
    if (version === newestVersion) return;
    const change = `${name}: the database goes from version ${version} to ${newestVersion}`;
    if (database.kind === "sqlite") {
      if (version > 0) announce(`${change}; as it was it is kept in ${await backUpSqlite(where, newestVersion)}.`);
      await migrate(database);
      return;
    }
    if (version > 0) announce(`${change}, a step at a time and each whole or not at all; pg_dump keeps it as it was.`);
    // What changes a large table takes as long as it takes.
    const unbounded = await openPostgresDatabase(where, 0);
    try {
      await migrate(unbounded);
    } finally {
      await unbounded.close();
    }
  } finally {
    await lock.release();
  }
}

async function lockMigration(database: Database, name: string): Promise<Lock> {
  const lock = await waitForLock(database, "migration", patience);
  if (lock) return lock;
  throw new InputError(`${name}: another process is still bringing the database up to date; wait for it.`);
}
