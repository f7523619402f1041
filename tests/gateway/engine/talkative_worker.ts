// A worker that says far more than it was asked for, as fast as it can: a test sees what becomes of what nobody reads.

import { expose } from "comlink";
import type { ServingSequence, ServingStep } from "../../../workers/protocol.ts";

let port: MessagePort | undefined;
let said = 0;
const dropped = new Set<number>();
const top = Array.from({ length: 20 }, (_, i) => ({ token: i, logProb: -i }));

expose({
  hold() {},
  openGeneration: () => "left",
  serve: (given: MessagePort) => void (port = given),
  async admit(sequences: ServingSequence[]) {
    for (let step = 0; step < 20_000; step++) {
      const tokens = sequences.filter(({ id }) => !dropped.has(id)).map(({ id }) => ({
        id,
        drawn: { token: sequences[0]!.promptIds[said++ % 2]!, logProb: -1, top },
      }));
      if (tokens.length === 0) return;
      port?.postMessage({ tokens, ended: [], failed: [] } satisfies ServingStep);
      if (step % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    }
  },
  drop: (ids: number[]) => ids.forEach((id) => dropped.add(id)),
  release: () => Promise.resolve(),
});
