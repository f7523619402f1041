// Whether one arm is liked better than another, for people who look again and again: the chance that it is ever said
// wrongly, at whichever of any number of looks, is bounded. Pure functions of two rates. docs/STATISTICS.md has the
// simulation, and what is asymptotic about it.

import { differenceInterval, type Interval, type RateEstimate, wilsonInterval, z95 } from "./rates.ts";

/** How often a difference may be seen at some look where there is none; half of it for "better" that is not. */
const errorRate = 0.05;

/** The size of a difference that the boundary is narrowest for, as a fraction of thumbs. It is valid for any. */
const expectedDifference = 0.1;

/** What thumbs say of an arm against the reference. */
export interface SequentialVerdict extends Interval {
  /** "cannot tell yet" until the interval leaves 0 out. */
  result: "better" | "worse" | "cannot tell yet";
}

/**
 * How many standard errors an estimate has to be from the truth to be called wrong, at whatever look:
 *
 *     z(V) = √((1 + 1/q)·ln((1 + q)/α²)),   q = V·τ²
 *
 * A Brownian motion with drift 0 leaves ±z(V)·√V at any time V with probability α at most: so far, the likelihood of
 * drifts from N(0, τ²) has become 1/α times that of 0 (H. Robbins, "Statistical methods related to the law of the
 * iterated logarithm", Annals of Mathematical Statistics 41, 1970; as mixture sequential probability ratio test in
 * R. Johari, L. Pekelis and D. J. Walsh, "Always valid inference", Operations Research 70, 2022).
 *
 * @param information V: 1 / variance of the estimate, more than 0. With little of it no difference is large enough.
 */
export function alwaysValidQuantile(information: number): number {
  const q = information * expectedDifference ** 2;
  return Math.sqrt((1 + 1 / q) * Math.log((1 + q) / errorRate ** 2));
}

/** Of a rate's estimate; more than 0 also where all thumbs are alike. */
function variance({ value, effective }: RateEstimate): number {
  const { low, high } = wilsonInterval(value * effective, effective, z95), middle = (low + high) / 2;
  return middle * (1 - middle) / effective;
}

/**
 * @param correlation `correlationOf` the two
 * @returns the verdict, with the interval of the difference that holds at all looks together
 */
export function sequentialVerdict(
  arm: RateEstimate,
  reference: RateEstimate,
  correlation: number,
): SequentialVerdict {
  const own = variance(arm), other = variance(reference);
  const ofDifference = own + other - 2 * correlation * Math.sqrt(own * other);
  const quantile = alwaysValidQuantile(1 / Math.max(ofDifference, Number.EPSILON));
  const { low, high } = differenceInterval(arm, reference, correlation, quantile);
  return { result: low > 0 ? "better" : high < 0 ? "worse" : "cannot tell yet", low, high };
}
