import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { Random } from "../shared/random.ts";

Deno.test("one seed gives one sequence, on any machine, and another seed another", () => {
  const draw = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 4 }, () => random.int(1000));
  };
  assertEquals(draw(7), draw(7));
  assertNotEquals(draw(7), draw(8));
  assertEquals(draw(7), [49, 165, 929, 952]);
});

Deno.test("next() is even over [0, 1), down to tenths", () => {
  const random = new Random(1);
  const tenths = new Array<number>(10).fill(0);
  for (let i = 0; i < 100_000; i++) {
    const x = random.next();
    assert(x >= 0 && x < 1);
    tenths[Math.floor(x * 10)]! += 1;
  }
  for (const count of tenths) assert(Math.abs(count - 10_000) < 400, `${tenths}`);
});

Deno.test("normal() has mean 0 and variance 1", () => {
  const random = new Random(2);
  const xs = Array.from({ length: 100_000 }, () => random.normal());
  const mean = xs.reduce((a, b) => a + b) / xs.length;
  const variance = xs.reduce((a, b) => a + (b - mean) ** 2, 0) / xs.length;
  assert(Math.abs(mean) < 0.02 && Math.abs(variance - 1) < 0.03, `${mean} ${variance}`);
  assert(xs.every(Number.isFinite));
});

Deno.test("a shuffle keeps every element, leaves its input alone and does move things", () => {
  const xs = Array.from({ length: 50 }, (_, i) => i);
  const shuffled = new Random(3).shuffle(xs);
  assertEquals(xs, Array.from({ length: 50 }, (_, i) => i));
  assertNotEquals(shuffled, xs);
  assertEquals([...shuffled].sort((a, b) => a - b), xs);
});

Deno.test("picking from nothing, or below nothing, is refused", () => {
  assertThrows(() => new Random(1).pick([]), RangeError);
  assertThrows(() => new Random(1).int(0), RangeError);
});
