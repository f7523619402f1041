// Rates of thumbs by person. Where numbers are not defined by hand they are of statsmodels 0.15.0 and numpy 2.4.6:
//
//     # persons: (thumbs, thumbs up) each; the jackknife literally, everybody left out in turn
//     n, x = np.array(persons, float).T; N = n.sum(); p = x.sum() / N; K = (n**2).sum() / N
//     variance = sum(((x.sum() - x[i]) / (N - n[i]) - p)**2 for i in range(len(n)))
//     rho = np.clip((variance / (p * (1 - p) / N) - 1) / (K - 1), 0, 1)
//     rarer = x if p < .5 else n - x; w = min(rarer.sum()**2 / (rarer**2).sum(), N / K) - 1
//     effective = N / (1 + (K - 1) * (rho * w + 1) / (w + 1))
//     proportion_confint(p * effective, effective, .05, "wilson")
//     confint_proportions_2indep(k1, n1, k2, n2, "newcomb", compare="diff")

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import {
  correlationOf,
  differenceInterval,
  estimateRate,
  type Interval,
  type RateEstimate,
  rateInterval,
  type Tally,
  wilsonInterval,
  z95,
} from "../../shared/statistics/rates.ts";

const persons = (...given: [thumbs: number, desirable: number][]): Tally[] =>
  given.map(([thumbs, desirable]) => ({ thumbs, desirable, people: 1 }));

/** So many people with a thumb each. */
const single = (desirable: number, people: number): RateEstimate =>
  estimateRate([
    { thumbs: 1, desirable: 1, people: desirable },
    { thumbs: 1, desirable: 0, people: people - desirable },
  ])!;

function close(actual: number, expected: number, tolerance = 1e-12): void {
  assert(Math.abs(actual - expected) < tolerance, `${actual} is not ${expected}`);
}

function closeInterval(actual: Interval, low: number, high: number): void {
  close(actual.low, low);
  close(actual.high, high);
}

Deno.test("Wilson's ends are the rates that the score test only just accepts", () => {
  for (const [k, n, z] of [[1, 3, z95], [81, 263, z95], [15, 148, 3.1], [999, 1000, z95]] as const) {
    const { low, high } = wilsonInterval(k, n, z);
    for (const p of [low, high]) {
      // Wilson's definition, not the solved formula.
      close(Math.abs(k / n - p) / Math.sqrt(p * (1 - p) / n), z, 1e-9);
    }
    assert(low < k / n && k / n < high);
  }
});

Deno.test("an interval of none or all stays within 0 and 1 and still says something", () => {
  for (const n of [1, 10]) {
    closeInterval(wilsonInterval(0, n), 0, z95 ** 2 / (n + z95 ** 2));
    closeInterval(wilsonInterval(n, n), n / (n + z95 ** 2), 1);
  }
});

Deno.test("a thumb a person is an independent thumb", () => {
  const estimate = single(81, 263);
  close(estimate.effective, 263);
  const { low, high } = wilsonInterval(81, 263);
  closeInterval(rateInterval(estimate), low, high);
});

Deno.test("one person's twenty thumbs say no more than one", () => {
  const [one] = persons([20, 20]);
  const estimate = estimateRate([one!])!;
  assertEquals([estimate.thumbs, estimate.people, estimate.value], [20, 1, 1]);
  close(estimate.effective, 1);
  const { low, high } = wilsonInterval(1, 1);
  closeInterval(rateInterval(estimate), low, high);
  close(estimateRate([{ thumbs: 20, desirable: 20, people: 6 }])!.effective, 6);
});

Deno.test("people who each like everything or nothing count as people, and their thumbs not", () => {
  const estimate = estimateRate([{ thumbs: 20, desirable: 20, people: 30 }, { thumbs: 20, desirable: 0, people: 30 }])!;
  close(estimate.effective, 60, 1e-9);
});

Deno.test("people who give unequally many thumbs are worth what the jackknife over people says", () => {
  const estimate = estimateRate(persons([20, 18], [20, 3], [1, 1], [5, 2], [12, 12], [7, 0]))!;
  close(estimate.effective, 4.146221786064769);
  closeInterval(rateInterval(estimate), 0.18225254884641007, 0.873648057891372);
});

Deno.test("twenty people with twenty thumbs each are told by an interval three times as wide as 400 people's", () => {
  const estimate = estimateRate(persons(...Array.from({ length: 20 }, (_, i): [number, number] => [20, 7 * i % 21])))!;
  close(estimate.effective, 44.656896616692016);
  closeInterval(rateInterval(estimate), 0.2125166479941324, 0.47901803948808497);
  closeInterval(wilsonInterval(133, 400), 0.2881179581855746, 0.38006866041641474);
});

Deno.test("people who gave the same are the same whether told one by one or as a number", () => {
  const apart = estimateRate(persons([3, 1], [3, 1], [3, 1], [8, 7], [8, 7], [1, 0]));
  const together = estimateRate([
    { thumbs: 3, desirable: 1, people: 3 },
    { thumbs: 8, desirable: 7, people: 2 },
    { thumbs: 1, desirable: 0, people: 1 },
  ]);
  assertEquals(apart!.people, together!.people);
  close(apart!.effective, together!.effective);
});

Deno.test("without a thumb there is no rate", () => {
  assertEquals(estimateRate([]), null);
});

Deno.test("the difference of rates of a thumb a person is Newcombe's", () => {
  closeInterval(
    differenceInterval(single(81, 263), single(15, 148), 0),
    0.12742516655251485,
    0.2766933652135226,
  );
  closeInterval(differenceInterval(single(0, 30), single(9, 40), 0), -0.37503096742310027, -0.07249921304165594);
});

Deno.test("people who judge both arms alike leave less between the arms to doubt, others do not", () => {
  const arm = persons([10, 9], [10, 2], [10, 6], [10, 10], [10, 1], [10, 5], [10, 8], [10, 3]);
  const estimate = estimateRate(arm)!;
  const shared = (other: (tally: Tally) => number) =>
    arm.map((tally) => ({ ...tally, referenceThumbs: 10, referenceDesirable: other(tally) }));
  const alike = correlationOf(estimate, estimate, shared(({ desirable }) => desirable));
  const opposite = correlationOf(estimate, estimate, shared(({ desirable }) => 11 - desirable));
  assert(alike > 0.5 && alike < 1, `${alike}`);
  assert(opposite < -0.5, `${opposite}`);
  assertStrictEquals(correlationOf(estimate, estimate, []), 0);
  const width = (correlation: number) => {
    const { low, high } = differenceInterval(estimate, estimate, correlation);
    return high - low;
  };
  assert(width(alike) < 0.75 * width(0) && width(opposite) > 1.2 * width(0));
});

Deno.test("one person who judges both arms narrows nothing", () => {
  const estimate = estimateRate(persons([40, 30], [1, 0], [1, 1]))!;
  const [one] = persons([40, 30]);
  assertStrictEquals(correlationOf(estimate, estimate, [{ ...one!, referenceThumbs: 40, referenceDesirable: 30 }]), 0);
});
