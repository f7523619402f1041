// Fans shares of work out to Web Workers and brings results back in order. A worker that throws or dies is named, its
// share is tried once more on a fresh worker, and a second failure ends the run. It does not know what the shares are.

import { type Remote, wrap } from "comlink";
import type { ModelWorker } from "./protocol.ts";

type Setup = (worker: Remote<ModelWorker>) => Promise<void>;

interface Member {
  name: string;
  thread: Worker;
  remote: Remote<ModelWorker>;
  /** Rejects when the thread dies. */
  death: Promise<never>;
}

/** A share of work failed twice. The message names both workers and what they said. */
export class WorkerFailure extends Error {}

/** Keeps `size` workers, each set up the same way. */
export class WorkerPool {
  #members: Member[] = [];
  #setups: Setup[] = [];
  #spawned = 0;

  private constructor(
    readonly size: number,
    readonly url: URL,
    readonly warn: (sentence: string) => void,
  ) {}

  /** Starts the workers. `url` is the module they run; tests give one that fails. */
  static async start(
    size: number,
    warn: (sentence: string) => void,
    url: URL = new URL("./model_worker.ts", import.meta.url),
  ): Promise<WorkerPool> {
    const pool = new WorkerPool(size, url, warn);
    pool.#members = await Promise.all(Array.from({ length: size }, () => pool.#spawn()));
    return pool;
  }

  async #spawn(): Promise<Member> {
    const name = `worker ${++this.#spawned}`;
    const thread = new Worker(this.url, { type: "module", name });
    const death = new Promise<never>((_, reject) => {
      thread.addEventListener("error", (event) => {
        event.preventDefault();
        reject(new Error(event.message || "it died"));
      });
      thread.addEventListener("messageerror", () => reject(new Error("a message to it could not be read")));
    });
    death.catch(() => {});
    const member = { name, thread, remote: wrap<ModelWorker>(thread), death };
    for (const setup of this.#setups) await Promise.race([setup(member.remote), death]);
    return member;
  }

  /** Runs `setup` in every worker, and in every worker that replaces one later. */
  async prepare(setup: Setup): Promise<void> {
    this.#setups.push(setup);
    await Promise.all(this.#members.map(({ remote, death }) => Promise.race([setup(remote), death])));
  }

  /**
   * Runs every share on some worker and returns the results in the order of the shares, whoever finished first.
   *
   * @throws WorkerFailure when a share failed on two workers.
   */
  async map<Share, Result>(
    shares: readonly Share[],
    run: (worker: Remote<ModelWorker>, share: Share) => Promise<Result>,
    onDone: (share: Share) => void = () => {},
  ): Promise<Result[]> {
    const results = new Array<Result>(shares.length);
    let next = 0;
    let failure: unknown;
    const serve = async (slot: number) => {
      while (next < shares.length && failure === undefined) {
        const index = next++;
        try {
          results[index] = await this.#attempt(slot, shares[index]!, run);
          onDone(shares[index]!);
        } catch (error) {
          failure ??= error;
        }
      }
    };
    await Promise.all(this.#members.map((_, slot) => serve(slot)));
    if (failure !== undefined) throw failure;
    return results;
  }

  async #attempt<Share, Result>(
    slot: number,
    share: Share,
    run: (worker: Remote<ModelWorker>, share: Share) => Promise<Result>,
  ): Promise<Result> {
    const first = this.#members[slot]!;
    try {
      return await Promise.race([run(first.remote, share), first.death]);
    } catch (error) {
      const why = (error as Error).message;
      this.warn(`${first.name} failed (${why}); its share is tried once more on a fresh worker.`);
      first.thread.terminate();
      let second: Member | undefined;
      try {
        second = this.#members[slot] = await this.#spawn();
        return await Promise.race([run(second.remote, share), second.death]);
      } catch (again) {
        const name = second?.name ?? "its replacement";
        throw new WorkerFailure(
          `${first.name} failed (${why}), then ${name} failed too (${(again as Error).message}).`,
        );
      }
    }
  }

  /** Ends all workers. */
  stop(): void {
    for (const { thread } of this.#members) thread.terminate();
    this.#members = [];
  }
}
