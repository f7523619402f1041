// The hostile clients of a soak, in a thread of their own so that what they do costs the honest clients' clocks nothing. It
// knows no ways; it keeps so many attempts of each under way.

import { expose } from "comlink";
import { setTimeout as wait } from "node:timers/promises";
import { type Target, ways } from "./hostile.ts";

/** Attempts so far, by way. */
export type Attempts = Record<string, number>;

const stopping = new AbortController(), attempts: Attempts = {}, running: Promise<void>[] = [];

const hostile = {
  /** Keeps `each` attempts of every way under way until `stop`. */
  start(target: Target, each: number): void {
    for (const [name, way] of Object.entries(ways)) {
      attempts[name] = 0;
      for (let index = 0; index < each; index++) {
        running.push((async () => {
          while (!stopping.signal.aborted) {
            attempts[name]!++;
            await way(target, stopping.signal);
            // Who is turned away at once comes back, but not a thousand times a second.
            await wait(500, undefined, { signal: stopping.signal }).catch(() => {});
          }
        })());
      }
    }
  },
  async stop(): Promise<Attempts> {
    stopping.abort();
    await Promise.all(running);
    return attempts;
  },
};

export type HostileClients = typeof hostile;

expose(hostile);
