// The numbers of one optimizer step, named as TRL's KTOTrainer logs them so that existing dashboards read them.
// It computes them from per-row log-probabilities; it does not know models, batches of tokens, or where logs go.

/**
 * One line of the training log. A mean over a class that has no rows in the batch is null (JSON has no NaN).
 * Log-probabilities are sums over a row's completion tokens, in nats.
 */
export interface StepMetrics {
  /** Optimizer steps taken, counted from 1. */
  step: number;
  /** Passes over the data so far, with a fraction. */
  epoch: number;
  /** Mean of the weighted per-row losses of the effective batch. */
  loss: number;
  /** z0: the mean policy/reference log-ratio of the mismatched pairs, not below 0. */
  kl: number;
  /** Norm of all gradients together, before clipping. */
  grad_norm: number;
  /** The rate this step used. */
  learning_rate: number;
  /** Mean β × (policy − reference) over the desirable rows. */
  "rewards/chosen": number | null;
  /** The same over the undesirable rows. */
  "rewards/rejected": number | null;
  /** chosen − rejected; null unless both are there. */
  "rewards/margins": number | null;
  /** Mean policy log-probability of the desirable rows. */
  "logps/chosen": number | null;
  /** The same over the undesirable rows. */
  "logps/rejected": number | null;
  /** Trained tokens a second, prompts included. */
  tokens_per_second: number;
}

/** What a step knows of itself. The per-row arrays have one entry for each row of the effective batch. */
export interface StepMetricsInput {
  step: number;
  epoch: number;
  loss: number;
  kl: number;
  gradNorm: number;
  learningRate: number;
  tokensPerSecond: number;
  beta: number;
  /** Σ_t log π(y_t | x, y_<t) of each row under the policy. */
  logProbs: ArrayLike<number>;
  /** The same under the reference. */
  referenceLogProbs: ArrayLike<number>;
  /** Each row's thumb: true = desirable. */
  desirable: ArrayLike<boolean>;
}

/**
 * TRL's numbers over the whole effective batch. (TRL averages its micro-batches' means instead, which weights rows
 * unequally; with one micro-batch the two agree.)
 *
 * @throws {RangeError} when the per-row arrays differ in length.
 */
export function stepMetrics(input: StepMetricsInput): StepMetrics {
  const { logProbs, referenceLogProbs, desirable, beta } = input;
  const count = logProbs.length;
  if (referenceLogProbs.length !== count || desirable.length !== count) {
    throw new RangeError(
      `stepMetrics: ${count} log-probs, ${referenceLogProbs.length} reference log-probs, ${desirable.length} labels`,
    );
  }
  const meanOver = (label: boolean, value: (row: number) => number): number | null => {
    let sum = 0;
    let rows = 0;
    for (let row = 0; row < count; row++) {
      if (desirable[row] !== label) continue;
      sum += value(row);
      rows += 1;
    }
    return rows === 0 ? null : sum / rows;
  };
  const reward = (row: number) => beta * (logProbs[row]! - referenceLogProbs[row]!);
  const logProb = (row: number) => logProbs[row]!;
  const chosen = meanOver(true, reward);
  const rejected = meanOver(false, reward);
  return {
    step: input.step,
    epoch: input.epoch,
    loss: input.loss,
    kl: input.kl,
    grad_norm: input.gradNorm,
    learning_rate: input.learningRate,
    "rewards/chosen": chosen,
    "rewards/rejected": rejected,
    "rewards/margins": chosen === null || rejected === null ? null : chosen - rejected,
    "logps/chosen": meanOver(true, logProb),
    "logps/rejected": meanOver(false, logProb),
    tokens_per_second: input.tokensPerSecond,
  };
}
