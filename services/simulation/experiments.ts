// What the figures of /v1/experiments are worth, by drawing thumbs whose truth is known: how often an interval of a rate or
// of a difference holds it, and how often arms that are alike are told apart by those who look again and again. It knows
// neither files nor flags.

import type { Random } from "../../shared/random.ts";
import {
  correlationOf,
  differenceInterval,
  estimateRate,
  rateInterval,
  type SharedTally,
  type Tally,
  wilsonInterval,
} from "../../shared/statistics/rates.ts";
import { sequentialVerdict } from "../../shared/statistics/sequential.ts";

/** People, and how they give thumbs. */
export interface Crowd {
  people: number;
  /** Thumbs of each: so many, or geometric with the mean 5, or 60/1, 60/2, 60/3 … as people are ever less busy. */
  thumbs: number | "geometric" | "Zipf";
  /** The chance of a thumb up. */
  rate: number;
  /** Of two thumbs of one person, 0 to less than 1: each person's own rate is drawn from a beta distribution. */
  correlation: number;
}

/** The gamma distribution (G. Marsaglia and W. W. Tsang, ACM Transactions on Mathematical Software 26, 2000). */
function gamma(shape: number, random: Random): number {
  if (shape < 1) return gamma(shape + 1, random) * (1 - random.next()) ** (1 / shape);
  const d = shape - 1 / 3, c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = random.normal(), v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - random.next()) < x * x / 2 + d - d * v + d * Math.log(v)) return d * v;
  }
}

/** One person's own rate. */
function drawLiking({ rate, correlation }: Pick<Crowd, "rate" | "correlation">, random: Random): number {
  if (correlation === 0) return rate;
  const size = (1 - correlation) / correlation;
  const up = gamma(rate * size, random), down = gamma((1 - rate) * size, random);
  return up + down > 0 ? up / (up + down) : Number(random.next() < rate);
}

function drawThumbs({ thumbs }: Pick<Crowd, "thumbs">, person: number, random: Random): number {
  if (thumbs === "geometric") return 1 + Math.floor(Math.log(1 - random.next()) / Math.log(0.8));
  return thumbs === "Zipf" ? Math.max(1, Math.round(60 / (person + 1))) : thumbs;
}

function drawDesirable(thumbs: number, liking: number, random: Random): number {
  let desirable = 0;
  for (let i = 0; i < thumbs; i++) if (random.next() < liking) desirable++;
  return desirable;
}

/** Draws a crowd's thumbs. */
export function drawTallies(crowd: Crowd, random: Random): Tally[] {
  return Array.from({ length: crowd.people }, (_, person) => {
    const thumbs = drawThumbs(crowd, person, random);
    return { thumbs, desirable: drawDesirable(thumbs, drawLiking(crowd, random), random), people: 1 };
  });
}

/** How an interval did, as shares of all draws; the width is a mean. */
export interface Coverage {
  covered: number;
  width: number;
  /** Of Wilson's interval over thumbs, as if each were somebody else's. */
  byThumbs: number;
}

/** How often the interval of a crowd's rate holds the rate. */
export function rateCoverage(crowd: Crowd, draws: number, random: Random): Coverage {
  let covered = 0, width = 0, byThumbs = 0;
  const holds = ({ low, high }: { low: number; high: number }) => low <= crowd.rate && crowd.rate <= high;
  for (let draw = 0; draw < draws; draw++) {
    const estimate = estimateRate(drawTallies(crowd, random))!, interval = rateInterval(estimate);
    covered += Number(holds(interval));
    width += interval.high - interval.low;
    byThumbs += Number(holds(wilsonInterval(estimate.desirable, estimate.thumbs)));
  }
  return { covered: covered / draws, width: width / draws, byThumbs: byThumbs / draws };
}

/**
 * How often the interval of a difference of two arms holds it, that there is none.
 *
 * @param shared whether the same people judge both arms, of each as many answers; else as many people judge each
 */
export function differenceCoverage(crowd: Crowd, shared: boolean, draws: number, random: Random): number {
  let covered = 0;
  for (let draw = 0; draw < draws; draw++) {
    const both = Array.from({ length: crowd.people }, (_, person): SharedTally => {
      const thumbs = drawThumbs(crowd, person, random), liking = drawLiking(crowd, random);
      const other = shared ? liking : drawLiking(crowd, random);
      return {
        thumbs,
        desirable: drawDesirable(thumbs, liking, random),
        referenceThumbs: thumbs,
        referenceDesirable: drawDesirable(thumbs, other, random),
        people: 1,
      };
    });
    const arm = estimateRate(both)!;
    const reference = estimateRate(
      both.map(({ referenceThumbs: thumbs, referenceDesirable: desirable, people }) => ({ thumbs, desirable, people })),
    )!;
    const { low, high } = differenceInterval(arm, reference, correlationOf(arm, reference, shared ? both : []));
    covered += Number(low <= 0 && 0 <= high);
  }
  return covered / draws;
}

/** An experiment that is looked at while it goes on. */
export interface Watched {
  /** Of each arm. */
  people: number;
  /** Of both arms together, one after the other, each of anybody. */
  thumbs: number;
  /** The chance of a thumb up for the reference, and how much greater it is for the arm. */
  rate: number;
  difference: number;
  /** Of two thumbs of one person. */
  correlation: number;
  /** Looks, evenly spread; `thumbs` is one after each. */
  looks: number;
}

/** Shares of experiments in which at some look … */
export interface ToldApart {
  /** … the arm was called better. */
  better: number;
  /** … worse. */
  worse: number;
  /** … the 95% interval of the difference for one look was above 0. */
  byOneLook: number;
  /** The median of thumbs at which it was called better; Infinity where that is never. */
  thumbs: number;
}

/** How often, and how soon, an arm is told from the reference. */
export function toldApart(watched: Watched, experiments: number, random: Random): ToldApart {
  const { people, thumbs, rate, difference, correlation, looks } = watched;
  let worse = 0, byOneLook = 0;
  const betterAt: number[] = [];
  for (let experiment = 0; experiment < experiments; experiment++) {
    const arms = [rate, rate + difference].map((rate) =>
      Array.from({ length: people }, () => ({
        liking: drawLiking({ rate, correlation }, random),
        thumbs: 0,
        desirable: 0,
        people: 1,
      }))
    );
    let better = Infinity, saidWorse = false, saidOnce = false;
    for (let thumb = 1; thumb <= thumbs; thumb++) {
      const person = random.pick(random.pick(arms));
      person.thumbs++;
      if (random.next() < person.liking) person.desirable++;
      if (thumb % Math.max(1, Math.floor(thumbs / looks)) !== 0) continue;
      const [reference, arm] = arms.map((arm) => estimateRate(arm.filter(({ thumbs }) => thumbs > 0)));
      if (!reference || !arm) continue;
      const { result } = sequentialVerdict(arm, reference, 0);
      if (result === "better") better = Math.min(better, thumb);
      saidWorse ||= result === "worse";
      saidOnce ||= differenceInterval(arm, reference, 0).low > 0;
    }
    betterAt.push(better);
    worse += Number(saidWorse);
    byOneLook += Number(saidOnce);
  }
  return {
    better: betterAt.filter(Number.isFinite).length / experiments,
    worse: worse / experiments,
    byOneLook: byOneLook / experiments,
    thumbs: betterAt.sort((a, b) => a - b)[Math.floor(experiments / 2)]!,
  };
}
