// One optimizer step's worth of KTO, across the workers: z0 from the mismatched pairs of the whole effective batch, then
// loss and gradient of the matched rows with z0 fixed. Workers and micro-batches change the result by no more than the
// order of its sums does (1e-7 of the loss). It does not update anything.

import type { TokenizedRow } from "../../shared/feedback/tokenize.ts";
import { perRow, type Sequence, sequenceLength } from "../../shared/feedback/micro_batch.ts";
import { ktoInputs } from "../../shared/objectives/kto.ts";
import type { WorkerPool } from "../../workers/pool.ts";
import type { ObjectiveInputs } from "../../workers/protocol.ts";
import { gradientNorm } from "./adamw.ts";
import type { GradientBlocks } from "./parameters.ts";
import { type Layout, logProb, logRatio, pack, type ReferenceScorer, scoreSequences, shares } from "./scorer.ts";

/** A number that is not finite, and the rows that it came from; the message ends with what to try. */
export class NonFiniteError extends Error {
  constructor(finding: string) {
    super(`${finding} Try a lower --learning-rate, or --dtype fp32.`);
  }
}

export interface KtoBatch {
  rows: readonly TokenizedRow[];
  /** For each row the row of this batch whose completion stands in as y', or -1. */
  partners: readonly number[];
  /** Most tokens of a sequence: a mismatched pair beyond it loses the end of its y', as a row does of its y (and in TRL). */
  maxLength?: number | undefined;
}

export interface KtoStepResult {
  loss: number;
  /** z0 */
  kl: number;
  /** Per row, summed over the completion. */
  logProbs: number[];
  referenceLogProbs: number[];
  /** Gradient of each parameter, valid until the next step. */
  gradients: Float32Array[];
  /** Tokens run through the model, prompts included. */
  tokens: number;
}

/** (x_i, y'_i) of the rows that have a partner. */
export function mismatchedPairs({ rows, partners, maxLength = Infinity }: KtoBatch): Sequence[] {
  return rows.flatMap(({ promptIds }, i) => {
    const partner = rows[partners[i]!];
    return partner ? [{ promptIds, completionIds: partner.completionIds.slice(0, maxLength - promptIds.length) }] : [];
  });
}

function requireFinite(value: number, what: string, rows: readonly TokenizedRow[]): void {
  if (Number.isFinite(value)) return;
  const lines = rows.map(({ line }) => line).join(", ");
  throw new NonFiniteError(
    `${what} is not finite (${value}) for the row${rows.length > 1 ? "s" : ""} of line ${lines}.`,
  );
}

/** z0 = max(0, mean over the batch of r(x_i, y'_i)); no gradient flows through it. */
async function referencePoint(
  pool: WorkerPool,
  batch: KtoBatch,
  reference: ReferenceScorer,
  layout: Layout,
  version: number,
): Promise<number> {
  const pairs = mismatchedPairs(batch);
  if (pairs.length === 0) return 0;
  const policy = await scoreSequences(pool, pairs, layout, "policy", version);
  const rowsWithPartner = batch.rows.filter((_, i) => batch.partners[i]! >= 0);
  const ratios = pairs.map((pair, i) => {
    const ratio = logRatio(policy[i]!, reference.of(pair));
    requireFinite(ratio, "The log-ratio of a mismatched pair", [rowsWithPartner[i]!]);
    return ratio;
  });
  return Math.max(0, ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length);
}

/**
 * Loss and gradient of KTO over one effective batch.
 *
 * @param weights λ of desirable and undesirable rows
 * @throws NonFiniteError naming the rows
 */
export async function ktoStep(
  pool: WorkerPool,
  batch: KtoBatch,
  reference: ReferenceScorer,
  layout: Layout,
  weights: { desirable: number; undesirable: number },
  version: number,
  blocks: GradientBlocks,
): Promise<KtoStepResult> {
  const { rows } = batch;
  const kl = await referencePoint(pool, batch, reference, layout, version);
  const groups = shares(rows, layout, pool.size);
  const indexed = groups.map((group, share) => ({ group, share }));
  const results = await pool.map(indexed, async (worker, { group, share }) => {
    const members = group.map((i) => rows[i]!);
    const micro = pack(members, layout);
    const referenceLogProbs = new Float32Array(micro.targets.length);
    let token = 0;
    for (const row of members) {
      referenceLogProbs.set(reference.of(row), token);
      token += row.completionIds.length;
    }
    const vector = (values: number[]) => ({ data: Float32Array.from(values), shape: [values.length] });
    const inputs: ObjectiveInputs = {
      [ktoInputs.referenceLogProbs.name]: { data: referenceLogProbs, shape: [referenceLogProbs.length] },
      [ktoInputs.sign.name]: vector(members.map(({ label }) => label ? 1 : -1)),
      [ktoInputs.weight.name]: vector(
        members.map(({ label }) => (label ? weights.desirable : weights.undesirable) / rows.length),
      ),
      [ktoInputs.referencePoint.name]: { data: Float32Array.of(kl), shape: [] },
    };
    const result = await worker.gradient(micro, inputs, version, blocks.block(share));
    const norm = gradientNorm([new Float32Array(blocks.block(share))]);
    blocks.finish(share);
    return { ...result, micro, norm };
  });

  const logProbs = new Array<number>(rows.length), referenceLogProbs = new Array<number>(rows.length);
  let loss = 0;
  results.forEach((result, g) => {
    const members = groups[g]!.map((i) => rows[i]!);
    requireFinite(result.loss, "The loss", members);
    requireFinite(result.norm, "The gradient norm", members);
    loss += result.loss;
    perRow(result.logProbs, result.micro).forEach((values, k) => {
      const i = groups[g]![k]!;
      logProbs[i] = logProb(values);
      referenceLogProbs[i] = logProb(reference.of(rows[i]!));
      requireFinite(logProbs[i]!, "The log-prob", [rows[i]!]);
    });
  });
  const lengths = [...rows, ...mismatchedPairs(batch)].map(sequenceLength);
  const gradients = blocks.sum();
  return { loss, kl, logProbs, referenceLogProbs, gradients, tokens: lengths.reduce((sum, length) => sum + length, 0) };
}
