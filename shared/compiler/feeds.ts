// A micro-batch as the compiled graphs are fed it. It does not know parameters, objectives or sessions.

import { Tensor } from "onnxruntime-node";
import type { MicroBatch } from "../feedback/micro_batch.ts";
import { head } from "./score_head.ts";
import { tree } from "./specialize.ts";

/** Feeds of the tokens; the two of the tree only where the graph reads them. */
export function microBatchFeeds(batch: MicroBatch, graphSharesPrefixes = true): Record<string, Tensor> {
  const vector = (data: BigInt64Array) => new Tensor("int64", data, [data.length]);
  return {
    input_ids: new Tensor("int64", batch.inputIds, [batch.batch, batch.sequence]),
    [head.positions]: vector(batch.scored),
    [head.targets]: vector(batch.targets),
    ...(graphSharesPrefixes
      ? { [tree.positions]: vector(batch.positions), [tree.ends]: vector(batch.subtreeEnds) }
      : {}),
  };
}
