// What the rest of the store sees of a database, whichever it is. Knows nothing of tables or of how either is spoken to.

import { InputError } from "../errors.ts";

/** What a column holds and a placeholder takes. Text must be well-formed and without NUL, which no database keeps. */
export type Value = string | number | null;

/** Plain SQL that both databases understand, with `$1` … as placeholders. */
export interface Queries {
  /** The rows of a statement, under the names it gives its columns. */
  all<Row>(sql: string, values?: readonly Value[]): Promise<Row[]>;
  /** The only row, for a statement that a unique index answers: it is not worth the way to a thread that reads. */
  get<Row>(sql: string, values?: readonly Value[]): Promise<Row | undefined>;
  /** Rows changed. */
  run(sql: string, values?: readonly Value[]): Promise<number>;
}

/** What one holder at a time has, among all processes that use the database. */
export interface Lock {
  /** Resolves when it is given back, or lost: its holder then ends what it guards. */
  readonly ended: Promise<void>;
  release(): Promise<void>;
}

/**
 * What a write sees of others under way. "snapshot" is for the many small ones: of two that change the same row, or add
 * one of the same key, one is run again after the other, but each may miss rows of other keys that the other adds.
 */
export type Isolation = "serial" | "snapshot";

/**
 * When a write is safe from a power cut: "now", before it resolves, or "later", with the next write that is. Everybody
 * sees it at once either way, and the death of a process takes nothing of it.
 */
export type Durability = "now" | "later";

/**
 * A database. Its own queries see what is committed and never half a write; `run` is a write of one statement. Where it is
 * lost, full, locked or too slow, everything asked of it rejects with StoreUnavailableError, until it is there again.
 */
export interface Database extends Queries {
  readonly kind: "sqlite" | "postgres";
  /** As `all`, for what may look through a whole table: where reads share threads, one holds no more than one of them. */
  scan<Row>(sql: string, values?: readonly Value[]): Promise<Row[]>;
  /**
   * Runs `work` atomically; resolves only once it is durable on disk. Writes that wait share the next commit, and one that
   * fails takes nothing else with it. `work` must ask its own `queries` only (the database would wait for it, and it for
   * the database) and should wait for nothing else: every other write of this process waits for it. It may be called
   * again, after all that it changed was undone, so it changes nothing but the database.
   *
   * @param isolation "serial", the default: as if no other write were under way, in whichever process.
   * @param durability "now", the default.
   * @throws What `work` throws, its changes undone.
   */
  write<Result>(
    work: (queries: Queries) => Promise<Result>,
    isolation?: Isolation,
    durability?: Durability,
  ): Promise<Result>;
  /**
   * Waits until the writes to a table that are under way now have ended, in every process: numbers that its sequence has
   * given out by now are committed then, or never will be.
   */
  settled(table: string): Promise<void>;
  /**
   * Brings what SQLite's log still holds into the database file and empties the log, so that what was deleted is in
   * neither; PostgreSQL's log is its server's.
   *
   * @returns false where somebody reads for so long that it has to be asked again
   */
  emptyLog(): Promise<boolean>;
  /** Takes the lock of that name, which dies with its holder; undefined where another has it. */
  lock(name: string): Promise<Lock | undefined>;
  /** Closes after the writes that are under way; a second time it does nothing. */
  close(): Promise<void>;
}

/**
 * @param text A value on its way to a database.
 * @throws InputError where neither database would give it back as it is.
 */
export function checkText(text: string): void {
  if (text.includes("\0") || !text.isWellFormed()) {
    throw new InputError("Text with a NUL character or half a surrogate pair cannot be stored: leave it out.");
  }
}
