// Writes that wait share one transaction, a savepoint each: a disk that syncs a few hundred times a second then keeps
// thousands of writes a second. Knows the SQL of transactions and nothing of which database speaks it.

import { setImmediate } from "node:timers/promises";
import type { Queries } from "./queries.ts";

/** The one connection that writes. */
export interface WriteConnection extends Queries {
  /** Begins a transaction, once no other process writes. */
  begin(): Promise<void>;
  /** Runs statements that have no values and no rows. */
  execute(sql: string): Promise<void>;
  /** Gives the connection back; a broken one is not used again. */
  release(broken?: Error): void;
}

interface PendingWrite {
  work: (queries: Queries) => Promise<unknown>;
  resolve: (result: unknown) => void;
  reject: (error: unknown) => void;
}

/** Bounds how long the first of a group waits for the last. */
const mostWritesPerCommit = 256;

/** A queue of writes and the loop that commits them in groups, in order. */
export class GroupCommit {
  readonly #connect: () => Promise<WriteConnection>;
  #pending: PendingWrite[] = [];
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(connect: () => Promise<WriteConnection>) {
    this.#connect = connect;
  }

  /** Resolves with what `work` returns after its group is committed. */
  write<Result>(work: (queries: Queries) => Promise<Result>): Promise<Result> {
    if (this.#closed) return Promise.reject(new Error("The database is closed."));
    return new Promise<Result>((resolve, reject) => {
      this.#pending.push({ work, resolve: resolve as (result: unknown) => void, reject });
      this.#running ??= this.#commitAll();
    });
  }

  /** Takes no more writes and waits for those it has. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #commitAll(): Promise<void> {
    while (this.#pending.length > 0) {
      // Whoever is about to write in this turn of the event loop comes along.
      await setImmediate();
      await this.#commitGroup(this.#pending.splice(0, mostWritesPerCommit));
    }
    this.#running = undefined;
  }

  async #commitGroup(group: PendingWrite[]): Promise<void> {
    const settle: (() => void)[] = [];
    let connection: WriteConnection | undefined;
    try {
      connection = await this.#connect();
      await connection.begin();
      for (const { work, resolve, reject } of group) {
        await connection.execute("SAVEPOINT work");
        try {
          const result = await work(connection);
          await connection.execute("RELEASE SAVEPOINT work");
          settle.push(() => resolve(result));
        } catch (error) {
          await connection.execute("ROLLBACK TO SAVEPOINT work; RELEASE SAVEPOINT work");
          // Not before the commit: the reason may lie in an earlier write of the group, which may yet be lost.
          settle.push(() => reject(error));
        }
      }
      await connection.execute("COMMIT");
      connection.release();
    } catch (error) {
      // Where the database has ended the transaction by itself (a full disk), there is nothing to roll back.
      await connection?.execute("ROLLBACK").catch(() => {});
      connection?.release(error as Error);
      for (const { reject } of group) reject(error);
      return;
    }
    for (const tell of settle) tell();
  }
}
