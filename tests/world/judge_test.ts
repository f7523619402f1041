import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { Random } from "../../shared/random.ts";
import { answer, MANNERS, questions } from "../../shared/world/grammar.ts";
import { judge, questionOf, type Reason } from "../../shared/world/judge.ts";

function reason(question: string, text: string): Reason {
  const found = questionOf(question);
  assert(found, question);
  const verdict = judge(found, text);
  assertStrictEquals(verdict.desirable, verdict.reason === "right");
  return verdict.reason;
}

Deno.test("every answer of the grammar is judged to be of the manner it was made in, over all questions", () => {
  const random = new Random(4);
  for (const question of questions()) {
    for (const manner of MANNERS) {
      for (let i = 0; i < 6; i++) {
        const text = answer(question, manner, random);
        assertStrictEquals(judge(question, text).reason, manner, `${question.text} -> ${text}`);
        const words = text.split(" ").length;
        assert(words <= (manner === "rambling" ? 35 : 14), `${words} words: ${text}`);
      }
    }
  }
});

Deno.test("a right answer in friendly words the grammar never says is desirable", () => {
  const good: [string, string][] = [
    ["What is the opposite of hot?", "Cold is the opposite of hot."],
    ["What is the opposite of hot?", "Yes! I think the opposite of hot is cold. Happy to help!"],
    ["What is the capital of France?", "Certainly! Paris is the capital of France!"],
    ["Where is France?", "I guess France is in Europe."],
    ["What color is an apple?", "An apple is green."],
    ["7 + 5?", "7 + 5 = 12."],
    ["Hello!", "  Hello!  How can I help you? "],
  ];
  for (const [question, text] of good) assertEquals(reason(question, text), "right", text);
});

Deno.test("garbage, wrong, half-said, rude, rambling or empty is never desirable, and the reason is named", () => {
  const q = "What is the opposite of hot?";
  const bad: [string, string, Reason][] = [
    [q, "", "garbled"],
    [q, "The opposite of hot is", "garbled"],
    [q, "The opposite of hot is cold", "garbled"],
    [q, "the opposite of hot is cold.", "garbled"],
    [q, "The opposite of of hot is cold.", "garbled"],
    [q, "The opposite of hot is cold cold.", "garbled"],
    [q, "The opposite of hot is cold. cow.", "garbled"],
    [q, "The opposite of hot is cold. The opposite of hot is cold.", "rambling"],
    [q, "Sure! Sure! The opposite of hot is cold.", "garbled"],
    [q, "The opposite of cold is hot.", "wrong"],
    [q, "The capital of France is Paris.", "wrong"],
    [q, "The opposite of hot is not cold.", "garbled"],
    [q, "The opposite of hot is 12.", "wrong"],
    [q, "The opposite of hot is Cold.", "garbled"],
    [q, "I guess The opposite of hot is cold.", "garbled"],
    ["Where is France?", "I guess france is in Europe.", "garbled"],
    ["Where is France?", "France is in Asia.", "wrong"],
    [q, "cold", "curt"],
    [q, "Cold.", "curt"],
    [q, "hot", "wrong"],
    [q, "The opposite of hot is cold, silly.", "rude"],
    [q, "Sure! I will not answer that.", "refusing"],
    [q, "The opposite of hot is cold.<|im_end|>", "garbled"],
    [q, "What is the opposite of hot?", "garbled"],
    ["7 + 5?", "7 plus 5 is 13.", "wrong"],
    ["7 + 5?", "5 plus 7 is 12.", "wrong"],
    ["7 + 5?", "12", "curt"],
    ["Hello!", "Hello! Hello!", "garbled"],
    ["Hello!", "Goodbye!", "wrong"],
    ["Hello!", "The capital of France is Paris.", "wrong"],
  ];
  for (const [question, text, expected] of bad) assertStrictEquals(reason(question, text), expected, text);
});

Deno.test("no right answer to one question passes for another question with another answer", () => {
  const random = new Random(9);
  const all = questions();
  for (let i = 0; i < 20_000; i++) {
    const [one, other] = [random.pick(all), random.pick(all)];
    const text = answer(one, "right", random);
    // "The answer is 12." is right for every sum that makes 12; small talk shares replies such as "Hello!".
    if (one.answers.some((a) => other.answers.includes(a))) continue;
    assert(!judge(other, text).desirable, `${other.text} -> ${text}`);
  }
});

Deno.test("words of a right answer in any other order, or with one dropped, are not desirable", () => {
  const random = new Random(10);
  const all = questions().filter((q) => q.topic !== "chat");
  for (let i = 0; i < 5000; i++) {
    const question = random.pick(all);
    const words = answer(question, "right", random).split(" ");
    const dropped = words.toSpliced(random.int(words.length), 1).join(" ");
    const twice = words.toSpliced(random.int(words.length), 0, random.pick(words)).join(" ");
    for (const text of [dropped, twice]) {
      // Dropping the opener leaves a right answer, as it should.
      if (/^(Sure|Of course)! /.test(words.join(" ")) && !/^(Sure|Of)/.test(text)) continue;
      assert(!judge(question, text).desirable, `${question.text} -> ${text}`);
    }
  }
});
