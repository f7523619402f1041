// The area under the ROC curve of scores against thumbs, with a confidence interval: how often a desirable row
// scores above an undesirable one. It does not know where the scores come from.
//
// Value: Mann–Whitney with ties counted ½. Interval: DeLong, DeLong & Clarke-Pearson (1988), computed from midranks
// (Sun & Xu 2014), on the logit scale (Pepe 2003, The Statistical Evaluation of Medical Tests, 5.2) so that it stays
// inside [0, 1]. Where DeLong's variance says nothing (perfect separation, all scores tied, a single row of a class)
// it would claim certainty, so there the score interval of Newcombe (2006, Stat. Med. 25:559, method 5) is used:
// the values θ that lie within z standard errors of the estimate, with Hanley & McNeil's (1982) variance at θ.

import { InputError } from "../../shared/errors.ts";

/** An AUC with its confidence interval, 0 ≤ low ≤ value ≤ high ≤ 1. */
export interface AucEstimate {
  value: number;
  low: number;
  high: number;
}

/**
 * The AUC of `scores` (higher = more desirable) against `labels` (true = desirable), in O(n log n).
 * `undefined` when a class has no rows: there is nothing to compare.
 *
 * @throws {InputError} when a score is NaN (its row number is named).
 * @throws {RangeError} when the lengths differ or the confidence is not between 0 and 1.
 */
export function auc(
  scores: number[],
  labels: boolean[],
  { confidence = 0.95 }: { confidence?: number } = {},
): AucEstimate | undefined {
  if (!(confidence > 0 && confidence < 1)) throw new RangeError(`auc: confidence ${confidence} is not inside (0, 1)`);
  const parts = placements(scores, labels);
  if (parts === undefined) return undefined;
  const { beaten, beating } = parts;
  const m = beaten.length;
  const n = beating.length;
  const value = clamp(mean(beaten));
  const variance = sampleVariance(beaten) / m + sampleVariance(beating) / n;
  const z = normalQuantile(0.5 + confidence / 2);

  const [low, high] = m > 1 && n > 1 && variance > 0 && value > 0 && value < 1
    ? logitInterval(value, Math.sqrt(variance), z)
    : scoreInterval(value, m, n, z);
  return { value, low: Math.min(value, clamp(low)), high: Math.max(value, clamp(high)) };
}

/**
 * How much higher the AUC of `scores` is than that of `others` on the same rows, with DeLong's paired interval: rows that
 * are hard for both widen it less than two AUCs apart would have it. `undefined` when a class has no rows.
 *
 * Where the variance says nothing (two perfect orders, a single row of a class) the two intervals are put together as if
 * they were independent (Newcombe 1998, Stat. Med. 17:873, method 10: squares of the distances add up), which is wider.
 * Scores that are all equal have an AUC of exactly 0.5 whatever the rows are, so they add nothing to the interval.
 *
 * @throws {InputError} when a score is NaN.
 * @throws {RangeError} when the lengths differ.
 */
export function aucDifference(
  scores: number[],
  others: number[],
  labels: boolean[],
): AucEstimate | undefined {
  const ours = placements(scores, labels), theirs = placements(others, labels);
  if (ours === undefined || theirs === undefined) return undefined;
  const value = mean(ours.beaten) - mean(theirs.beaten);
  if (scores.every((score, i) => score === others[i])) return { value: 0, low: 0, high: 0 };
  const apart = (mine: number[], other: number[]) => mine.map((part, i) => part - other[i]!);
  const ofDesirable = apart(ours.beaten, theirs.beaten), ofUndesirable = apart(ours.beating, theirs.beating);
  const m = ofDesirable.length, n = ofUndesirable.length;
  const variance = sampleVariance(ofDesirable) / m + sampleVariance(ofUndesirable) / n;
  const constant = others.every((score) => score === others[0]);
  if (m > 1 && n > 1 && variance > 0 && !constant) {
    const halfWidth = normalQuantile(0.975) * Math.sqrt(variance);
    return { value, low: Math.max(-1, value - halfWidth), high: Math.min(1, value + halfWidth) };
  }
  const a = auc(scores, labels)!, b = constant ? { value: 0.5, low: 0.5, high: 0.5 } : auc(others, labels)!;
  return {
    value,
    low: value - Math.hypot(a.value - a.low, b.high - b.value),
    high: value + Math.hypot(a.high - a.value, b.value - b.low),
  };
}

/**
 * For each desirable row the share of undesirable rows that it beats, for each undesirable row the share of desirable
 * rows that beat it; both have the AUC as their mean. `undefined` when a class has no rows.
 */
function placements(scores: number[], labels: boolean[]): { beaten: number[]; beating: number[] } | undefined {
  if (scores.length !== labels.length) {
    throw new RangeError(`auc: ${scores.length} scores but ${labels.length} labels`);
  }
  const broken = scores.findIndex((score) => Number.isNaN(score));
  if (broken >= 0) throw new InputError(`the score of row ${broken} is not a number, so no AUC can be computed`);
  const positives = scores.filter((_, index) => labels[index]);
  const negatives = scores.filter((_, index) => !labels[index]);
  const m = positives.length;
  const n = negatives.length;
  if (m === 0 || n === 0) return undefined;
  const pooled = midranks([...positives, ...negatives]);
  // How far a row's rank among all exceeds its rank in its own class counts the rows of the other class it beats.
  return {
    beaten: midranks(positives).map((rank, i) => (pooled[i]! - rank) / n),
    beating: midranks(negatives).map((rank, j) => 1 - (pooled[m + j]! - rank) / m),
  };
}

/** The rank of each value, counted from 1, with equal values sharing the mean of their ranks. */
function midranks(values: number[]): number[] {
  const order = values.map((_, index) => index).sort((a, b) => compare(values[a]!, values[b]!));
  const ranks = new Array<number>(values.length);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end += 1;
    for (let k = start; k < end; k++) ranks[order[k]!] = (start + 1 + end) / 2;
    start = end;
  }
  return ranks;
}

/** Subtraction would turn two infinities into NaN and the order into noise. */
function compare(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function logitInterval(value: number, standardError: number, z: number): [number, number] {
  const logit = Math.log(value / (1 - value));
  const halfWidth = z * standardError / (value * (1 - value));
  const inverse = (x: number) => 1 / (1 + Math.exp(-x));
  return [inverse(logit - halfWidth), inverse(logit + halfWidth)];
}

/** The θ with |value − θ| = z · SE(θ), below and above the value, by bisection. */
function scoreInterval(value: number, m: number, n: number, z: number): [number, number] {
  // Newcombe's method 5 puts (m + n) / 2 where Hanley & McNeil have m and n, which makes it symmetric in the classes.
  const size = (m + n) / 2;
  const standardError = (theta: number) =>
    Math.sqrt(
      theta * (1 - theta) * (1 + (size - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))) / (m * n),
    );
  const edge = (far: number) => {
    let inside = value;
    let outside = far;
    for (let i = 0; i < 60; i++) {
      const middle = (inside + outside) / 2;
      if (Math.abs(value - middle) <= z * standardError(middle)) inside = middle;
      else outside = middle;
    }
    return inside;
  };
  return [edge(0), edge(1)];
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function sampleVariance(values: number[]): number {
  if (values.length < 2) return 0;
  const centre = mean(values);
  return values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1);
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value));
}

/** The standard normal quantile for 0 < p < 1. Source: P. J. Acklam's rational approximation, relative error 1.2e-9. */
function normalQuantile(p: number): number {
  const tail = 0.02425;
  if (p > 1 - tail) return -normalQuantile(1 - p);
  if (p < tail) {
    const q = Math.sqrt(-2 * Math.log(p));
    return polynomial(QUANTILE_C, q) / (polynomial(QUANTILE_D, q) * q + 1);
  }
  const q = p - 0.5;
  const r = q * q;
  return polynomial(QUANTILE_A, r) * q / (polynomial(QUANTILE_B, r) * r + 1);
}

function polynomial(coefficients: readonly number[], x: number): number {
  return coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0);
}

// deno-fmt-ignore
const QUANTILE_A = [-39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239] as const;
// deno-fmt-ignore
const QUANTILE_B = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572] as const;
// deno-fmt-ignore
const QUANTILE_C = [-0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968, 2.938163982698783] as const;
// deno-fmt-ignore
const QUANTILE_D = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416] as const;
