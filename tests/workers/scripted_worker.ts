// A worker that does what a test's share tells it: answer, throw, or die of an error outside the call. It computes
// nothing; the pool sees it through the same face as the real one.

import { expose } from "comlink";
import type { Sequence } from "../../shared/feedback/micro_batch.ts";

/** What a share makes its worker do; the first of `promptIds`. `value` is the second. */
export const behaviour = { answer: 0, throw: 1, die: 2 } as const;

const setups: number[] = [];

expose({
  /** Behaves only where `completionIds` holds this worker's number; answers the value, the number and the setups. */
  async scoreStock({ promptIds: [what, value], completionIds }: Sequence): Promise<Float32Array> {
    const number = Number(Reflect.get(globalThis, "name").replace("worker ", ""));
    // The first share is the slowest, so that shares end in another order than they began.
    await new Promise((resolve) => setTimeout(resolve, value === 0 ? 60 : 5));
    if (what === behaviour.throw && completionIds.includes(number)) throw new Error(`thrown over ${value}`);
    if (what === behaviour.die && completionIds.includes(number)) {
      setTimeout(() => {
        throw new Error(`died of ${value}`);
      });
      await new Promise(() => {});
    }
    return Float32Array.of(value!, number, ...setups);
  },
  openStock({ dtype }: { dtype: string }): void {
    setups.push(Number(dtype));
  },
});
