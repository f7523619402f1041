// A worker that does what a test's share tells it: answer, throw, die of an error outside the call, or end silently. It computes
// nothing; the pool sees it through the same face as the real one.

import { expose } from "comlink";
import type { Sequence } from "../../shared/feedback/micro_batch.ts";

/** What a share makes its worker do; the first of `promptIds`. `value` is the second. */
export const behaviour = { answer: 0, throw: 1, die: 2, close: 3, exit: 4 } as const;

const setups: number[] = [];
let lifeline: MessagePort | undefined;

const workerNumber = () => Number(Reflect.get(globalThis, "name").replace("worker ", ""));

expose({
  hold(port: MessagePort): void {
    lifeline?.close();
    lifeline = port;
  },
  /** Behaves only where `completionIds` holds this worker's number; answers the value, the number and the setups. */
  async scoreStock({ promptIds: [what, value], completionIds }: Sequence): Promise<Float32Array> {
    const number = workerNumber();
    // The first share is the slowest, so that shares end in another order than they began.
    await new Promise((resolve) => setTimeout(resolve, value === 0 ? 60 : 5));
    if (what === behaviour.throw && completionIds.includes(number)) throw new Error(`thrown over ${value}`);
    if (what === behaviour.die && completionIds.includes(number)) {
      setTimeout(() => {
        throw new Error(`died of ${value}`);
      });
      await new Promise(() => {});
    }
    if (what === behaviour.close && completionIds.includes(number)) self.close();
    if (what === behaviour.exit && completionIds.includes(number)) Deno.exit(1);
    return Float32Array.of(value!, number, ...setups);
  },
  /** Adds a mark; fails in the worker of the number that `folder` holds. */
  openStock({ dtype, folder }: { dtype: string; folder: string }): void {
    if (folder.split(" ").includes(`${workerNumber()}`)) {
      if (dtype === "close") return self.close();
      throw new Error(`no set-up for ${workerNumber()}`);
    }
    setups.push(Number(dtype));
  },
});
