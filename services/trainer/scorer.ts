// Scores sequences across the workers: policy log-probs, and reference log-probs through the cache. It knows sequences
// and micro-batches; nothing of labels, objectives or optimizers.

import type { CompiledScoring } from "../../shared/compiler/compile.ts";
import { microBatches } from "../../shared/feedback/batches.ts";
import {
  type MicroBatch,
  packRows,
  packTree,
  perRow,
  type Sequence,
  sequenceLength,
  treeGroups,
} from "../../shared/feedback/micro_batch.ts";
import { type ReferenceCache, sequenceKey } from "../../shared/store/reference_cache.ts";
import type { Device } from "../../shared/runtime/session.ts";
import type { WorkerPool } from "../../workers/pool.ts";
import type { Policy } from "../../workers/protocol.ts";

/** How work is cut into micro-batches. */
export interface Layout {
  tokensPerMicroBatch: number;
  /** Scored positions per micro-batch are a multiple of this (CompiledModel.tokenMultiple). */
  tokenMultiple: number;
  /** Whether rows are packed as one tree (CompiledModel.treeTokens), or padded side by side. */
  sharesPrefixes: boolean;
}

/**
 * The layout for a compiled model.
 *
 * @param budget tokens of a micro-batch. Without one: a core is as fast with 256 rows of a product as with more, keeps less
 * memory and has less unbalanced work to wait for (docs/LOG.md); a GPU wants many.
 */
export function layoutFor(compiled: CompiledScoring, device: Device, budget: number | undefined): Layout {
  const { tokenMultiple, treeTokens } = compiled;
  const tokens = budget ?? (device === "webgpu" ? 2048 : 256);
  return {
    tokensPerMicroBatch: treeTokens > 0 ? Math.min(tokens, treeTokens) : tokens,
    tokenMultiple,
    sharesPrefixes: treeTokens > 0,
  };
}

/** Indices of sequences per micro-batch: within the budget, and at least one share per worker where there is work for all. */
export function shares(sequences: readonly Sequence[], layout: Layout, workers: number): number[][] {
  if (layout.sharesPrefixes) return treeGroups(sequences, layout.tokensPerMicroBatch, workers);
  const lengths = sequences.map((sequence) => ({ length: sequenceLength(sequence) }));
  const total = lengths.reduce((sum, { length }) => sum + length, 0);
  return microBatches(lengths, Math.min(layout.tokensPerMicroBatch, Math.ceil(total / workers)));
}

/** Lays out the sequences of one share. */
export function pack(sequences: readonly Sequence[], { sharesPrefixes, tokenMultiple }: Layout): MicroBatch {
  return sharesPrefixes ? packTree(sequences, tokenMultiple) : packRows(sequences, tokenMultiple);
}

/** Per-token log-probs of each sequence's completion under `policy`. */
export async function scoreSequences(
  pool: WorkerPool,
  sequences: readonly Sequence[],
  layout: Layout,
  policy: Policy,
  version: number,
  onDone: (sequences: number) => void = () => {},
): Promise<Float32Array[]> {
  return (await scoreLists(pool, [sequences], layout, policy, version, onDone))[0]!;
}

/** As scoreSequences, for several lists at once, each laid out as if it were alone. */
async function scoreLists(
  pool: WorkerPool,
  lists: readonly (readonly Sequence[])[],
  layout: Layout,
  policy: Policy,
  version: number,
  onDone: (sequences: number) => void,
): Promise<Float32Array[][]> {
  const groups = lists.flatMap((list, l) => shares(list, layout, pool.size).map((members) => ({ l, members })));
  const results = lists.map((list) => new Array<Float32Array>(list.length));
  const scored = await pool.map(groups, async (worker, { l, members }) => {
    const batch = pack(members.map((i) => lists[l]![i]!), layout);
    return perRow(await worker.score(batch, policy, version), batch);
  }, ({ members }) => onDone(members.length));
  groups.forEach(({ l, members }, g) => members.forEach((i, k) => results[l]![i] = scored[g]![k]!));
  return results;
}

/** Rows that are scored between two writes to the cache: a kill costs at most this much work. */
export const rowsPerSlice = 256;

/** Runs of whole lists with about `size` elements each. */
function slices<Element>(lists: Element[][], size: number): Element[][][] {
  const parts: Element[][][] = [];
  let room = 0;
  for (const list of lists) {
    if (room <= 0) {
      parts.push([]);
      room = size;
    }
    parts.at(-1)!.push(list);
    room -= list.length;
  }
  return parts;
}

/** Reference log-probs with a memory: what the cache has is not computed again. */
export class ReferenceScorer {
  #memory = new Map<string, Float32Array>();
  computed = 0;
  cached = 0;

  constructor(
    readonly pool: WorkerPool,
    readonly cache: ReferenceCache,
    /** Says which model: base weights, tokenizer, template. */
    readonly modelKey: string,
    readonly layout: Layout,
  ) {}

  /**
   * Makes sure that the log-probs of all sequences are known. Stores them in slices, so that an interrupted run keeps
   * what it has done.
   *
   * @param lists sequences that the policy will score together: laid out alike, policy and reference agree to the last
   * bit where the adapter changes nothing
   */
  async prepare(
    lists: readonly (readonly Sequence[])[],
    onDone: (sequences: number) => void = () => {},
  ): Promise<void> {
    const seen = new Set<string>();
    const missing = lists.map((list) =>
      list.flatMap((sequence) => {
        const key = sequenceKey(this.modelKey, sequence), name = key.toHex();
        if (this.#memory.has(name) || seen.has(name)) {
          onDone(1);
          return [];
        }
        const found = this.cache.find(key, sequence.completionIds.length);
        if (found && allFinite(found)) {
          this.#memory.set(name, found);
          this.cached++;
          onDone(1);
          return [];
        }
        seen.add(name);
        return [{ key, name, sequence }];
      })
    );
    for (const part of slices(missing.filter((list) => list.length > 0), rowsPerSlice)) {
      const sequences = part.map((list) => list.map(({ sequence }) => sequence));
      const logProbs = await scoreLists(this.pool, sequences, this.layout, "reference", 0, onDone);
      const scored = part.flatMap((list, l) => list.map((each, i) => ({ ...each, logProbs: logProbs[l]![i]! })));
      this.cache.store(scored.filter(({ logProbs }) => allFinite(logProbs)));
      for (const { name, logProbs } of scored) this.#memory.set(name, logProbs);
      this.computed += scored.length;
    }
  }

  /** Per-token reference log-probs of a prepared sequence. */
  of(sequence: Sequence): Float32Array {
    const found = this.#memory.get(sequenceKey(this.modelKey, sequence).toHex());
    if (!found) throw new Error("A sequence was used before its reference log-probs were prepared.");
    return found;
  }
}

/** Whether log-probs are numbers to go on with. What is not finite is not cached: it says something of this run alone. */
export function allFinite(logProbs: Float32Array): boolean {
  return logProbs.every(Number.isFinite);
}

/** Σ_t log π − log π_ref over a completion, summed in float64. */
export function logRatio(policy: Float32Array, reference: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < policy.length; i++) sum += policy[i]! - reference[i]!;
  return sum;
}

/** Σ_t log π over a completion, in float64. */
export function logProb(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value, 0);
}
