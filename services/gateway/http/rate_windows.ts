// Windows in which requests are counted, by a clock that nobody sets: a clock that is set back ends no window late. It does
// not know what is limited.

import type { Store } from "hono-rate-limiter";
import type { GatewayEnv } from "../gateway.ts";

/** Windows that are kept before those that are over are looked for. */
const many = 10_000;

/** @param length of a window, in milliseconds */
export function rateWindows(length: number): Store<GatewayEnv> {
  const windows = new Map<string, { hits: number; until: number }>();
  const windowOf = (key: string) => {
    const now = performance.now(), known = windows.get(key);
    if (known && known.until > now) return known;
    if (windows.size >= many) { for (const [key, { until }] of windows) if (until <= now) windows.delete(key); }
    const window = { hits: 0, until: now + length };
    windows.set(key, window);
    return window;
  };
  return {
    increment(key) {
      const window = windowOf(key);
      const resetTime = new Date(Date.now() + window.until - performance.now());
      return { totalHits: ++window.hits, resetTime };
    },
    decrement: (key) => void windowOf(key).hits--,
    resetKey: (key) => void windows.delete(key),
  };
}
