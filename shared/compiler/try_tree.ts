// Runs a compiled scoring graph on two rows with a common beginning, apart and as one tree, and compares: a model that
// counts positions or masks by itself somewhere gives itself away. It does not know how the graph was made.

import { InferenceSession, Tensor } from "onnxruntime-node";
import { type MicroBatch, packRows, packTree } from "../feedback/micro_batch.ts";
import type { Graph } from "../onnx/graph.ts";
import { returnFreedMemory } from "../runtime/native_memory.ts";
import { sessionOptions } from "../runtime/session.ts";
import { microBatchFeeds } from "./feeds.ts";
import { head } from "./score_head.ts";
import { tree } from "./specialize.ts";

/** Scores of dynamic int8 move with whatever else is in the batch; a misplaced token moves them far more. */
const tolerance = 0.02;

/**
 * Whether rows of the graph may be packed as a tree.
 *
 * @param graph the scoring graph, and its ONNX bytes
 */
export async function holdsForTrees(
  graph: Graph,
  scoring: Uint8Array,
  { folder, vocabulary, tokenMultiple, parameters }: {
    folder: string;
    vocabulary: number;
    tokenMultiple: number;
    parameters: { name: string; shape: number[] }[];
  },
): Promise<boolean> {
  if (!graph.inputs.some((input) => input.name === tree.ends)) return false;
  const ids = (...numbers: number[]) => numbers.map((number) => (number * 37 + 11) % vocabulary);
  const rows = [
    { promptIds: ids(1, 2, 3, 4), completionIds: ids(5, 6, 7, 8) },
    { promptIds: ids(1, 2, 3, 9), completionIds: ids(6, 5, 10, 3) },
  ];
  const session = await InferenceSession.create(scoring, sessionOptions(folder));
  const run = async (batch: MicroBatch) => {
    const zeros = parameters.map(({ name, shape }) => {
      const count = shape.reduce((product, size) => product * size, 1);
      return [name, new Tensor("float32", new Float32Array(count), shape)] as const;
    });
    const results = await session.run({ ...microBatchFeeds(batch), ...Object.fromEntries(zeros) });
    return (results[head.logProbs]!.data as Float32Array).slice(0, 8);
  };
  try {
    const apart = await run(packRows(rows, tokenMultiple)), together = await run(packTree(rows, tokenMultiple));
    return apart.every((value, i) => Math.abs(together[i]! - value) <= tolerance * Math.max(1, Math.abs(value)));
  } finally {
    await session.release();
    returnFreedMemory();
  }
}
