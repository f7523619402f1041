// Gives memory back to the system that is free but still held: what the C library keeps of closed sessions and of the
// last step, and what JavaScript has not collected yet. It changes no result, and does not know who used the memory.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { openLibc } from "../libc.ts";

/** glibc's malloc_trim; other C libraries have none, and keep less. */
const openTrim = () => openLibc({ malloc_trim: { parameters: ["usize"], result: "i32" } })?.malloc_trim;

let trim: ReturnType<typeof openTrim> | null = null;

/** Returns what native code has freed: allocators keep it, for each thread by itself. */
export function returnFreedMemory(): void {
  if (trim === null) trim = openTrim();
  trim?.(0n);
}

/** Collects garbage first: a compilation leaves hundreds of megabytes that nothing later would make V8 look for. */
export function returnAllMemory(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  returnFreedMemory();
}
