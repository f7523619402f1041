// Batches hold both classes, held-out prompts are never trained on, weights follow the paper, micro-batches keep the budget.

import { assert, assertEquals, assertMatch, assertNotEquals, assertStrictEquals } from "@std/assert";
import { classWeights, microBatches, paddedLength, planEpoch, splitHeldOut } from "../../shared/feedback/batches.ts";
import { Random } from "../../shared/random.ts";

const labels = (desirable: number, undesirable: number) => [
  ...Array.from({ length: desirable }, () => ({ label: true })),
  ...Array.from({ length: undesirable }, () => ({ label: false })),
];

Deno.test("every row is visited once an epoch, and every mixed batch holds each class within one row of its share", () => {
  const random = new Random(2);
  for (let round = 0; round < 500; round++) {
    const rows = labels(random.int(60), random.int(60));
    const batchSize = 1 + random.int(12);
    const desirable = rows.filter((row) => row.label).length;
    const batches = planEpoch(rows, { batchSize, order: "mixed", seed: round, epoch: random.int(4) });
    assertEquals(batches.flat().sort((a, b) => a - b), rows.map((_, i) => i));
    batches.forEach((batch, k) => {
      assertEquals(batch.length, k < batches.length - 1 ? batchSize : rows.length - k * batchSize);
      const here = batch.filter((i) => rows[i]?.label).length;
      assert(Math.abs(here - (batch.length * desirable) / rows.length) < 1 + 1e-9);
    });
  }
});

Deno.test("a seed repeats its epoch, and epochs and seeds differ", () => {
  const rows = labels(20, 20);
  const plan = (seed: number, epoch: number) =>
    planEpoch(rows, { batchSize: 8, order: "mixed", seed, epoch }).join(";");
  assertStrictEquals(plan(1, 0), plan(1, 0));
  assertEquals(new Set([plan(1, 0), plan(1, 1), plan(2, 0), plan(0, 0), plan(0, 1)]).size, 5);
});

Deno.test("file order is consecutive blocks in every epoch, the last one partial", () => {
  const plan = { batchSize: 4, order: "file", seed: 9, epoch: 3 } as const;
  assertEquals(planEpoch(labels(5, 5), plan), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]);
  assertEquals(planEpoch([], plan), []);
  assertEquals(planEpoch([], { ...plan, order: "mixed" }), []);
});

Deno.test("no prompt is on both sides of the split, no row is lost, and both sides keep both classes", () => {
  const random = new Random(4);
  for (let round = 0; round < 500; round++) {
    const prompts = 2 + random.int(60);
    const bias = random.next();
    // Two prompts of each class at least, so that both sides can have both.
    const rows = Array.from({ length: 8 + random.int(200) }, (_, i) => ({
      id: i,
      promptKey: i < 4 ? `own${i}` : `p${random.int(prompts)}`,
      label: i < 4 ? i < 2 : random.next() < bias,
    }));
    const fraction = 0.05 + 0.3 * random.next();
    const { train, heldOut } = splitHeldOut(rows, fraction, round);
    assertEquals([...train, ...heldOut].map((row) => row.id).sort((a, b) => a - b), rows.map((row) => row.id));
    const held = new Set(heldOut.map((row) => row.promptKey));
    assert(train.every((row) => !held.has(row.promptKey)));
    for (const side of [train, heldOut]) {
      assert(side.some((row) => row.label) && side.some((row) => !row.label), `round ${round}`);
      assert(side.every((row, i) => i === 0 || row.id > (side[i - 1]?.id as number)), "file order");
    }
  }
});

Deno.test("with one row a prompt the split holds out its fraction of each class, the same for the same seed", () => {
  const rows = labels(300, 100).map((row, i) => ({ ...row, promptKey: `${i}` }));
  const { heldOut } = splitHeldOut(rows, 0.1, 5);
  assertEquals([heldOut.filter((r) => r.label).length, heldOut.filter((r) => !r.label).length], [30, 10]);
  assertEquals(splitHeldOut(rows, 0.1, 5).heldOut, heldOut);
  assertNotEquals(splitHeldOut(rows, 0.1, 6).heldOut, heldOut);
});

Deno.test("as a file grows, nearly every prompt that was held out stays so, and few trained ones are held out later", () => {
  const rows = labels(1500, 1500).map((row, i) => ({ ...row, promptKey: `${i}` }));
  const grown = rows.filter((_, i) => i % 3 > 0);
  const before = splitHeldOut(grown, 0.1, 0), after = splitHeldOut(rows, 0.1, 0);
  const held = new Set(after.heldOut.map(({ promptKey }) => promptKey));
  assert(before.heldOut.filter(({ promptKey }) => held.has(promptKey)).length > 0.85 * before.heldOut.length);
  assert(before.train.filter(({ promptKey }) => held.has(promptKey)).length < 0.02 * before.train.length);
});

Deno.test("a fraction of 0 holds nothing out, and a single prompt cannot be split", () => {
  const rows = labels(3, 3).map((row) => ({ ...row, promptKey: "p" }));
  assertEquals(splitHeldOut(rows, 0, 1).train.length, 6);
  assertEquals(splitHeldOut(rows, 0.5, 1).heldOut.length, 0);
});

/** Counts, what is asked, and the weights that follow. */
const WEIGHTS: [[number, number], [number | "auto", number | "auto"], [number, number]][] = [
  [[100, 100], ["auto", "auto"], [1, 1]],
  [[120, 100], ["auto", "auto"], [1, 1]],
  [[4, 3], ["auto", "auto"], [1, 1]],
  [[10, 100], ["auto", "auto"], [10, 1]],
  [[200, 100], ["auto", "auto"], [1, 1.5]],
  [[90, 100], ["auto", "auto"], [100 / 90, 1]],
  [[100, 100], [1, 1.25], [1, 1.25]],
  [[10, 100], [1, 1], [1, 1]],
  [[100, 100], ["auto", 2], [2, 1]],
  [[100, 200], [3, "auto"], [3, 1.125]],
  [[0, 50], ["auto", "auto"], [1, 1]],
  [[50, 0], ["auto", "auto"], [1, 1]],
];

Deno.test("weights bring the ratio into [1, 4/3] at its nearer end, one of them staying 1, and numbers are taken as asked", () => {
  for (const [[desirable, undesirable], [askedD, askedU], [lambdaD, lambdaU]] of WEIGHTS) {
    const result = classWeights({ desirable, undesirable }, { desirable: askedD, undesirable: askedU });
    const expected = askedU === 2 ? [2, 2] : [lambdaD, lambdaU];
    assert(Math.abs(result.desirable - (expected[0] as number)) < 1e-12, result.reason);
    assert(Math.abs(result.undesirable - (expected[1] as number)) < 1e-12, result.reason);
    assertMatch(result.reason, new RegExp(`^${desirable} desirable and ${undesirable} undesirable rows: .*\\.$`));
  }
});

Deno.test("for any counts the automatic weights land inside the paper's interval with one weight exactly 1", () => {
  for (let d = 1; d < 60; d++) {
    for (let u = 1; u < 60; u++) {
      const w = classWeights({ desirable: d, undesirable: u }, { desirable: "auto", undesirable: "auto" });
      const ratio = (w.desirable * d) / (w.undesirable * u);
      assert(ratio > 1 - 1e-9 && ratio < 4 / 3 + 1e-9, w.reason);
      assert(Math.min(w.desirable, w.undesirable) === 1, w.reason);
    }
  }
});

Deno.test("padding is to multiples of 16, 32 and 64 and never below the length", () => {
  assertEquals([0, 1, 16, 17, 256, 257, 1024, 1025].map(paddedLength), [16, 16, 16, 32, 256, 288, 1024, 1088]);
  for (let n = 1; n < 3000; n++) assert(paddedLength(n) >= n && paddedLength(n) - n < 64);
});

Deno.test("micro-batches hold each sequence once, one padded length, and no more tokens than the budget", () => {
  const random = new Random(8);
  for (let round = 0; round < 300; round++) {
    const items = Array.from({ length: random.int(80) }, () => ({ length: 1 + random.int(1500) }));
    const budget = 256 + random.int(4096);
    const batches = microBatches(items, budget);
    assertEquals(batches.flat().sort((a, b) => a - b), items.map((_, i) => i));
    assertEquals(microBatches(items, budget), batches);
    let last = Infinity;
    for (const batch of batches) {
      const widths = new Set(batch.map((i) => paddedLength(items[i]?.length as number)));
      assertEquals(widths.size, 1);
      const width = [...widths][0] as number;
      assert(batch.length === 1 || batch.length * width <= budget);
      assert(width <= last);
      last = width;
    }
  }
});
