// The learning rate of each optimizer step, as transformers' get_scheduler gives it. It does not know batches,
// epochs or gradient accumulation: a step here is one update of the weights.

/** The shapes after warm-up: straight down to 0, half a cosine down to 0, or flat. */
export const SCHEDULES = ["linear", "cosine", "constant"] as const;
export type Schedule = (typeof SCHEDULES)[number];

/** What a schedule needs to know. */
export interface ScheduleOptions {
  schedule: Schedule;
  /** The rate at the end of warm-up. */
  learningRate: number;
  /** Steps of a straight rise from 0; the first of them has rate 0. */
  warmupSteps: number;
  /** All steps of the run, warm-up included. */
  totalSteps: number;
}

/**
 * The learning rate of the optimizer step number `step`, counted from 0. Never negative; 0 from `totalSteps` on,
 * except for "constant".
 *
 * Source: transformers/optimization.py (`_get_linear_schedule_with_warmup_lr_lambda`, `_get_cosine_…` with half a
 * cycle, `_get_constant_schedule_with_warmup_lr_lambda`). With warm-up, "constant" is transformers'
 * "constant_with_warmup"; transformers' own "constant" would ignore the warm-up.
 */
export function learningRateAt(step: number, options: ScheduleOptions): number {
  const { schedule, learningRate, warmupSteps, totalSteps } = options;
  if (step < warmupSteps) return learningRate * (step / Math.max(1, warmupSteps));
  const decaySteps = Math.max(1, totalSteps - warmupSteps);
  switch (schedule) {
    case "constant":
      return learningRate;
    case "linear":
      return learningRate * Math.max(0, (totalSteps - step) / decaySteps);
    case "cosine": {
      // Beyond the end transformers' cosine rises again; a run that is continued must not.
      const progress = Math.min(1, (step - warmupSteps) / decaySteps);
      return learningRate * 0.5 * (1 + Math.cos(Math.PI * progress));
    }
  }
}
