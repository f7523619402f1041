// A thread for what strangers wrote (templates, tokenizers, regular expressions, files): it may do only what it is given
// leave to, every call has a deadline, and after one that was missed the next call gets a fresh thread. It does not know
// what the calls do; the worker's module passes its functions to `exposeBounded`.

import type { Remote } from "comlink";
import { InputError } from "../shared/errors.ts";
import type { BoundedFunctions, BoundedWorker } from "./bounded.ts";
import { type Member, startMember } from "./member.ts";

/** A call took longer than it may. The message says how long that is: "it took longer than 2000 ms". */
export class DeadlineError extends Error {
  override readonly name = "DeadlineError";
}

/** Calls a function of the worker. Arguments and result are copied, as by a structured clone. */
export type SandboxCall<Face extends BoundedFunctions<Face>> = <Name extends keyof Face & string>(
  name: Name,
  args: Parameters<Face[Name]>,
  deadline: number,
) => Promise<ReturnType<Face[Name]>>;

/** What a sandboxed worker is started with. */
export interface SandboxOptions<Face extends BoundedFunctions<Face>> {
  /** What the thread may do; default: nothing at all. The module itself and what it imports need no leave. */
  permissions?: Deno.PermissionOptions;
  /** Readies every fresh thread before its first call. */
  setUp?: (call: SandboxCall<Face>) => Promise<void>;
}

/** How much later than the thread itself its owner notices that a deadline was missed, in milliseconds. */
const grace = 5000;

/** How long a thread may take to load its module, in milliseconds; no deadline counts that, however busy the machine is. */
const longestStart = 120_000;

/**
 * One thread, started at the first call and again after a missed deadline or a death. Calls wait for each other; a
 * deadline is counted from the moment that the thread is free.
 */
export class SandboxedWorker<Face extends BoundedFunctions<Face>> {
  #member: Promise<Member<BoundedWorker>> | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #ended = false;

  constructor(readonly url: URL, readonly name: string, readonly options: SandboxOptions<Face> = {}) {}

  /**
   * Calls a function of the worker.
   *
   * @param deadline milliseconds that the function may take
   * @throws {DeadlineError} where it takes longer
   * @throws {InputError} where the function threw one
   */
  call: SandboxCall<Face> = <Name extends keyof Face & string>(
    name: Name,
    args: Parameters<Face[Name]>,
    deadline: number,
  ) => {
    const result = this.#last.then(async () => {
      if (this.#ended) throw new Error(`${this.name} has ended.`);
      const member = await (this.#member ??= this.#start());
      return await this.#ask(member, name, args, deadline);
    });
    this.#last = result.catch(() => {});
    return result as Promise<ReturnType<Face[Name]>>;
  };

  /** Ends the thread; calls that wait fail. */
  end(): void {
    this.#ended = true;
    this.#drop();
  }

  async #start(): Promise<Member<BoundedWorker>> {
    const member = startMember<BoundedWorker>(this.url, this.name, this.options.permissions ?? "none");
    try {
      await this.#within(member, member.ready, longestStart);
      const call = (name: string, args: unknown[], deadline: number) => this.#ask(member, name, args, deadline);
      await this.options.setUp?.(call as SandboxCall<Face>);
    } catch (error) {
      member.end();
      this.#member = undefined;
      throw error;
    }
    return member;
  }

  /** What `work` of a thread comes to, unless the thread dies first or takes longer than `longest` milliseconds. */
  async #within<Result>(member: Member<BoundedWorker>, work: Promise<Result>, longest: number): Promise<Result> {
    let late: ReturnType<typeof setTimeout> | undefined;
    const overdue = new Promise<never>((_, reject) => {
      late = setTimeout(() => reject(new DeadlineError(`it took longer than ${longest} ms`)), longest);
    });
    const ended = member.death.catch((error: Error) => {
      throw new ThreadDied(`${this.name} failed: ${error.message}`);
    });
    try {
      return await Promise.race([work, ended, overdue]);
    } finally {
      clearTimeout(late);
    }
  }

  async #ask(member: Member<BoundedWorker>, name: string, args: unknown[], deadline: number): Promise<unknown> {
    const answer = (member.remote as Remote<BoundedWorker>).call(name, args, deadline);
    try {
      return await this.#within(member, answer, deadline + grace);
    } catch (thrown) {
      const error = thrown as Error;
      if (error.name === "InputError") throw new InputError(error.message);
      // What was cut short may have left anything behind: a fresh thread comes next.
      if (error.name === "DeadlineError" || error instanceof ThreadDied) this.#drop();
      throw error.name === "DeadlineError" ? new DeadlineError(`it took longer than ${deadline} ms`) : error;
    }
  }

  #drop(): void {
    this.#member?.then((member) => member.end(), () => {});
    this.#member = undefined;
  }
}

class ThreadDied extends Error {}
