// The machine's fp32 matrix-product peak, measured with ONNX Runtime as training uses it: one thread in each of a
// number of Web Workers, all at once. It does not know what a training step computes.

import { type Remote, wrap } from "comlink";
import type { GemmWorker } from "./gemm_worker.ts";

/** Rows, columns and depth of the product: large enough for the runtime's best, small enough for the cache. */
const size = 1024;
const rounds = 4;

/** FLOP per second of `workers` threads together, the best of some rounds. */
export async function measureGemmPeak(workers: number, secondsPerRound: number): Promise<number> {
  const threads = Array.from(
    { length: workers },
    () => new Worker(new URL("./gemm_worker.ts", import.meta.url), { type: "module" }),
  );
  try {
    const remotes: Remote<GemmWorker>[] = threads.map((thread) => wrap<GemmWorker>(thread));
    await Promise.all(remotes.map((remote) => remote.open(size)));
    let best = 0;
    for (let round = 0; round < rounds; round++) {
      const rates = await Promise.all(remotes.map((remote) => remote.run(secondsPerRound)));
      best = Math.max(best, rates.reduce((sum, rate) => sum + rate, 0));
    }
    return best;
  } finally {
    for (const thread of threads) thread.terminate();
  }
}
