// Statements of one SQLite connection, prepared once, and what its errors mean. Does not know who asks, or in which
// thread.

import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Value } from "./queries.ts";
import { StoreUnavailableError } from "./unavailable.ts";

/** Statements kept per connection; queries are few, but filters combine. */
const mostStatements = 500;

interface Prepared {
  statement: StatementSync;
  /** The place in `values` of each placeholder. */
  order: number[];
}

/** Runs SQL with `$1` … as placeholders. */
export class SqliteStatements {
  readonly #prepared = new Map<string, Prepared>();

  constructor(private readonly connection: DatabaseSync) {}

  /** Rows, which have no prototype. */
  all(sql: string, values: readonly Value[]): Record<string, unknown>[] {
    const { statement, order } = this.#prepare(sql);
    return statement.all(...order.map((at) => values[at] as Value));
  }

  /** Rows changed. */
  run(sql: string, values: readonly Value[]): number {
    const { statement, order } = this.#prepare(sql);
    return Number(statement.run(...order.map((at) => values[at] as Value)).changes);
  }

  #prepare(sql: string): Prepared {
    let prepared = this.#prepared.get(sql);
    if (!prepared) {
      if (this.#prepared.size >= mostStatements) this.#prepared.clear();
      const order: number[] = [];
      const statement = this.connection.prepare(sql.replace(/\$(\d+)/g, (_, number) => {
        order.push(Number(number) - 1);
        return "?";
      }));
      prepared = { statement, order };
      this.#prepared.set(sql, prepared);
    }
    return prepared;
  }
}

/** SQLite says so of a file that others hold, a full disk, a failing one, and a file or folder that may not be written. */
const passing = /database (table )?is locked|database or disk is full|disk I\/O error|unable to open database|readonly/;

/** Another process or connection holds the file. */
export const isBusy = (error: unknown): boolean => /is locked|is busy/.test((error as Error).message);

/** What an error of SQLite is to those who asked: one that may pass, or itself. */
export function asSqliteError(error: unknown): unknown {
  const { message } = error as Error;
  return passing.test(message) ? new StoreUnavailableError(message, error) : error;
}
