// Waits for a lock of the store that others hold for a while. It does not know what is guarded by it.

import { setTimeout } from "node:timers/promises";
import type { Database, Lock } from "./queries.ts";

/** How often it is asked for, in milliseconds. */
const interval = 50;

/** @returns undefined where another has it for longer than that, in milliseconds */
export async function waitForLock(database: Database, name: string, longest: number): Promise<Lock | undefined> {
  for (const end = performance.now() + longest;; await setTimeout(interval)) {
    const lock = await database.lock(name);
    if (lock || performance.now() > end) return lock;
  }
}
