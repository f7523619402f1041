// Lays token sequences out as the compiled graphs read them: right-padded ids, and a flat list of the scored positions.
// It knows tokens only: nothing of labels, pairs, models or sessions.

import { paddedLength } from "./batches.ts";

/** A prompt and the completion whose tokens are scored. */
export interface Sequence {
  promptIds: readonly number[];
  completionIds: readonly number[];
}

/** Inputs of one run. `tokens` counts scored positions, padding included. */
export interface MicroBatch {
  batch: number;
  sequence: number;
  /** [batch, sequence], padded with 0 on the right: under a causal mask no real token sees it. */
  inputIds: BigInt64Array;
  /** [tokens]: index into the flattened [batch*sequence] of the position that predicts the token. */
  positions: BigInt64Array;
  /** [tokens] */
  targets: BigInt64Array;
  /** [tokens]: row of the micro-batch; padding tokens belong to row 0 with weight 0. */
  rowOfToken: BigInt64Array;
  /** Scored tokens of each row, in order; their sum is the number of real tokens. */
  rowTokens: number[];
}

/** Tokens that a sequence has in all. */
export const sequenceLength = ({ promptIds, completionIds }: Sequence): number =>
  promptIds.length + completionIds.length;

/**
 * Packs sequences into one micro-batch, padded to the width of the longest.
 *
 * @param tokenMultiple scored positions are padded to a multiple of this (CompiledModel.tokenMultiple)
 */
export function packMicroBatch(sequences: readonly Sequence[], tokenMultiple: number): MicroBatch {
  const batch = sequences.length;
  const sequence = paddedLength(Math.max(...sequences.map(sequenceLength)));
  const scored = sequences.reduce((sum, { completionIds }) => sum + completionIds.length, 0);
  const tokens = Math.max(1, Math.ceil(scored / tokenMultiple)) * tokenMultiple;
  const inputIds = new BigInt64Array(batch * sequence);
  const positions = new BigInt64Array(tokens),
    targets = new BigInt64Array(tokens),
    rowOfToken = new BigInt64Array(tokens);
  let token = 0;
  sequences.forEach(({ promptIds, completionIds }, row) => {
    const start = row * sequence;
    promptIds.forEach((id, i) => inputIds[start + i] = BigInt(id));
    completionIds.forEach((id, i) => {
      inputIds[start + promptIds.length + i] = BigInt(id);
      positions[token] = BigInt(start + promptIds.length + i - 1);
      targets[token] = BigInt(id);
      rowOfToken[token++] = BigInt(row);
    });
  });
  return {
    batch,
    sequence,
    inputIds,
    positions,
    targets,
    rowOfToken,
    rowTokens: sequences.map(({ completionIds }) => completionIds.length),
  };
}

/** Cuts a flat list of per-token numbers into one list per row; padding at the end is left out. */
export function perRow(values: Float32Array, { rowTokens }: Pick<MicroBatch, "rowTokens">): Float32Array[] {
  let start = 0;
  return rowTokens.map((count) => values.slice(start, start += count));
}
