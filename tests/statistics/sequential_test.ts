// Verdicts for those who look again and again. The quantiles are of scipy 1.17.1:
//
//     # likelihood of drifts from N(0, 0.1²) against that of 0, for an estimate of z / sqrt(V) with the variance 1 / V
//     ratio = lambda z: quad(lambda t: exp(t * z * sqrt(V) - t * t * V / 2) * norm.pdf(t, 0, .1), m - 12 * s, m + 12 * s)[0]
//     brentq(lambda z: ratio(z) - 1 / .05, 1, 12)   # m and s: mean and deviation of what is integrated

import { assert, assertEquals } from "@std/assert";
import { Random } from "../../shared/random.ts";
import { differenceInterval, estimateRate, type Tally } from "../../shared/statistics/rates.ts";
import { alwaysValidQuantile, sequentialVerdict } from "../../shared/statistics/sequential.ts";

Deno.test("at the boundary the mixture of all drifts is twenty times as likely as none", () => {
  const expected = [
    [10, 8.18257428906303],
    [100, 3.6563948713638483],
    [1000, 3.037811021425952],
    [20_000, 3.3691606228321755],
  ] as const;
  for (const [information, quantile] of expected) {
    assert(Math.abs(alwaysValidQuantile(information) - quantile) < 1e-8, `${alwaysValidQuantile(information)}`);
  }
});

const people = (thumbs: number, desirable: number, people: number): Tally => ({ thumbs, desirable, people });
const verdict = (arm: Tally[], reference: Tally[]) =>
  sequentialVerdict(estimateRate(arm)!, estimateRate(reference)!, 0);

Deno.test("many people tell which is better and which is worse, few do not, nor many thumbs of few", () => {
  const good = (size: number) => [people(1, 1, 7 * size), people(1, 0, 3 * size)];
  const bad = (size: number) => [people(1, 1, 4 * size), people(1, 0, 6 * size)];
  assertEquals(verdict(good(20), bad(20)).result, "better");
  assertEquals(verdict(bad(20), good(20)).result, "worse");
  assertEquals(verdict(good(1), bad(1)).result, "cannot tell yet");
  assertEquals(verdict([people(200, 140, 1)], [people(200, 80, 1)]).result, "cannot tell yet");
  const { low, high } = verdict([people(1, 1, 4)], [people(1, 0, 10)]);
  assert(low < 0 && high === 1, `${low} to ${high}`);
});

Deno.test("two arms that are alike are hardly ever told apart by whoever looks after each thumb", () => {
  const random = new Random(6);
  const experiments = 300, persons = 20, thumbsEach = 20;
  // Half of the people like 72% of all answers, half 28%: the correlation of two thumbs of one is 0.2.
  const newArm = () =>
    Array.from(
      { length: persons },
      () => ({ likes: random.next() < 0.5 ? 0.72 : 0.28, thumbs: 0, desirable: 0, people: 1 }),
    );
  let once = 0, always = 0;
  for (let experiment = 0; experiment < experiments; experiment++) {
    const arms = [newArm(), newArm()] as const;
    let seen = false, told = false;
    for (let thumb = 0; thumb < 2 * persons * thumbsEach; thumb++) {
      const person = random.pick(arms[thumb % 2]!);
      person.thumbs++;
      if (random.next() < person.likes) person.desirable++;
      if (thumb < 20) continue;
      const [arm, reference] = arms.map((arm) => estimateRate(arm.filter(({ thumbs }) => thumbs > 0))!);
      seen ||= differenceInterval(arm!, reference!, 0).low > 0;
      told ||= sequentialVerdict(arm!, reference!, 0).result === "better";
    }
    once += Number(seen);
    always += Number(told);
  }
  assert(once > 0.08 * experiments, `${once} of ${experiments}: the looks would need no correction`);
  assert(always <= 0.025 * experiments, `${always} of ${experiments} were called better`);
});
