// How far a compiled graph takes trees of rows. Runs it on two rows with a common beginning, apart and as one tree, and
// compares: a model that counts positions or masks by itself somewhere gives itself away. And reads off the exporter's own
// nodes up to what length a tree is safe.

import { InferenceSession, Tensor } from "onnxruntime-node";
import { type MicroBatch, packRows, packTree } from "../feedback/micro_batch.ts";
import type { Graph } from "../onnx/graph.ts";
import { subgraphs } from "../onnx/subgraph.ts";
import { returnFreedMemory } from "../runtime/native_memory.ts";
import { sessionOptions } from "../runtime/session.ts";
import { decomposePrefix } from "./decompose/decompose.ts";
import { microBatchFeeds } from "./feeds.ts";
import type { AttentionSizes } from "./linear_layers.ts";
import { head } from "./score_head.ts";
import { tree } from "./specialize.ts";

/** Scores of dynamic int8 move with whatever else is in the batch; a misplaced token moves them far more. */
const tolerance = 0.02;

/**
 * How many tokens a tree of rows may hold, as far as the exporter's own nodes limit it.
 *
 * @param masks the causal masks that were narrowed to trees
 */
export function mostTreeTokens(graph: Graph, masks: string[], config: AttentionSizes): number {
  const exported = (name: string) => !name.startsWith(`${decomposePrefix}/`);
  // A window in an exporter's mask counts places in the sequence, which are positions only up to the window's size.
  const window = config.use_sliding_window !== false && masks.some(exported) ? config.sliding_window : undefined;
  // The kernel refuses sequences that are longer than its cache of cosines.
  const caches = graph.nodes.filter(({ operator, name }) => operator === "RotaryEmbedding" && exported(name))
    .map(({ inputs }) => graph.initializers.get(inputs[2]!)?.dims[0] ?? Infinity);
  // An If picks tables by the length of the sequence, which is that of a row only up to the end of the shorter table.
  const picked = graph.nodes.filter(({ operator }) => operator === "If").flatMap((node) =>
    [...subgraphs(node).values()].flatMap(({ outputs }) => outputs.map(([rows]) => typeof rows === "number" ? rows : 1))
  );
  return Math.min(window ?? Infinity, ...caches, ...picked);
}

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
