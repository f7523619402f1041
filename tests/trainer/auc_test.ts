import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { auc, aucDifference } from "../../services/trainer/auc.ts";
import { InputError } from "../../shared/errors.ts";
import { Random } from "../../shared/random.ts";

/** All pairs, counted one by one. */
function byPairs(scores: number[], labels: boolean[]): number {
  let wins = 0;
  let pairs = 0;
  scores.forEach((positive, i) => {
    scores.forEach((negative, j) => {
      if (!labels[i] || labels[j]) return;
      pairs += 1;
      wins += positive > negative ? 1 : positive === negative ? 0.5 : 0;
    });
  });
  return wins / pairs;
}

/** DeLong's variance as the paper writes it, in O(mn). */
function delongVariance(scores: number[], labels: boolean[]): number {
  const side = (label: boolean) =>
    scores.flatMap((score, i) => {
      if (labels[i] !== label) return [];
      const others = scores.filter((_, j) => labels[j] !== label);
      const beaten = others.map((other) =>
        (score > other) === label && score !== other ? 1 : score === other ? 0.5 : 0
      );
      return [beaten.reduce((a: number, b) => a + b, 0) / others.length];
    });
  const spread = (values: number[]) => {
    const centre = values.reduce((a, b) => a + b, 0) / values.length;
    return values.reduce((a, b) => a + (b - centre) ** 2, 0) / (values.length - 1) / values.length;
  };
  return spread(side(true)) + spread(side(false));
}

Deno.test("the value is the share of pairs in the right order, ties counted half", () => {
  const random = new Random(1);
  for (let trial = 0; trial < 200; trial++) {
    const size = 2 + random.int(40);
    // Few distinct scores make many ties.
    const scores = Array.from({ length: size }, () => random.int(trial % 2 === 0 ? 5 : 1000) - 2);
    const labels = scores.map((_, index) => index === 0 || (index > 1 && random.next() < 0.4));
    const estimate = auc(scores, labels)!;
    assert(Math.abs(estimate.value - byPairs(scores, labels)) < 1e-12);
    assert(0 <= estimate.low && estimate.low <= estimate.value);
    assert(estimate.value <= estimate.high && estimate.high <= 1);
  }
});

Deno.test("the interval is DeLong's on the logit scale", () => {
  const random = new Random(2);
  const labels = Array.from({ length: 60 }, (_, index) => index % 3 === 0);
  const scores = labels.map((label) => Math.round(4 * (random.normal() + (label ? 1 : 0))));
  for (const [confidence, z] of [[0.95, 1.959963984540054], [0.99, 2.5758293035489004]] as const) {
    const { value, low, high } = auc(scores, labels, { confidence })!;
    const halfWidth = z * Math.sqrt(delongVariance(scores, labels)) / (value * (1 - value));
    const logit = Math.log(value / (1 - value));
    assert(Math.abs(Math.log(low / (1 - low)) - (logit - halfWidth)) < 1e-7);
    assert(Math.abs(Math.log(high / (1 - high)) - (logit + halfWidth)) < 1e-7);
  }
});

Deno.test("95% intervals hold the true AUC about 95% of the time, with many rows and with few", () => {
  const random = new Random(3);
  // Two normals a distance d apart have AUC Φ(d / √2).
  const truths: [number, number][] = [[0, 0.5], [1, 0.7602499389065233], [2.5, 0.9614500641282292]];
  for (const [distance, truth] of truths) {
    for (const [m, n] of [[10, 15], [60, 40]] as const) {
      const labels = Array.from({ length: m + n }, (_, index) => index < m);
      const trials = 1500;
      let covered = 0;
      for (let trial = 0; trial < trials; trial++) {
        const { low, high } = auc(labels.map((label) => random.normal() + (label ? distance : 0)), labels)!;
        if (low <= truth && truth <= high) covered += 1;
      }
      const coverage = covered / trials;
      assert(coverage > 0.925 && coverage < 0.995, `d ${distance}, ${m} + ${n} rows: ${coverage}`);
    }
  }
});

Deno.test("perfect separation is not certainty: the interval narrows with the rows", () => {
  const separated = (size: number) => {
    const labels = Array.from({ length: 2 * size }, (_, index) => index < size);
    return auc(labels.map(Number), labels)!;
  };
  const [few, more, many] = [separated(3), separated(20), separated(200)];
  for (const estimate of [few, more, many]) assertEquals([estimate.value, estimate.high], [1, 1]);
  assert(few.low > 0.2 && few.low < 0.75, `${few.low}`);
  assert(few.low < more.low && more.low < many.low && many.low < 0.999);
  const labels = [true, true, false, false];
  const wrong = auc([0, 0, 1, 1], labels)!;
  assertEquals([wrong.value, wrong.low], [0, 0]);
  assert(wrong.high > 0.25);
});

Deno.test("scores that are all equal say nothing, and the interval says so", () => {
  const labels = Array.from({ length: 20 }, (_, index) => index % 2 === 0);
  const { value, low, high } = auc(labels.map(() => 0), labels)!;
  assertEquals(value, 0.5);
  assert(low < 0.35 && high > 0.65);
  const single = auc([0.2, 0.1, 0.3], [true, false, false])!;
  assertEquals(single.value, 0.5);
  assert(single.low < 0.15 && single.high > 0.85);
});

Deno.test("without both classes there is no AUC, a NaN names its row, and infinities have an order", () => {
  assertEquals(auc([], []), undefined);
  assertEquals(auc([1, 2], [true, true]), undefined);
  assertMatch(assertThrows(() => auc([1, NaN], [true, false]), InputError).message, /row 1/);
  assertThrows(() => auc([1], [true, false]), RangeError);
  assertThrows(() => auc([1, 2], [true, false], { confidence: 95 }), RangeError);
  assertEquals(auc([Infinity, -Infinity, -Infinity, 0], [true, true, false, false])!.value, 0.625);
});

Deno.test("a hundred thousand rows take no more than a moment", () => {
  const random = new Random(4);
  const labels = Array.from({ length: 100_000 }, () => random.next() < 0.5);
  const start = performance.now();
  auc(labels.map(() => random.next()), labels);
  assert(performance.now() - start < 5000);
});

/** DeLong's variance of a difference, as the paper writes it: of the components' differences, row by row. */
function delongPaired(scores: number[], others: number[], labels: boolean[]): number {
  const components = (values: number[], label: boolean) =>
    values.flatMap((value, i) => {
      if (labels[i] !== label) return [];
      const against = values.filter((_, j) => labels[j] !== label);
      return [
        against.reduce((sum, other) => sum + (value === other ? 0.5 : (value > other) === label ? 1 : 0), 0) /
        against.length,
      ];
    });
  return [true, false].reduce((total, label) => {
    const theirs = components(others, label), apart = components(scores, label).map((part, i) => part - theirs[i]!);
    const centre = apart.reduce((a, b) => a + b, 0) / apart.length;
    return total + apart.reduce((a, b) => a + (b - centre) ** 2, 0) / (apart.length - 1) / apart.length;
  }, 0);
}

Deno.test("a difference is that of the two values, its interval DeLong's for paired rows", () => {
  const random = new Random(11);
  for (let trial = 0; trial < 50; trial++) {
    const labels = Array.from({ length: 10 + random.int(60) }, (_, index) => index % 3 === 0);
    const scores = labels.map((label) => Math.round(4 * (random.normal() + (label ? 1 : 0))));
    const others = scores.map((score) => score + random.int(5));
    const { value, low, high } = aucDifference(scores, others, labels)!;
    assert(Math.abs(value - (byPairs(scores, labels) - byPairs(others, labels))) < 1e-12);
    const halfWidth = 1.959963984540054 * Math.sqrt(delongPaired(scores, others, labels));
    assert(Math.abs(high - value - halfWidth) < 1e-7 || high === 1);
    assert(Math.abs(value - low - halfWidth) < 1e-7 || low === -1);
  }
});

Deno.test("95% intervals of the difference of two good scores hold the true one about 95% of the time", () => {
  const random = new Random(12);
  // Φ(1 / √2) and Φ(1.5 / √2), on scores that share half of their noise.
  const truth = 0.8555778168267576 - 0.7602499389065233;
  for (const [m, n] of [[25, 25], [60, 40]] as const) {
    const labels = Array.from({ length: m + n }, (_, index) => index < m);
    let covered = 0;
    for (let trial = 0; trial < 1500; trial++) {
      const shared = labels.map(() => random.normal() * Math.SQRT1_2);
      const noisy = (distance: number) =>
        labels.map((label, i) => shared[i]! + random.normal() * Math.SQRT1_2 + (label ? distance : 0));
      const { low, high } = aucDifference(noisy(1.5), noisy(1), labels)!;
      if (low <= truth && truth <= high) covered += 1;
    }
    assert(covered / 1500 > 0.92 && covered / 1500 < 0.98, `${m} and ${n} rows: ${covered / 1500}`);
  }
});

Deno.test("where the variance says nothing the difference is not claimed for certain, except between equal scores", () => {
  const labels = [true, true, true, false, false, false];
  const perfect = [6, 5, 4, 3, 2, 1], alsoPerfect = [9, 8, 7, 1, 1, 1];
  const { value, low, high } = aucDifference(perfect, alsoPerfect, labels)!;
  assertStrictEquals(value, 0);
  assert(low < -0.3 && high > 0.3, `${low} to ${high}`);
  assertEquals(aucDifference(perfect, perfect, labels), { value: 0, low: 0, high: 0 });
  // Against constant scores (the base model's rewards) the interval is the AUC's own, less 0.5.
  const scores = [6, 2, 4, 3, 5, 1], own = auc(scores, labels)!;
  const against = aucDifference(scores, [0, 0, 0, 0, 0, 0], labels)!;
  assertEquals(against, { value: own.value - 0.5, low: own.low - 0.5, high: own.high - 0.5 });
  assertEquals(aucDifference([1, 2], [2, 1], [true, true]), undefined);
});
