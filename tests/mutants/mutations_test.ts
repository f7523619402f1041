// Changes to a source text, and that tests notice them in a tree of their own.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { tryMutants } from "../../services/mutants/mutants.ts";
import { mutationsOf } from "../../services/mutants/mutations.ts";
import { silent } from "../../shared/progress.ts";

/** The lines that a source can become, in place of its own. */
const changes = (source: string) => mutationsOf(source).map(({ line, after }) => `${line}: ${after}`);

Deno.test("comparisons, arithmetic, numbers, conditions and statements are changed, each for itself", () => {
  assertEquals(changes("const more = a < b;"), ["1: const more = a <= b;"]);
  assertEquals(changes("const sum = a + 2;"), ["1: const sum = a - 2;", "1: const sum = a + 4;"]);
  assertEquals(changes("x = 0;"), ["1: x = 1;"]);
  assertEquals(changes("  await save(path);"), ["1: ;"]);
  assertEquals(changes("  if (done) return;\n  next();"), ["1: ;", "2: ;"]);
  assertEquals(changes("return Math.max(a, b);"), ["1: return Math.min(a, b);"]);
});

Deno.test("what is said to people and to the type checker stays as it is, and expressions within templates do not", () => {
  for (const line of ['import { a } from "./b.ts";', "// a < b", 'const text = "a < b && 3";', "/** a + 1 */"]) {
    assertEquals(changes(line), [], line);
  }
  assertEquals(changes("const text = `1 < ${a + b}`;"), ["1: const text = `1 < ${a - b}`;"]);
});

Deno.test("a change that a test notices is killed, one that none notices survives, and the tree stays as it was", async () => {
  const root = fileURLToPath(new URL("../../", import.meta.url)), file = "services/trainer/schedule.ts";
  const source = await Deno.readTextFile(`${root}${file}`);
  const tried = await tryMutants({ root, files: [file], tests: [], most: 6, seed: 1 }, silent, () => false);
  assertEquals(tried.length, 6);
  assert(tried.some(({ fate }) => fate === "killed"), JSON.stringify(tried));
  const blind = ["tests/random_test.ts"];
  const unnoticed = await tryMutants({ root, files: [file], tests: blind, most: 2, seed: 1 }, silent, () => false);
  assertEquals(unnoticed.map(({ fate }) => fate), ["survived", "survived"]);
  assertStrictEquals(await Deno.readTextFile(`${root}${file}`), source);
});
