// How readings of two trees that took turns are compared: the ratio, and the noise that it has to stand out from. It reads
// nothing and prints nothing.

import { median } from "../gateway/bench/statistics.ts";

/** Slower than this share of the other tree is a loss of speed. */
export const tolerance = 0.03;

export interface Comparison {
  /** Medians of the readings. */
  before: number;
  now: number;
  /** Median of the rounds' ratios; above 1 this tree is better. */
  ratio: number;
  /** The rounds' lowest and highest ratio. */
  low: number;
  high: number;
  /** How far two successive readings of the same tree are apart: the median, as a share. */
  noise: number;
  /** "slower" and "faster" only beyond both the tolerance and the noise. */
  verdict: "slower" | "faster" | "same" | "lost in the noise";
}

/**
 * Compares readings of the same rounds.
 *
 * @param more whether higher readings are better
 */
export function compare(before: readonly number[], now: readonly number[], more: boolean): Comparison {
  const ratios = now.map((value, round) => more ? value / before[round]! : before[round]! / value);
  const apart = [before, now].flatMap((readings) =>
    readings.slice(1).map((value, index) => Math.abs(value / readings[index]! - 1))
  );
  const ratio = median(ratios), noise = apart.length > 0 ? median(apart) : Infinity;
  const differs = Math.abs(ratio - 1) > tolerance;
  return {
    before: median(before),
    now: median(now),
    ratio,
    low: Math.min(...ratios),
    high: Math.max(...ratios),
    noise,
    verdict: !differs ? "same" : Math.abs(ratio - 1) <= noise ? "lost in the noise" : ratio < 1 ? "slower" : "faster",
  };
}
