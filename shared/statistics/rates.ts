// The share of thumbs that are up, where one person's thumbs resemble each other: estimate, interval, and difference of two
// such shares. Pure functions of how many thumbs each person gave; they do not know where those come from, or what is
// decided by them. docs/STATISTICS.md has their coverage.

/** People who gave equally many thumbs, equally many of them up. */
export interface Tally {
  /** Of each of them; at least 1. */
  thumbs: number;
  desirable: number;
  /** How many they are. */
  people: number;
}

/** A rate, with what its interval follows from. */
export interface RateEstimate {
  thumbs: number;
  desirable: number;
  people: number;
  /** desirable / thumbs. */
  value: number;
  /** How many thumbs of as many people would say as much; at most `thumbs`. */
  effective: number;
}

/** Of a fraction, or of a difference of two. */
export interface Interval {
  low: number;
  high: number;
}

/** The standard normal distribution's 97.5% quantile: that of a 95% interval. */
export const z95 = 1.959963984540054;

/**
 * Wilson's score interval for a share of k in n, the rates p at which |k/n − p| ≤ z·√(p(1 − p)/n):
 *
 *     (k + z²/2 ± z·√(k(n − k)/n + z²/4)) / (n + z²)
 *
 * It stays within 0 and 1 and holds for few thumbs too (E. B. Wilson, "Probable inference, the law of succession, and
 * statistical inference", JASA 22, 1927). It takes the n as independent.
 *
 * @param k 0 to n; neither needs to be whole.
 * @param n More than 0.
 */
export function wilsonInterval(k: number, n: number, z = z95): Interval {
  const middle = k + z * z / 2;
  const half = z * Math.sqrt(Math.max(0, k * (n - k) / n) + z * z / 4);
  const within = (x: number) => Math.min(1, Math.max(0, x / (n + z * z)));
  return { low: within(middle - half), high: within(middle + half) };
}

const sum = <Item>(items: readonly Item[], of: (item: Item) => number) =>
  items.reduce((total, item) => total + of(item), 0);

/** How many equally large parts would be as uneven as these: (Σ size)² / Σ size² (Kish). 0 where there is none. */
function evenParts<Item extends { people: number }>(items: readonly Item[], size: (item: Item) => number): number {
  const squares = sum(items, (item) => item.people * size(item) ** 2);
  return squares === 0 ? 0 : sum(items, (item) => item.people * size(item)) ** 2 / squares;
}

/**
 * The rate among thumbs of some people.
 *
 * The variance is the jackknife's, each person left out in turn: Σ (xᵢ − p·nᵢ)² / (N − nᵢ)². What it is beyond that of N
 * independent thumbs gives the correlation ρ of one person's thumbs, from 0 to 1: variance = p(1 − p)/N · (1 + (K − 1)ρ),
 * K = Σ nᵢ²/N. Few people tell little about ρ, and where thumbs of one kind are rare only those who gave them tell
 * anything: ρ is therefore averaged with 1, the worst, which counts as one person among as many (less one) as share the
 * rarer kind evenly. Then `effective` = N / (1 + (K − 1)ρ). With a thumb a person that is N, whatever ρ.
 *
 * @returns null without a thumb
 */
export function estimateRate(tallies: readonly Tally[]): RateEstimate | null {
  const thumbs = sum(tallies, ({ thumbs, people }) => thumbs * people);
  if (thumbs === 0) return null;
  const desirable = sum(tallies, ({ desirable, people }) => desirable * people);
  const people = sum(tallies, ({ people }) => people);
  const value = desirable / thumbs, independent = value * (1 - value) / thumbs;
  const variance = sum(tallies, (tally) => {
    const residual = tally.desirable - value * tally.thumbs;
    return residual === 0 ? 0 : tally.people * (residual / (thumbs - tally.thumbs)) ** 2;
  });
  const even = evenParts(tallies, (tally) => tally.thumbs), perPerson = thumbs / even;
  const rarer = evenParts(tallies, (tally) => value < 0.5 ? tally.desirable : tally.thumbs - tally.desirable);
  const witnesses = Math.max(0, Math.min(rarer, even) - 1);
  const measured = perPerson > 1 && independent > 0
    ? Math.min(1, Math.max(0, (variance / independent - 1) / (perPerson - 1)))
    : 0;
  const correlation = (measured * witnesses + 1) / (witnesses + 1);
  return { thumbs, desirable, people, value, effective: thumbs / (1 + Math.max(0, perPerson - 1) * correlation) };
}

/** The rate's interval: Wilson's, of as many thumbs as the people's are worth. */
export const rateInterval = ({ value, effective }: RateEstimate, z = z95): Interval =>
  wilsonInterval(value * effective, effective, z);

/** People who judged answers of both of two arms, and gave equally many thumbs. */
export interface SharedTally extends Tally {
  /** On the other arm's answers. */
  referenceThumbs: number;
  referenceDesirable: number;
}

/**
 * How the estimates of two rates go together, from −1 to 1, because the same people judged both: who likes one arm's
 * answers tends to like the other's, and that is no difference of the arms. Where few people carry what is measured, it
 * counts for less.
 */
export function correlationOf(arm: RateEstimate, reference: RateEstimate, shared: readonly SharedTally[]): number {
  const variance = ({ value, effective }: RateEstimate) => value * (1 - value) / effective;
  const scale = Math.sqrt(variance(arm) * variance(reference));
  if (scale === 0) return 0;
  const product = (tally: SharedTally) =>
    (tally.desirable - arm.value * tally.thumbs) / arm.thumbs *
    (tally.referenceDesirable - reference.value * tally.referenceThumbs) / reference.thumbs;
  const covariance = sum(shared, (tally) => tally.people * product(tally));
  const carriers = evenParts(shared, (tally) => Math.abs(product(tally)));
  const trusted = covariance > 0 ? covariance * Math.max(0, 1 - 1 / carriers) : covariance;
  return Math.min(1, Math.max(-1, trusted / scale));
}

/**
 * The interval of `arm` − `reference`: each end goes as far as the two rates' own intervals do, square and added,
 *
 *     d − √((p₁ − l₁)² − 2r(p₁ − l₁)(u₂ − p₂) + (u₂ − p₂)²)   and   d + √((u₁ − p₁)² − 2r(u₁ − p₁)(p₂ − l₂) + (p₂ − l₂)²)
 *
 * (R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine 17,
 * 1998; with a correlation, G. Y. Zou, "On the estimation of additive interaction by use of the four-by-two table and
 * beyond", American Journal of Epidemiology 168, 2008).
 *
 * @param correlation `correlationOf` the two
 */
export function differenceInterval(
  arm: RateEstimate,
  reference: RateEstimate,
  correlation: number,
  z = z95,
): Interval {
  const own = rateInterval(arm, z), other = rateInterval(reference, z);
  const reach = (a: number, b: number) => Math.sqrt(Math.max(0, a * a - 2 * correlation * a * b + b * b));
  const difference = arm.value - reference.value;
  return {
    low: Math.max(-1, difference - reach(arm.value - own.low, other.high - reference.value)),
    high: Math.min(1, difference + reach(own.high - arm.value, reference.value - other.low)),
  };
}
