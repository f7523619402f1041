// Opens the store's database, SQLite or PostgreSQL behind one query layer. Does not know what is stored in it
// (migrations.ts has the tables) or how either is spoken to.

import { InputError } from "../errors.ts";
import { migrate } from "./migrations.ts";
import { nameOfServer, openPostgresDatabase } from "./postgres_database.ts";
import type { Database } from "./queries.ts";
import { openSqliteDatabase } from "./sqlite_database.ts";

export type { Database, Lock, Queries, Value } from "./queries.ts";

/**
 * Opens or creates a database and brings it to the newest version.
 *
 * @param where A postgres:// or postgresql:// URL, else the path of an SQLite file.
 * @throws InputError for a newer version, a damaged file or a server that cannot be reached; never shows a password.
 */
export async function openDatabase(where: string): Promise<Database> {
  const postgres = /^postgres(ql)?:\/\//i.test(where);
  const database = postgres ? await openPostgresDatabase(where) : openSqliteDatabase(where);
  const name = postgres ? nameOfServer(where) : where;
  try {
    await migrate(database, name);
    return database;
  } catch (error) {
    await database.close();
    if (error instanceof InputError) throw error;
    throw new InputError(`${name}: the database cannot be used (${(error as Error).message}).`, { cause: error });
  }
}
