// Tries again what may pass by itself, with a growing pause. It does not know what is tried.

import { formatSeconds } from "../../progress.ts";

/** How long to wait, in milliseconds. */
export interface Patience {
  /** Before the second try; doubled with every further one. */
  pause: number;
  /** For a sign of life before a connection counts as dead. */
  silence: number;
}

export const usualPatience: Patience = { pause: 1000, silence: 60_000 };

/** Tries in a row that get nowhere before it is given up. */
const mostTries = 5;

/** A try that brought this many bytes got somewhere. */
const someBytes = 1 << 20;

/** Longest pause that a hub may ask for, in milliseconds; it counts its requests over five minutes. */
const longestPause = 5 * 60_000;

/** A failure that may pass by itself. The message says what happened, as part of a sentence. */
export class PassingTrouble extends Error {
  /** @param pause how long the hub asks to wait, in milliseconds */
  constructor(message: string, readonly pause?: number) {
    super(message);
  }
}

export interface Trials {
  /** What is tried, for the remarks. */
  what: string;
  tries?: number;
  patience: Patience;
  onRemark: (sentence: string) => void;
  /** Bytes that are there by now; a try that brought some is no failed one. */
  reached?: () => number;
}

/** Resolves to what `attempt` does. @throws what it throws, PassingTrouble after it was tried again to no avail */
export async function keepTrying<Result>(attempt: () => Promise<Result>, trials: Trials): Promise<Result> {
  const { what, tries = mostTries, patience, onRemark, reached = () => 0 } = trials;
  for (let failures = 0, before = reached();;) {
    try {
      return await attempt();
    } catch (error) {
      const now = reached();
      failures = now - before >= someBytes ? 1 : failures + 1;
      before = now;
      if (!(error instanceof PassingTrouble) || failures >= tries) throw error;
      const pause = error.pause ?? patience.pause * 2 ** (failures - 1);
      if (pause > longestPause) throw error;
      onRemark(`${what}: ${error.message}; trying again in ${formatSeconds(Math.ceil(pause / 1000))}.`);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}
