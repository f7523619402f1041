// The inside of a sandboxed worker: its functions, each under the deadline of the call. It does not know what they do.
//
// A deadline has to be kept in here: Deno's `terminate` waits for a thread to be idle (denoland/deno#35657), so that from
// outside nothing ends a regular expression or a template that loops.

import { createContext, Script } from "node:vm";
import { expose } from "comlink";
import type { Lifeline } from "./member.ts";

/**
 * What a sandboxed worker does, by name. The functions are synchronous: what came after an `await` would be computed
 * beyond the deadline.
 */
export type BoundedFunctions<Face> = { [Name in keyof Face]: (...args: never[]) => unknown };

/** The face of every sandboxed worker. */
export interface BoundedWorker extends Lifeline {
  /** Calls a function; throws an error of the name `DeadlineError` where it has not ended `deadline` milliseconds later. */
  call(name: string, args: unknown[], deadline: number): unknown;
}

/** Serves `functions` to the thread that started this one. */
export function exposeBounded(functions: Record<string, (...args: never[]) => unknown>): void {
  let lifeline: MessagePort | undefined;
  const worker: BoundedWorker = {
    hold(port) {
      lifeline?.close();
      lifeline = port;
    },
    call(name, args, deadline) {
      const result = within(deadline, () => functions[name]!(...args as never[]));
      if (result instanceof Promise) throw new TypeError(`${name} is not synchronous: its deadline would not hold.`);
      return result;
    },
  };
  expose(worker);
}

const slot = createContext({ work: undefined as (() => unknown) | undefined });
const runSlot = new Script("work()");

/** Calls `work`, and ends it where it takes longer than `deadline` milliseconds, whatever it loops in. */
function within(deadline: number, work: () => unknown): unknown {
  slot["work"] = work;
  try {
    return runSlot.runInContext(slot, { timeout: deadline });
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error;
    const passed = new Error(`it took longer than ${deadline} ms`);
    passed.name = "DeadlineError";
    throw passed;
  } finally {
    slot["work"] = undefined;
  }
}
