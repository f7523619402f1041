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
  /** [batch, sequence] */
  inputIds: BigInt64Array;
  /** [sequence]: position of each token in its row. */
  positions: BigInt64Array;
  /** [sequence]: where the branches that continue a token end; all of them see it. */
  subtreeEnds: BigInt64Array;
  /** [tokens]: index into the flattened [batch*sequence] of the place that predicts the token. */
  scored: BigInt64Array;
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

/** Token `i` of a sequence. */
const tokenAt = ({ promptIds, completionIds }: Sequence, i: number): number | undefined =>
  i < promptIds.length ? promptIds[i] : completionIds[i - promptIds.length];

/** The flat lists of scored tokens; `placeOf(row, i)` is where token `i` of a row was laid. */
function scoredTokens(
  sequences: readonly Sequence[],
  tokenMultiple: number,
  placeOf: (row: number, i: number) => number,
): Pick<MicroBatch, "scored" | "targets" | "rowOfToken" | "rowTokens"> {
  const rowTokens = sequences.map(({ completionIds }) => completionIds.length);
  const count = rowTokens.reduce((sum, tokens) => sum + tokens, 0);
  const tokens = Math.max(1, Math.ceil(count / tokenMultiple)) * tokenMultiple;
  const scored = new BigInt64Array(tokens), targets = new BigInt64Array(tokens), rowOfToken = new BigInt64Array(tokens);
  let token = 0;
  sequences.forEach(({ promptIds, completionIds }, row) => {
    completionIds.forEach((id, i) => {
      scored[token] = BigInt(placeOf(row, promptIds.length + i - 1));
      targets[token] = BigInt(id);
      rowOfToken[token++] = BigInt(row);
    });
  });
  return { scored, targets, rowOfToken, rowTokens };
}

/**
 * Packs sequences as rows, padded on the right to the width of the longest: under a causal mask no real token sees it.
 *
 * @param tokenMultiple scored positions are padded to a multiple of this (CompiledModel.tokenMultiple)
 */
export function packRows(sequences: readonly Sequence[], tokenMultiple: number): MicroBatch {
  const batch = sequences.length;
  const sequence = paddedLength(Math.max(...sequences.map(sequenceLength)));
  const inputIds = new BigInt64Array(batch * sequence);
  sequences.forEach(({ promptIds, completionIds }, row) => {
    [...promptIds, ...completionIds].forEach((id, i) => inputIds[row * sequence + i] = BigInt(id));
  });
  return {
    batch,
    sequence,
    inputIds,
    positions: BigInt64Array.from({ length: sequence }, (_, i) => BigInt(i)),
    subtreeEnds: new BigInt64Array(sequence).fill(BigInt(sequence)),
    ...scoredTokens(sequences, tokenMultiple, (row, i) => row * sequence + i),
  };
}

interface Branch {
  id: number;
  position: number;
  next: Map<number, Branch>;
  place: number;
}

/**
 * Packs sequences as one tree: what several begin with is there once, and is computed once, forward and backward. A system
 * prompt, the prompt of two answers and the common beginning of two texts are all the same to it.
 */
export function packTree(sequences: readonly Sequence[], tokenMultiple: number): MicroBatch {
  const root: Branch = { id: -1, position: -1, next: new Map(), place: -1 };
  const paths = sequences.map((sequence) => {
    let at = root;
    return Array.from({ length: sequenceLength(sequence) }, (_, position) => {
      const id = tokenAt(sequence, position)!;
      let branch = at.next.get(id);
      if (!branch) at.next.set(id, branch = { id, position, next: new Map(), place: -1 });
      return at = branch;
    });
  });
  const preorder: Branch[] = [], ends: number[] = [];
  const open: (Branch | number)[] = [...root.next.values()].reverse();
  while (open.length > 0) {
    const branch = open.pop()!;
    if (typeof branch === "number") {
      ends[branch] = preorder.length;
      continue;
    }
    branch.place = preorder.push(branch) - 1;
    open.push(branch.place, ...[...branch.next.values()].reverse());
  }
  return {
    batch: 1,
    sequence: preorder.length,
    inputIds: BigInt64Array.from(preorder, ({ id }) => BigInt(id)),
    positions: BigInt64Array.from(preorder, ({ position }) => BigInt(position)),
    subtreeEnds: BigInt64Array.from(ends, BigInt),
    ...scoredTokens(sequences, tokenMultiple, (row, i) => paths[row]![i]!.place),
  };
}

/** Orders sequences so that those with common beginnings stand together. */
function compareTokens(a: Sequence, b: Sequence): number {
  const shorter = Math.min(sequenceLength(a), sequenceLength(b));
  for (let i = 0; i < shorter; i++) {
    const difference = tokenAt(a, i)! - tokenAt(b, i)!;
    if (difference !== 0) return difference;
  }
  return sequenceLength(a) - sequenceLength(b);
}

/** Tokens that `b` adds to a tree that ends in `a`. */
function newTokens(a: Sequence | undefined, b: Sequence): number {
  const length = sequenceLength(b);
  if (!a) return length;
  let shared = 0;
  while (shared < length && tokenAt(a, shared) === tokenAt(b, shared)) shared++;
  return length - shared;
}

/**
 * Cuts sequences into groups for packTree, each within the budget (a longer sequence goes alone), about evenly sized and
 * at least as many as there are workers where there is work for all. Largest first: what does not fit in memory fails
 * at once.
 *
 * @returns indices into `sequences`, each once
 */
export function treeGroups(sequences: readonly Sequence[], tokensPerGroup: number, workers: number): number[][] {
  const order = sequences.map((_, i) => i).sort((a, b) => compareTokens(sequences[a]!, sequences[b]!) || a - b);
  const grow = order.map((i, k) => newTokens(k > 0 ? sequences[order[k - 1]!] : undefined, sequences[i]!));
  const total = grow.reduce((sum, tokens) => sum + tokens, 0);
  const cut = (target: number) => {
    const groups: { members: number[]; tokens: number }[] = [];
    order.forEach((i, k) => {
      const last = groups.at(-1);
      if (last && last.tokens + grow[k]! <= target) {
        last.members.push(i);
        last.tokens += grow[k]!;
      } else groups.push({ members: [i], tokens: sequenceLength(sequences[i]!) });
    });
    return groups;
  };
  // The smallest target that leaves every worker as many groups as the others, or nearly so where rows are long.
  const wanted = Math.ceil(total / (tokensPerGroup * workers)) * workers;
  let target = Math.ceil(total / wanted), groups = cut(Math.min(target, tokensPerGroup));
  while (groups.length > wanted && target < tokensPerGroup) {
    target = Math.ceil(target * 1.03);
    groups = cut(Math.min(target, tokensPerGroup));
  }
  return groups.sort((a, b) => b.tokens - a.tokens).map(({ members }) => members);
}

/** Cuts a flat list of per-token numbers into one list per row; padding at the end is left out. */
export function perRow(values: Float32Array, { rowTokens }: Pick<MicroBatch, "rowTokens">): Float32Array[] {
  let start = 0;
  return rowTokens.map((count) => values.slice(start, start += count));
}
