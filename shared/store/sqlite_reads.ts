// Reads of an SQLite file off the thread that answers requests: two threads take questions in turn, and
// one of them at most a long one, so that others find a thread. Does not know what is asked.

import type { Value } from "./queries.ts";
import type { ReaderAnswer, ReaderEnd, ReaderQuestion, ReaderStart } from "./sqlite_reader.ts";
import { StoreUnavailableError } from "./unavailable.ts";

const mostThreads = 2;

interface Pending extends ReaderQuestion {
  long: boolean;
  resolve: (rows: Record<string, unknown>[]) => void;
  reject: (error: Error) => void;
}

interface Thread {
  worker: Worker;
  /** What it is answering. */
  at: Pending | undefined;
}

/** Threads that are started when they are first needed. */
export class SqliteReads {
  readonly #path: string;
  readonly #threads = new Set<Thread>();
  #waiting: Pending[] = [];
  #closing: (() => void) | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * The rows of a statement.
   *
   * @param long whether it may take long: such are answered one after the other
   * @throws Error with SQLite's message, StoreUnavailableError where the thread died
   */
  all(sql: string, values: readonly Value[], long: boolean): Promise<Record<string, unknown>[]> {
    if (this.#closing) return Promise.reject(new Error("The database is closed."));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ sql, values, long, resolve, reject });
      this.#dispatch();
    });
  }

  /** Takes no more questions, answers those it has, and ends the threads. */
  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#closing = resolve;
      this.#closeIfIdle();
    });
    await Promise.all(
      [...this.#threads].map(({ worker }) =>
        new Promise<void>((resolve) => {
          worker.onmessage = worker.onerror = () => resolve();
          worker.postMessage({ end: true } satisfies ReaderEnd);
        }).then(() => worker.terminate())
      ),
    );
    this.#threads.clear();
  }

  #dispatch(): void {
    for (;;) {
      const longUnderWay = [...this.#threads].some(({ at }) => at?.long);
      const next = this.#waiting.findIndex(({ long }) => !long || !longUnderWay);
      if (next < 0) return;
      const free = [...this.#threads].find(({ at }) => at === undefined) ??
        (this.#threads.size < mostThreads ? this.#start() : undefined);
      if (!free) return;
      const [asked] = this.#waiting.splice(next, 1);
      free.at = asked!;
      free.worker.postMessage({ sql: asked!.sql, values: asked!.values } satisfies ReaderQuestion);
    }
  }

  #start(): Thread {
    const worker = new Worker(new URL("./sqlite_reader.ts", import.meta.url), { type: "module" });
    const thread: Thread = { worker, at: undefined };
    this.#threads.add(thread);
    worker.postMessage({ path: this.#path } satisfies ReaderStart);
    worker.onmessage = ({ data }: MessageEvent<ReaderAnswer>) => {
      const asked = thread.at!;
      thread.at = undefined;
      if ("error" in data) asked.reject(new Error(data.error));
      else asked.resolve(data.rows);
      this.#next();
    };
    worker.onerror = (event) => {
      event.preventDefault();
      this.#threads.delete(thread);
      worker.terminate();
      thread.at?.reject(new StoreUnavailableError(`the thread that reads has ended: ${event.message}`));
      this.#next();
    };
    return thread;
  }

  #next(): void {
    this.#dispatch();
    this.#closeIfIdle();
  }

  #closeIfIdle(): void {
    const idle = this.#waiting.length === 0 && [...this.#threads].every(({ at }) => at === undefined);
    if (idle) this.#closing?.();
  }
}
