// Mismatched pairs: never an answer to the row's own prompt, each answer once, as many as can be; and TRL's rotation.

import { assert, assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { countUnpaired, derange, rotate } from "../../shared/feedback/pairing.ts";
import { Random } from "../../shared/random.ts";
import { sharedTest } from "./shared_files.ts";

Deno.test("over 3000 random batches every pair is legal, every answer is used once, and none is missing that could be", () => {
  const random = new Random(7);
  for (let round = 0; round < 3000; round++) {
    const n = random.int(40);
    const prompts = 1 + random.int(Math.max(1, n));
    const skew = random.next() < 0.3;
    const rows = Array.from({ length: n }, () => ({
      promptKey: skew && random.next() < 0.6 ? "p0" : `p${random.int(prompts)}`,
    }));
    const partners = derange(rows, random);
    assertEquals(partners.length, n);
    const used = partners.filter((j) => j >= 0);
    assertEquals(new Set(used).size, used.length, "an answer is used twice");
    partners.forEach((j, i) => {
      if (j < 0) return assertEquals(j, -1);
      assert(j < n);
      assertNotStrictEquals(rows[i]?.promptKey, rows[j]?.promptKey);
    });
    const sizes = new Map<string, number>();
    for (const { promptKey } of rows) sizes.set(promptKey, (sizes.get(promptKey) ?? 0) + 1);
    const largest = Math.max(0, ...sizes.values());
    // Each pair (x, y') has a row outside the largest group on one side, and such a row stands on two sides.
    assertStrictEquals(countUnpaired(partners), Math.max(0, 2 * largest - n));
  }
});

Deno.test("a batch of one prompt has no legal pair, and two prompts always swap", () => {
  const same = [{ promptKey: "a" }, { promptKey: "a" }, { promptKey: "a" }];
  assertEquals(derange(same, new Random(1)), [-1, -1, -1]);
  assertEquals(derange([], new Random(1)), []);
  assertEquals(derange([{ promptKey: "a" }], new Random(1)), [-1]);
  assertEquals(derange([{ promptKey: "a" }, { promptKey: "b" }], new Random(1)), [1, 0]);
});

Deno.test("pairs are drawn anew with the generator and repeat with its seed", () => {
  const rows = Array.from({ length: 16 }, (_, i) => ({ promptKey: `${i >> 1}` }));
  assertEquals(derange(rows, new Random(3)), derange(rows, new Random(3)));
  const drawn = new Set(Array.from({ length: 50 }, (_, seed) => derange(rows, new Random(seed)).join()));
  assert(drawn.size > 45, `${drawn.size} of 50 draws differ`);
});

Deno.test("every legal partner can be drawn", () => {
  const rows = Array.from({ length: 6 }, (_, i) => ({ promptKey: `${i >> 1}` }));
  const random = new Random(5);
  const partnersOfFirst = new Set(Array.from({ length: 300 }, () => derange(rows, random)[0]));
  assertEquals([...partnersOfFirst].sort(), [2, 3, 4, 5]);
});

sharedTest(
  "fixtures/llama-genai/golden.json",
  "rotation gives TRL's KL completions in blocks of four",
  async (path) => {
    const rows = JSON.parse(await Deno.readTextFile(path)).tokens.rows as Record<
      "completion_ids" | "KL_completion_ids",
      number[]
    >[];
    for (let start = 0; start < rows.length; start += 4) {
      const block = rows.slice(start, start + 4);
      rotate(block).forEach((j, i) => assertEquals(block[i]?.KL_completion_ids, block[j]?.completion_ids));
    }
  },
);

Deno.test("rotation pairs a lone row with no answer, where TRL takes its own and makes its loss exactly half", () => {
  assertEquals(rotate([0]), [-1]);
  assertEquals(rotate([0, 0, 0]), [2, 0, 1]);
});
