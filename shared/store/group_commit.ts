// Writes that wait share one transaction, a savepoint each: a disk that syncs a few hundred times a second then keeps
// thousands of writes a second. A group that met another process's writes is run again. Knows the SQL of transactions and
// nothing of which database speaks it.

import { setImmediate, setTimeout } from "node:timers/promises";
import type { Durability, Isolation, Queries } from "./queries.ts";
import { StoreUnavailableError } from "./unavailable.ts";

/** The one connection of a process that writes. */
export interface WriteConnection extends Queries {
  /** Begins a transaction. */
  begin(isolation: Isolation, durability: Durability): Promise<void>;
  /** Runs statements that have no values and no rows. */
  execute(sql: string): Promise<void>;
  /** Gives the connection back; a broken one is not used again. */
  release(broken?: Error): void;
}

/** A group met another process's writes: all of it is undone, and done again it may succeed. */
export class ConflictError extends StoreUnavailableError {}

/** A row of that key is there, which another process may have added since the write began: done again it may see it. */
export class DuplicateError extends Error {}

interface PendingWrite {
  work: (queries: Queries) => Promise<unknown>;
  resolve: (result: unknown) => void;
  reject: (error: unknown) => void;
  isolation: Isolation;
  durability: Durability;
  /** It has met a duplicate once. */
  again: boolean;
}

/** Bounds how long the first of a group waits for the last. */
const mostWritesPerCommit = 256;

/** Times that a group is tried; each waits longer than the one before, by chance up to this, in milliseconds. */
const mostTries = 12, longestWait = 400;

/**
 * Milliseconds that groups follow one another without a rest of the event loop. As long as the loop always has something to
 * do, Deno's runtime looks for what has come over the network in every 61st turn only: an import's thousands of small
 * writes in a row kept requests waiting for seconds.
 */
const longestWithoutRest = 10;

/** Groups that are further apart than this, in milliseconds, do not follow one another. */
const pauseBetweenGroups = 2;

/** A queue of writes and the loop that commits them in groups, in order. */
export class GroupCommit {
  readonly #connect: () => Promise<WriteConnection>;
  readonly #asError: (error: unknown) => unknown;
  #pending: PendingWrite[] = [];
  #running: Promise<void> | undefined;
  #closed = false;
  #committedAt = 0;
  #restedAt = 0;

  /** @param asError What an error of the database is: a ConflictError, a StoreUnavailableError, or itself. */
  constructor(connect: () => Promise<WriteConnection>, asError: (error: unknown) => unknown) {
    this.#connect = connect;
    this.#asError = asError;
  }

  /** Resolves with what `work` returns after its group is committed. */
  write<Result>(
    work: (queries: Queries) => Promise<Result>,
    isolation: Isolation = "serial",
    durability: Durability = "now",
  ): Promise<Result> {
    if (this.#closed) return Promise.reject(new Error("The database is closed."));
    return new Promise<Result>((resolve, reject) => {
      const settle = { resolve: resolve as (result: unknown) => void, reject };
      this.#pending.push({ work, ...settle, isolation, durability, again: false });
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
      await this.#rest();
      const group = this.#nextGroup();
      try {
        for (const tell of await this.#commitGroup(group)) tell();
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
      this.#committedAt = performance.now();
    }
    this.#running = undefined;
  }

  /** Lets the event loop rest where one group has followed another for a while. */
  async #rest(): Promise<void> {
    const now = performance.now();
    if (now - this.#committedAt > pauseBetweenGroups) this.#restedAt = now;
    if (now - this.#restedAt < longestWithoutRest) return;
    await setTimeout(1);
    this.#restedAt = performance.now();
  }

  /** The first writes that wait, as far as they see others alike. */
  #nextGroup(): PendingWrite[] {
    const [first] = this.#pending;
    const other = this.#pending.findIndex(({ isolation }) => isolation !== first!.isolation);
    return this.#pending.splice(0, Math.min(other < 0 ? Infinity : other, mostWritesPerCommit));
  }

  /** @returns what is then to be told to those who wrote */
  async #commitGroup(group: readonly PendingWrite[]): Promise<(() => void)[]> {
    for (let wait = 5, tries = 1;; wait = Math.min(longestWait, 2 * wait), tries++) {
      try {
        return await this.#tryGroup(group);
      } catch (thrown) {
        const error = this.#asError(thrown);
        if (!(error instanceof ConflictError)) throw error;
        if (tries === mostTries) {
          throw new StoreUnavailableError("it met the writes of other processes again and again", error);
        }
        await setTimeout(wait * Math.random());
      }
    }
  }

  async #tryGroup(group: readonly PendingWrite[]): Promise<(() => void)[]> {
    const settle: (() => void)[] = [];
    let connection: WriteConnection | undefined;
    try {
      connection = await this.#connect();
      await connection.begin(
        group[0]!.isolation,
        group.some(({ durability }) => durability === "now") ? "now" : "later",
      );
      for (const write of group) settle.push(await this.#tryWrite(connection, write));
      await connection.execute("COMMIT");
      connection.release();
      return settle;
    } catch (error) {
      // Where the database has ended the transaction by itself (a full disk), there is nothing to roll back.
      const conflict = this.#asError(error) instanceof ConflictError;
      const rolledBack = await connection?.execute("ROLLBACK").then(() => true, () => false);
      connection?.release(conflict && rolledBack ? undefined : error as Error);
      throw error;
    }
  }

  /** @returns what is told once the group is committed: the reason of a failure may lie in an earlier write of it */
  async #tryWrite(connection: WriteConnection, write: PendingWrite): Promise<() => void> {
    const { resolve, reject } = write;
    await connection.execute("SAVEPOINT work");
    try {
      const result = await write.work(connection);
      await connection.execute("RELEASE SAVEPOINT work");
      return () => resolve(result);
    } catch (thrown) {
      const error = this.#asError(thrown);
      if (error instanceof ConflictError) throw error;
      // A transaction that cannot be gone on with has ended for the same reason.
      await connection.execute("ROLLBACK TO SAVEPOINT work; RELEASE SAVEPOINT work").catch((lost) => {
        throw this.#asError(lost) instanceof ConflictError ? lost : error;
      });
      if (!(error instanceof DuplicateError)) return () => reject(error);
      if (write.again) return () => reject(error.cause);
      write.again = true;
      return () => void this.#pending.push(write);
    }
  }
}
