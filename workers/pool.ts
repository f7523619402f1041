// Fans shares of work out to Web Workers and brings results back in order. A worker that throws or dies is named, its
// share or set-up is tried once more on a fresh worker, and a second failure ends the run. It does not know what the
// shares are.

import type { Remote } from "comlink";
import { type Member, startMember } from "./member.ts";
import type { ModelWorker } from "./protocol.ts";

type Setup = (worker: Remote<ModelWorker>) => Promise<void>;

/** Work failed twice. The message names both workers and what they said. */
export class WorkerFailure extends Error {}

/** How long a stopping worker may compute on before it is ended all the same, in milliseconds. */
const patience = 2000;

/** Keeps `size` workers, each set up the same way. */
export class WorkerPool {
  #members: Member<ModelWorker>[] = [];
  #setups: Setup[] = [];
  #spawned = 0;
  #stopped = false;

  private constructor(
    readonly size: number,
    readonly url: URL,
    readonly warn: (sentence: string) => void,
  ) {}

  /** Starts the workers. `url` is the module they run; tests give one that fails. */
  static start(
    size: number,
    warn: (sentence: string) => void,
    url: URL = new URL("./model_worker.ts", import.meta.url),
  ): Promise<WorkerPool> {
    const pool = new WorkerPool(size, url, warn);
    pool.#members = Array.from({ length: size }, () => pool.#spawn());
    return Promise.resolve(pool);
  }

  #spawn(): Member<ModelWorker> {
    return startMember(this.url, `worker ${++this.#spawned}`);
  }

  /**
   * Runs `setup` in every worker, and in every worker that replaces one later.
   *
   * @throws WorkerFailure when it failed on a worker and on its replacement.
   */
  async prepare(setup: Setup): Promise<void> {
    this.#setups.push(setup);
    // A replacement has had all set-ups, this one too, before it is asked for anything else.
    const done = () => Promise.resolve();
    await Promise.all(this.#members.map((_, slot) => this.#attempt(slot, "set-up", setup, done)));
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
          results[index] = await this.#attempt(slot, "share", (worker) => run(worker, shares[index]!));
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

  /** Does `work` on the slot's worker; where that fails, `again` on a fresh one. `what` is the work's name in the warning. */
  async #attempt<Result>(
    slot: number,
    what: string,
    work: (worker: Remote<ModelWorker>) => Promise<Result>,
    again: (worker: Remote<ModelWorker>) => Promise<Result> = work,
  ): Promise<Result> {
    const first = this.#members[slot]!;
    try {
      return await Promise.race([work(first.remote), first.death]);
    } catch (error) {
      if (this.#stopped) throw error;
      const why = (error as Error).message;
      this.warn(`${first.name} failed (${why}); its ${what} is tried once more on a fresh worker.`);
      first.end();
      const { name, remote, death } = this.#members[slot] = this.#spawn();
      try {
        for (const setup of this.#setups) await Promise.race([setup(remote), death]);
        return await Promise.race([again(remote), death]);
      } catch (second) {
        throw new WorkerFailure(
          `${first.name} failed (${why}), then ${name} failed too (${(second as Error).message}).`,
        );
      }
    }
  }

  /** Ends all workers, after they have given back their sessions: what ONNX Runtime maps outlives a thread. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const members = this.#members.splice(0);
    let waited: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => waited = setTimeout(resolve, patience));
    await Promise.race([
      late,
      Promise.allSettled(members.map(({ remote, death }) => Promise.race([remote.release(), death]))),
    ]);
    clearTimeout(waited);
    for (const member of members) member.end();
  }
}
