// Near duplicates against the definition, computed by brute force.

import { assert, assertEquals } from "@std/assert";
import { nearDuplicates, nearSimilarity } from "../../shared/feedback/near_duplicates.ts";
import { Random } from "../../shared/random.ts";

const alphabet = "abcdefghijklmnopqrstuvwxyz";

/** Texts of made-up words, and many that are another one with a few words changed. */
function textsWithEdits(random: Random, count: number, words: number): string[][] {
  const vocabulary = Array.from(
    { length: 2000 },
    () => Array.from({ length: 2 + random.int(7) }, () => alphabet[random.int(26)]).join(""),
  );
  const texts: string[][] = [];
  while (texts.length < count) {
    const edited = texts.length > 0 && random.next() < 0.6;
    const text = edited ? [...random.pick(texts)] : Array.from({ length: words }, () => random.pick(vocabulary));
    const edits = edited ? random.int(1 + (words >> 3)) : 0;
    for (let k = 0; k < edits; k++) text[random.int(words)] = random.pick(vocabulary);
    texts.push(text);
  }
  return texts;
}

/** Jaccard similarity of the sets of 5 characters in a row. */
function similarity(a: string, b: string): number {
  const shingles = (text: string) =>
    new Set(Array.from({ length: Math.max(1, text.length - 4) }, (_, i) => text.slice(i, i + 5)));
  const [first, second] = [shingles(a), shingles(b)];
  return first.intersection(second).size / first.union(second).size;
}

Deno.test("what is found is near by the definition, and what is near is found, among texts with a few words changed", () => {
  const texts = textsWithEdits(new Random(3), 250, 30).map((words) => words.join(" "));
  const found = nearDuplicates(texts.map((text) => [text]));
  const kept: number[] = [];
  let near = 0;
  texts.forEach((text, i) => {
    const earlier = kept.filter((j) => similarity(text, texts[j]!) >= nearSimilarity);
    if (found[i]! >= 0) assert(earlier.includes(found[i]!), `${i} is not near ${found[i]}`);
    else {
      assertEquals(earlier, [], `${i} is near an earlier text`);
      kept.push(i);
    }
    near += earlier.length > 0 ? 1 : 0;
  });
  assert(near > 50 && near < 200, `${near} near texts make no test`);
});

Deno.test("of long texts the sketch decides as the whole sets do, but for a hair's breadth", () => {
  const texts = textsWithEdits(new Random(4), 50, 300).map((words) => words.join(" "));
  const found = nearDuplicates(texts.map((text) => [text]));
  const kept: number[] = [];
  found.forEach((of, i) => {
    if (of >= 0) assert(similarity(texts[i]!, texts[of]!) > nearSimilarity - 0.1);
    else {
      for (const j of kept) assert(similarity(texts[i]!, texts[j]!) < nearSimilarity + 0.1);
      kept.push(i);
    }
  });
  assert(kept.length > 10 && kept.length < 40, `${kept.length} kept`);
});

Deno.test("case and white space do not tell texts apart, and every part must be near", () => {
  const prompt = "A long prompt that was asked again and again, with all its details, by the same person.";
  assertEquals(
    nearDuplicates([
      [prompt, "Yes, of course."],
      [prompt.toUpperCase().replaceAll(" ", "\n "), "yes,  of course. "],
      [prompt, "No."],
      ["Something else altogether.", "Yes, of course."],
      [prompt, "No."],
    ]),
    [-1, 0, -1, -1, 2],
  );
});

Deno.test("empty and tiny texts are near only to themselves", () => {
  assertEquals(nearDuplicates([[""], ["a"], ["b"], [""], ["a"]]), [-1, -1, -1, 0, 1]);
});

Deno.test("of many versions of one text all lead to the first", () => {
  const text = "The quick brown fox jumps over the lazy dog and runs on through the wood until it is home again";
  const found = nearDuplicates(Array.from({ length: 2000 }, (_, i) => [`${text} ${i % 10}`]));
  assertEquals(found, found.map((_, i) => i === 0 ? -1 : 0));
});
