// Reference log-probs in SQLite, keyed by content: base weights, tokenizer, template and token ids. The same row scored
// under the same model is found again after a re-shuffle, in a new run, with new rows beside it. It does not know how
// log-probs are computed.

import { createHash } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { InputError } from "../errors.ts";
import type { Sequence } from "../feedback/micro_batch.ts";
import { openSqlite } from "./sqlite.ts";

const schemaVersion = 1;

/** Key of a sequence under a model: sha-256 of the model's key and the ids. */
export function sequenceKey(modelKey: string, { promptIds, completionIds }: Sequence): Uint8Array {
  const hash = createHash("sha256").update(modelKey);
  hash.update(new Uint8Array(Int32Array.of(promptIds.length, ...promptIds, ...completionIds).buffer));
  return hash.digest();
}

/** Per-token log-probs of completions by key. */
export class ReferenceCache {
  #database: DatabaseSync;
  readonly #path: string;

  private constructor(path: string, database: DatabaseSync) {
    this.#path = path;
    this.#database = database;
  }

  /**
   * Opens or creates the cache file.
   *
   * @throws InputError when the file is damaged, of another version or cannot be written, saying how to mend it.
   */
  static open(path: string): ReferenceCache {
    try {
      const database = openSqlite(path, "NORMAL");
      const cache = new ReferenceCache(path, database);
      const version = database.prepare("PRAGMA user_version").get()?.user_version;
      if (version !== 0 && version !== schemaVersion) {
        database.close();
        throw new InputError(
          `${path}: the reference cache was written by another version of Prospect (${version}); delete it or set PROSPECT_CACHE.`,
        );
      }
      if (version === 0) {
        database.exec(
          `BEGIN IMMEDIATE;
           CREATE TABLE IF NOT EXISTS reference (key BLOB PRIMARY KEY, log_probs BLOB NOT NULL) WITHOUT ROWID;
           PRAGMA user_version = ${schemaVersion};
           COMMIT;`,
        );
      }
      return cache;
    } catch (error) {
      throw ReferenceCache.#explain(path, error);
    }
  }

  static #explain(path: string, error: unknown): unknown {
    if (error instanceof InputError) return error;
    return new InputError(
      `${path}: the reference cache cannot be used (${
        (error as Error).message
      }); delete the file (it is computed again) ` +
        `or set PROSPECT_CACHE to another folder.`,
    );
  }

  /** Log-probs per token of each key that is there, with `tokens` of them as a check. */
  find(key: Uint8Array, tokens: number): Float32Array | undefined {
    try {
      const row = this.#database.prepare("SELECT log_probs FROM reference WHERE key = ?").get(key);
      const bytes = row?.log_probs as Uint8Array | undefined;
      if (!bytes || bytes.length !== tokens * 4) return undefined;
      return new Float32Array(bytes.slice().buffer);
    } catch (error) {
      throw ReferenceCache.#explain(this.#path, error);
    }
  }

  /** Stores log-probs, all or nothing. */
  store(entries: { key: Uint8Array; logProbs: Float32Array }[]): void {
    try {
      const insert = this.#database.prepare("INSERT OR REPLACE INTO reference (key, log_probs) VALUES (?, ?)");
      this.#database.exec("BEGIN IMMEDIATE");
      try {
        for (const { key, logProbs } of entries) {
          insert.run(key, new Uint8Array(logProbs.buffer, logProbs.byteOffset, logProbs.byteLength));
        }
        this.#database.exec("COMMIT");
      } catch (error) {
        this.#database.exec("ROLLBACK");
        throw error;
      }
    } catch (error) {
      throw ReferenceCache.#explain(this.#path, error);
    }
  }

  close(): void {
    this.#database.close();
  }
}
