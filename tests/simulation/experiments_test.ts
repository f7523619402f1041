// What is drawn to try the figures of experiments is what it is said to be.

import { assert, assertEquals } from "@std/assert";
import { Random } from "../../shared/random.ts";
import { drawTallies, rateCoverage, toldApart } from "../../services/simulation/experiments.ts";

Deno.test("people are drawn with the rate and the correlation that are asked for", () => {
  for (const [rate, correlation] of [[0.3, 0.2], [0.02, 0.5], [0.5, 0]] as const) {
    const tallies = drawTallies({ people: 40_000, thumbs: 2, rate, correlation }, new Random(1));
    const up = tallies.reduce((sum, { desirable }) => sum + desirable, 0) / 80_000;
    const both = tallies.filter(({ desirable }) => desirable === 2).length / 40_000;
    assert(Math.abs(up - rate) < 0.01, `rate ${up}`);
    // Pr(both up) = p² + ρp(1 − p)
    const found = (both - rate ** 2) / (rate * (1 - rate));
    assert(Math.abs(found - correlation) < 0.04, `correlation ${found}`);
  }
});

Deno.test("the interval by people holds the rate where that by thumbs does not", () => {
  const crowd = { people: 20, thumbs: 20, rate: 0.5, correlation: 0.2 };
  const { covered, byThumbs, width } = rateCoverage(crowd, 500, new Random(2));
  assert(covered > 0.93 && covered < 0.99, `${covered}`);
  assert(byThumbs < 0.7, `${byThumbs}`);
  assert(width < 0.3, `${width}`);
});

Deno.test("an arm that is better is called so, and never worse", () => {
  const watched = { people: 200, thumbs: 1000, rate: 0.3, difference: 0.3, correlation: 0.2, looks: 20 };
  const { better, worse, thumbs } = toldApart(watched, 40, new Random(3));
  assertEquals([better, worse], [1, 0]);
  assert(thumbs >= 100 && thumbs <= 700, `${thumbs}`);
});
