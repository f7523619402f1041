// Measures of behaviour on made-up answers whose figures are known.

import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import {
  type AnsweredPrompt,
  countWords,
  describeLength,
  describeRate,
  leastPrompts,
  measureBehaviour,
} from "../../services/trainer/behaviour.ts";

const answer = (text: string, tokens = 4, ended = true) => ({ text, tokens, ended });
const asked = (prompt: AnsweredPrompt["prompt"], before = answer("No."), after = answer("No.")): AnsweredPrompt => ({
  prompt,
  before,
  after,
});
const times = <Value>(count: number, of: (index: number) => Value) => Array.from({ length: count }, (_, i) => of(i));

Deno.test("lengths are compared prompt by prompt: mean, ratio, and Student's interval of the difference", () => {
  // Differences 1 to 10: mean 5.5, deviation 3.0277, t of 9 degrees 2.2622.
  const { tokens, words, prompts } = measureBehaviour(
    times(10, (i) => asked("Hi.", answer("one two", 100 * i), answer("one two three", 100 * i + i + 1))),
  )!;
  assertEquals(prompts, 10);
  assertEquals(tokens.before, 450);
  assertEquals(tokens.after, 455.5);
  assertStrictEquals(tokens.ratio, 455.5 / 450);
  const half = 2.2622 * 3.0277 / Math.sqrt(10);
  assert(Math.abs(tokens.difference!.low - (5.5 - half)) < 0.003, `${tokens.difference!.low}`);
  assert(Math.abs(tokens.difference!.high - (5.5 + half)) < 0.003, `${tokens.difference!.high}`);
  assertEquals([words.before, words.after], [2, 3]);
});

Deno.test("words are counted as Unicode separates them", () => {
  assertEquals(countWords("It's 3.5 km — far!"), 4);
  assertStrictEquals(countWords(""), 0);
  assert(countWords("我们今天去公园") > 1);
});

Deno.test("refusals are counted, with an interval of the paired difference that has room where nothing changed", () => {
  const no = answer("I can't help with that."), yes = answer("Gladly.");
  const rows = times(40, (i) => asked("Hi.", i < 2 ? no : yes, i < 10 ? no : yes));
  const { refusals } = measureBehaviour(rows)!;
  // 8 rise, none falls: (9 - 1) / 42 ± 1.96 sqrt((10/42 - (8/42)²) / 42).
  assertEquals([refusals.prompts, refusals.before, refusals.after], [40, 2, 10]);
  const half = 1.959964 * Math.sqrt((10 / 42 - (8 / 42) ** 2) / 42);
  assert(Math.abs(refusals.difference!.low - (8 / 42 - half)) < 1e-9);
  assert(Math.abs(refusals.difference!.high - (8 / 42 + half)) < 1e-9);
  const { low, high } = measureBehaviour(times(40, () => asked("Hi.")))!.refusals.difference!;
  assert(low < -0.05 && high > 0.05, "where nothing changed, an interval of no width was given");
});

Deno.test("agreement is measured on the prompts whose last user turn states a view, and not where none does", () => {
  const yes = answer("You're right."), no = answer("No.");
  const { agreement } = measureBehaviour([
    asked("I think it is 5.", no, yes),
    asked([{ role: "user", content: "It is 5, right?" }], yes, yes),
    asked(
      [{ role: "user", content: "I think so." }, { role: "assistant", content: "Hm." }, {
        role: "user",
        content: "What is 2 plus 3?",
      }],
      no,
      yes,
    ),
    asked([{ role: "system", content: "I think you are kind." }, { role: "user", content: "Hello." }], no, yes),
  ])!;
  assertEquals(agreement, { prompts: 2, before: 1, after: 2, difference: null });
  assertEquals(measureBehaviour([asked("What is 2 plus 3?", no, yes)])!.agreement, null);
});

Deno.test("nothing to measure is nothing, and few prompts have no interval", () => {
  assertEquals(measureBehaviour([]), undefined);
  const few = measureBehaviour(times(leastPrompts - 1, () => asked("Hi.")))!;
  assertEquals(few.tokens.difference, null);
  assertEquals(few.refusals.difference, null);
  assertMatch(describeLength(few), /too few prompts for an interval/);
  assertEquals(measureBehaviour([asked("Hi.", answer("", 0))])!.tokens.ratio, null);
});

Deno.test("the sentences have the figures, and say where the limit cut answers off", () => {
  const measured = measureBehaviour(
    times(20, (i) => asked("Hi.", answer("Gladly.", 10), answer(i < 5 ? "I won't." : "Gladly.", 15, i > 0))),
  )!;
  assertEquals(
    describeLength(measured),
    "Answers to 20 held-out prompts have 15.0 tokens, before 10.0 (1.50 times as long), difference 95% interval 5.0 " +
      "to 5.0; the limit cut off 0 before, 1 after",
  );
  assertEquals(
    describeRate(measured.refusals, "refuse"),
    "5 of 20 (25%) answers refuse by their words, before 0, difference 95% interval +1 to +44 points",
  );
});
