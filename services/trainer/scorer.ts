// Scores sequences across the workers: policy log-probs, and reference log-probs through the cache. It knows sequences
// and micro-batches; nothing of labels, objectives or optimizers.

import type { CompiledScoring } from "../../shared/compiler/compile.ts";
import { microBatches } from "../../shared/feedback/batches.ts";
import { packMicroBatch, perRow, type Sequence, sequenceLength } from "../../shared/feedback/micro_batch.ts";
import { type ReferenceCache, sequenceKey } from "../../shared/store/reference_cache.ts";
import type { Device } from "../../shared/runtime/session.ts";
import type { WorkerPool } from "../../workers/pool.ts";
import type { Policy } from "../../workers/protocol.ts";

/** How work is cut into micro-batches. */
export interface Layout {
  tokensPerMicroBatch: number;
  /** Scored positions per micro-batch are a multiple of this (CompiledModel.tokenMultiple). */
  tokenMultiple: number;
}

/**
 * The layout for a compiled model.
 *
 * @param budget tokens of a micro-batch. Without one: a core is as fast with 256 rows of a product as with more, keeps less
 * memory and has less unbalanced work to wait for (docs/LOG.md); a GPU wants many.
 */
export function layoutFor({ tokenMultiple }: CompiledScoring, device: Device, budget: number | undefined): Layout {
  return { tokensPerMicroBatch: budget ?? (device === "webgpu" ? 2048 : 256), tokenMultiple };
}

/** Indices of sequences per micro-batch: within the budget, and at least one share per worker where there is work for all. */
export function shares(sequences: readonly Sequence[], layout: Layout, workers: number): number[][] {
  const lengths = sequences.map((sequence) => ({ length: sequenceLength(sequence) }));
  const total = lengths.reduce((sum, { length }) => sum + length, 0);
  return microBatches(lengths, Math.min(layout.tokensPerMicroBatch, Math.ceil(total / workers)));
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
  const groups = shares(sequences, layout, pool.size);
  const results: Float32Array[] = new Array(sequences.length);
  const scored = await pool.map(groups, async (worker, group) => {
    const batch = packMicroBatch(group.map((i) => sequences[i]!), layout.tokenMultiple);
    return perRow(await worker.score(batch, policy, version), batch);
  }, (group) => onDone(group.length));
  groups.forEach((group, g) => group.forEach((i, k) => results[i] = scored[g]![k]!));
  return results;
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
   */
  async prepare(sequences: readonly Sequence[], onDone: (sequences: number) => void = () => {}): Promise<void> {
    const missing = new Map<string, { key: Uint8Array; sequence: Sequence }>();
    for (const sequence of sequences) {
      const key = sequenceKey(this.modelKey, sequence), name = key.toHex();
      if (this.#memory.has(name) || missing.has(name)) {
        onDone(1);
        continue;
      }
      const found = this.cache.find(key, sequence.completionIds.length);
      if (found) {
        this.#memory.set(name, found);
        this.cached++;
        onDone(1);
      } else missing.set(name, { key, sequence });
    }
    const todo = [...missing.values()];
    const slice = 256;
    for (let start = 0; start < todo.length; start += slice) {
      const part = todo.slice(start, start + slice);
      const sequencesOfPart = part.map(({ sequence }) => sequence);
      const logProbs = await scoreSequences(this.pool, sequencesOfPart, this.layout, "reference", 0, onDone);
      this.cache.store(part.map(({ key }, i) => ({ key, logProbs: logProbs[i]! })));
      part.forEach(({ key }, i) => this.#memory.set(key.toHex(), logProbs[i]!));
      this.computed += part.length;
    }
  }

  /** Per-token reference log-probs of a prepared sequence. */
  of(sequence: Sequence): Float32Array {
    const found = this.#memory.get(sequenceKey(this.modelKey, sequence).toHex());
    if (!found) throw new Error("A sequence was used before its reference log-probs were prepared.");
    return found;
  }
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
