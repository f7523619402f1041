import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { compare } from "../../services/guard/comparison.ts";

Deno.test("a ratio above 1 is better, whether the unit is one of more or of less", () => {
  assertEquals(compare([10, 10, 10], [20, 20, 20], true).ratio, 2);
  assertEquals(compare([10, 10, 10], [20, 20, 20], false).ratio, 0.5);
});

Deno.test("a loss of 5 % in a quiet machine is slower, one of 2 % is the same", () => {
  assertEquals(compare([100, 100.5, 100], [95, 95.2, 95.1], true).verdict, "slower");
  assertEquals(compare([100, 100.5, 100], [98, 98.2, 98.1], true).verdict, "same");
  assertEquals(compare([100, 100.5, 100], [95, 95.2, 95.1], false).verdict, "faster");
});

Deno.test("a loss that is no larger than what one tree differs from itself is lost in the noise", () => {
  const { verdict, noise } = compare([100, 140, 100, 140, 100], [90, 126, 90, 126, 90], true);
  assertEquals(verdict, "lost in the noise");
  assert(noise > 0.28);
});

Deno.test("rounds are compared within themselves: a machine that slows down for both changes no ratio", () => {
  const { ratio, low, high, verdict } = compare([100, 50, 25], [110, 55, 27.5], true);
  assert([ratio, low, high].every((each) => Math.abs(each - 1.1) < 1e-12));
  assertEquals(verdict, "lost in the noise");
});

Deno.test("one round knows nothing of the noise and calls nothing slower", () => {
  const { noise, verdict } = compare([100], [50], true);
  assertStrictEquals(noise, Infinity);
  assertEquals(verdict, "lost in the noise");
});
