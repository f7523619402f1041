// Whether the store can be reached and written to, as a probe asks: a small write now and then, whose answer all who ask
// meanwhile share. It knows no routes.

import type { Database } from "../../shared/store/database.ts";
import { noteServedBase } from "../../shared/store/presence.ts";

/** Probes within so long share an answer, in milliseconds: whoever asks without end does not write without end. */
const life = 1000;

/** A store that takes longer to answer is none, in milliseconds. */
const patience = 2000;

/**
 * A probe of a database.
 *
 * @returns whether `base` could be noted as the model that is served
 */
export function createStoreProbe(database: Database): (base: string) => Promise<boolean> {
  let asked = -Infinity, answer: Promise<boolean> | undefined, writing: Promise<boolean> | undefined;
  return (base) => {
    if (answer === undefined || performance.now() - asked > life) {
      asked = performance.now();
      // One that waits for a locked file is not joined by ever more.
      writing ??= noteServedBase(database, base).then(() => true, () => false).finally(() => writing = undefined);
      answer = within(writing);
    }
    return answer;
  };
}

async function within(written: Promise<boolean>): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => timer = setTimeout(() => resolve(false), patience));
  return await Promise.race([written, late]).finally(() => clearTimeout(timer));
}
