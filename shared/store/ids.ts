// Identifiers that sort by the time they were made. Knows nothing of what they name.

import { randomBytes } from "node:crypto";

let lastTime = 0;
let count = 0;

/** Identifiers from now on sort after those that were made at a time, in milliseconds since 1970. */
export function continueAfter(time: number): void {
  if (time < lastTime) return;
  lastTime = time + 1;
  count = 0;
}

/**
 * `prefix` and 36 hexadecimal digits: 12 of the time in milliseconds, 4 that count within it (so that one process's
 * identifiers sort as they were made, also where its clock is set back), 20 random ones.
 */
export function timeOrderedId(prefix: string): string {
  const now = Date.now();
  if (now > lastTime) {
    lastTime = now;
    count = 0;
  } else if (++count > 0xffff) {
    lastTime++;
    count = 0;
  }
  return prefix + lastTime.toString(16).padStart(12, "0") + count.toString(16).padStart(4, "0") +
    randomBytes(10).toString("hex");
}
