// A Database in an SQLite file: one connection that writes in groups, another that reads only what is committed.
// Does not know the tables.

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { setTimeout } from "node:timers/promises";
import { InputError } from "../errors.ts";
import { lockFile } from "../file_lock.ts";
import { GroupCommit, type WriteConnection } from "./group_commit.ts";
import { checkText, type Database, type Lock, type Queries, type Value } from "./queries.ts";
import { openSqlite } from "./sqlite.ts";

/** How long a write waits for another process, in milliseconds. */
const patience = 30_000;
/** Statements kept per connection; queries are few, but filters combine. */
const mostStatements = 500;

/** @throws InputError when the file cannot be opened or is no database. */
export function openSqliteDatabase(path: string): Database {
  let writer: DatabaseSync, reader: DatabaseSync;
  try {
    writer = openSqlite(path, "FULL");
    // What a person asks to have deleted is overwritten. Waiting for another process must not stop the event loop.
    writer.exec("PRAGMA secure_delete = ON; PRAGMA busy_timeout = 0");
    reader = openSqlite(path, "FULL");
    reader.exec("PRAGMA query_only = ON");
  } catch (error) {
    throw new InputError(
      `${path}: the database cannot be opened (${(error as Error).message}); restore the file or name another.`,
    );
  }
  const connection = new SqliteWriter(writer);
  const writes = new GroupCommit(() => Promise.resolve(connection));
  const reads = new SqliteQueries(reader);
  let closed: Promise<void> | undefined;
  return {
    kind: "sqlite",
    all: (sql, values) => reads.all(sql, values),
    run: (sql, values) => writes.write((queries) => queries.run(sql, values)),
    write: (work) => writes.write(work),
    lock: (name) => lockBeside(`${path}.${name}.lock`),
    close: () =>
      closed ??= writes.close().then(() => {
        reader.close();
        writer.close();
      }),
  };
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

/** Queries of one connection, its statements prepared once. */
class SqliteQueries implements Queries {
  readonly #statements = new Map<string, { statement: StatementSync; order: number[] }>();

  constructor(protected readonly connection: DatabaseSync) {}

  all<Row>(sql: string, values: readonly Value[] = []): Promise<Row[]> {
    return Promise.try(() => {
      const { statement, order } = this.#prepare(sql);
      // Copies, because SQLite's rows have no prototype and PostgreSQL's have one.
      return statement.all(...inOrder(order, values)).map((row) => ({ ...row })) as Row[];
    });
  }

  run(sql: string, values: readonly Value[] = []): Promise<number> {
    return Promise.try(() => {
      const { statement, order } = this.#prepare(sql);
      return Number(statement.run(...inOrder(order, values)).changes);
    });
  }

  #prepare(sql: string): { statement: StatementSync; order: number[] } {
    let prepared = this.#statements.get(sql);
    if (!prepared) {
      if (this.#statements.size >= mostStatements) this.#statements.clear();
      const order: number[] = [];
      const statement = this.connection.prepare(sql.replace(/\$(\d+)/g, (_, number) => {
        order.push(Number(number) - 1);
        return "?";
      }));
      prepared = { statement, order };
      this.#statements.set(sql, prepared);
    }
    return prepared;
  }
}

function inOrder(order: readonly number[], values: readonly Value[]): Value[] {
  for (const value of values) if (typeof value === "string") checkText(value);
  return order.map((at) => values[at] as Value);
}

class SqliteWriter extends SqliteQueries implements WriteConnection {
  async begin(): Promise<void> {
    const end = Date.now() + patience;
    for (;;) {
      try {
        return this.connection.exec("BEGIN IMMEDIATE");
      } catch (error) {
        if (!/locked|busy/.test((error as Error).message) || Date.now() > end) throw error;
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
