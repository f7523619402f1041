// Rewards of rows under the policy that the workers hold, and how well they tell thumbs up from thumbs down. It does
// not know where the rows or the policy come from.

import type { TokenizedRow } from "../../shared/feedback/tokenize.ts";
import type { WorkerPool } from "../../workers/pool.ts";
import { auc, type AucEstimate } from "./auc.ts";
import { NonFiniteError } from "./kto_step.ts";
import { type Layout, logRatio, type ReferenceScorer, scoreSequences } from "./scorer.ts";

/** AUC and margin of the reward; undefined where a class has no rows. */
export interface RewardEvaluation {
  auc?: AucEstimate;
  margin?: number;
  rewards: { chosen: number | null; rejected: number | null };
}

/**
 * The reward of each row, β · Σ_t (log π − log π_ref).
 *
 * @param reference has the rows' log-probs already
 * @param onDone is told how many rows more the policy has scored
 * @throws NonFiniteError naming the row
 */
export async function rewardsOf(
  rows: readonly TokenizedRow[],
  pool: WorkerPool,
  reference: ReferenceScorer,
  layout: Layout,
  beta: number,
  version: number,
  onDone: (rows: number) => void = () => {},
): Promise<number[]> {
  const policy = await scoreSequences(pool, rows, layout, "policy", version, onDone);
  return rows.map((row, i) => {
    const reward = beta * logRatio(policy[i]!, reference.of(row));
    if (!Number.isFinite(reward)) {
      throw new NonFiniteError(`The reward of the row of line ${row.line} is not finite (${reward}).`);
    }
    return reward;
  });
}

/**
 * The same of the reference itself: its log-ratios are 0, so it tells nothing apart, whatever the rows are. Measured, it
 * would be the rounding of two layouts.
 */
export function rewardsOfBase(rows: readonly { label: boolean }[]): RewardEvaluation {
  const has = (label: boolean) => rows.some((row) => row.label === label), both = has(true) && has(false);
  return {
    ...(both ? { auc: { value: 0.5, low: 0.5, high: 0.5 }, margin: 0 } : {}),
    rewards: { chosen: has(true) ? 0 : null, rejected: has(false) ? 0 : null },
  };
}

/** AUC and margin of the reward under the policy; arguments and errors as of rewardsOf. */
export async function evaluateRewards(
  rows: readonly TokenizedRow[],
  pool: WorkerPool,
  reference: ReferenceScorer,
  layout: Layout,
  beta: number,
  version: number,
  onDone: (rows: number) => void = () => {},
): Promise<RewardEvaluation> {
  const rewards = await rewardsOf(rows, pool, reference, layout, beta, version, onDone);
  const mean = (label: boolean) => {
    const values = rewards.filter((_, i) => rows[i]!.label === label);
    return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
  };
  const chosen = mean(true), rejected = mean(false);
  const estimate = auc(rewards, rows.map(({ label }) => label));
  return {
    ...(estimate ? { auc: estimate } : {}),
    ...(chosen !== null && rejected !== null ? { margin: chosen - rejected } : {}),
    rewards: { chosen, rejected },
  };
}
