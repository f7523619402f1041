// A Database in an SQLite file: one connection that writes in groups, others that read only what is committed: threads of
// their own, and one here for what is found by its key. Does not know the tables.

import type { DatabaseSync } from "node:sqlite";
import { setTimeout } from "node:timers/promises";
import { InputError } from "../errors.ts";
import { lockFile } from "../file_lock.ts";
import { GroupCommit, type WriteConnection } from "./group_commit.ts";
import {
  checkText,
  type Database,
  type Durability,
  type Isolation,
  type Lock,
  type Queries,
  type Value,
} from "./queries.ts";
import { openSqlite } from "./sqlite.ts";
import { SqliteReads } from "./sqlite_reads.ts";
import { asSqliteError, isBusy, SqliteStatements } from "./sqlite_statements.ts";

/** How long a write waits for another process, in milliseconds. */
const patience = 5_000;

/** @throws InputError when the file cannot be opened or is no database. */
export function openSqliteDatabase(path: string): Database {
  let writer: DatabaseSync, reader: DatabaseSync;
  try {
    writer = openSqlite(path, "FULL");
    // What a person asks to have deleted is overwritten. Waiting for another process must not stop the event loop.
    writer.exec("PRAGMA secure_delete = ON; PRAGMA busy_timeout = 0");
    reader = openSqlite(path, "FULL");
    reader.exec("PRAGMA query_only = ON; PRAGMA busy_timeout = 0");
  } catch (error) {
    throw new InputError(
      `${path}: the database cannot be opened (${(error as Error).message}); restore the file or name another.`,
    );
  }
  const connection = new SqliteWriter(writer);
  const writes = new GroupCommit(() => Promise.resolve(connection), asSqliteError);
  const byKey = new SqliteStatements(reader), reads = new SqliteReads(path);
  const ask = async (sql: string, values: readonly Value[] = [], long = false) => {
    checkValues(values);
    return await reads.all(sql, values, long).catch((error) => {
      throw asSqliteError(error);
    });
  };
  let closed: Promise<void> | undefined;
  return {
    kind: "sqlite",
    all: <Row>(sql: string, values?: readonly Value[]) => ask(sql, values) as Promise<Row[]>,
    scan: <Row>(sql: string, values?: readonly Value[]) => ask(sql, values, true) as Promise<Row[]>,
    async get<Row>(sql: string, values: readonly Value[] = []) {
      checkValues(values);
      try {
        return first<Row>(byKey.all(sql, values));
      } catch (error) {
        // A thread can wait for whoever locks the file.
        if (!isBusy(error)) throw asSqliteError(error);
        return first<Row>(await ask(sql, values));
      }
    },
    run: (sql, values) => writes.write((queries) => queries.run(sql, values)),
    write: (work, isolation, durability) => writes.write(work, isolation, durability),
    // Writes take turns, so numbers are given out in the order of the commits.
    settled: () => Promise.resolve(),
    emptyLog: () => emptyLog(reader, (sql) => ask(sql, [], true)),
    lock: (name) => lockBeside(`${path}.${name}.lock`),
    close: () =>
      closed ??= writes.close().then(() => reads.close()).then(() => {
        reader.close();
        writer.close();
      }),
  };
}

/** A thread brings the most of it into the file; what writers wait for is short then. */
async function emptyLog(connection: DatabaseSync, ask: (sql: string) => Promise<unknown>): Promise<boolean> {
  for (const end = performance.now() + patience; performance.now() < end; await setTimeout(20)) {
    await ask("PRAGMA wal_checkpoint(PASSIVE)");
    try {
      if (connection.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get()?.busy === 0) return true;
    } catch (error) {
      if (!isBusy(error)) throw asSqliteError(error);
    }
  }
  return false;
}

/** A lock on a file beside the database. */
async function lockBeside(path: string): Promise<Lock | undefined> {
  const file = await lockFile(path);
  if (!file) return undefined;
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const release = () => {
    file.close();
    resolve();
    return ended;
  };
  return { ended, release };
}

function checkValues(values: readonly Value[]): void {
  for (const value of values) if (typeof value === "string") checkText(value);
}

/** A copy, because SQLite's rows have no prototype and PostgreSQL's have one. */
function first<Row>([row]: Record<string, unknown>[]): Row | undefined {
  return row && { ...row } as Row;
}

class SqliteWriter implements Queries, WriteConnection {
  readonly #statements: SqliteStatements;

  constructor(private readonly connection: DatabaseSync) {
    this.#statements = new SqliteStatements(connection);
  }

  all<Row>(sql: string, values: readonly Value[] = []): Promise<Row[]> {
    return Promise.try(() => {
      checkValues(values);
      return this.#statements.all(sql, values).map((row) => ({ ...row })) as Row[];
    });
  }

  async get<Row>(sql: string, values: readonly Value[] = []): Promise<Row | undefined> {
    return (await this.all<Row>(sql, values))[0];
  }

  run(sql: string, values: readonly Value[] = []): Promise<number> {
    return Promise.try(() => {
      checkValues(values);
      return this.#statements.run(sql, values);
    });
  }

  /** Writes take turns, so each is alone. */
  #durability: Durability = "now";

  async begin(_: Isolation, durability: Durability): Promise<void> {
    // In a write-ahead log, what is not synced now is with the next commit that is.
    if (durability !== this.#durability) {
      this.connection.exec(`PRAGMA synchronous = ${durability === "now" ? "FULL" : "NORMAL"}`);
      this.#durability = durability;
    }
    const end = performance.now() + patience;
    for (;;) {
      try {
        return this.connection.exec("BEGIN IMMEDIATE");
      } catch (error) {
        if (!isBusy(error) || performance.now() > end) throw error;
        await setTimeout(2);
      }
    }
  }

  execute(sql: string): Promise<void> {
    return Promise.try(() => this.connection.exec(sql));
  }

  release(): void {
    // There is one, and it is kept.
  }
}
