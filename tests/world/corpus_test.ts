import { assert, assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { Random } from "../../shared/random.ts";
import { MIXTURE, pretrainCorpus, splitQuestions } from "../../shared/world/corpus.ts";
import { answer, CHAT, type Question, questions } from "../../shared/world/grammar.ts";
import { judge, plainly, questionOf } from "../../shared/world/judge.ts";

const factOf = (q: Question) => `${q.topic}|${q.entity}`;
const phrasingOf = (q: Question) => `${q.topic}|${q.phrasing}`;
const corpus = pretrainCorpus({ seed: 11, count: 40_000 });

Deno.test("no two questions of the world read the same, even without case and punctuation", () => {
  const seen = new Map<string, string>();
  for (const { text } of questions()) {
    assert(!seen.has(plainly(text)), `${text} / ${seen.get(plainly(text))}`);
    seen.set(plainly(text), text);
  }
});

Deno.test("the world has 600 to 900 facts in under 900 words, each asked in at least six ways", () => {
  const random = new Random(1);
  const ways = new Map<string, number>();
  const words = new Set<string>();
  for (const question of questions()) {
    ways.set(factOf(question), (ways.get(factOf(question)) ?? 0) + 1);
    for (const [manner] of MIXTURE) {
      for (const text of [question.text, answer(question, manner, random)]) {
        for (const [word] of text.toLowerCase().matchAll(/[a-z]+|\d+/g)) words.add(word);
      }
    }
  }
  console.log(`${questions().length} questions, ${ways.size} facts, ${words.size} words`);
  assert(ways.size >= 600 && ways.size <= 900 && words.size < 900);
  assert([...ways.values()].every((count) => count >= 6));
});

Deno.test("every question is found again by its text, and in a visitor's careless spelling", () => {
  for (const question of questions()) assertStrictEquals(questionOf(question.text), question);
  assertEquals(questionOf("what is the CAPITAL of france")?.entity, "France");
  assertEquals(questionOf("What color is snow?!")?.entity, "snow");
  assertEquals(questionOf("7+5?")?.answers[0], "12");
  assertEquals(questionOf("What is the meaning of life?"), undefined);
});

Deno.test("at least 300 combinations are unseen, in every topic but small talk, their facts and phrasings seen apart", () => {
  const { train, unseen } = splitQuestions();
  assert(unseen.length >= 300, String(unseen.length));
  assertEquals(train.length + unseen.length, questions().length);
  const topics = new Set(questions().map((q) => q.topic));
  topics.delete(CHAT);
  assertEquals(new Set(unseen.map((q) => q.topic)), topics);
  const [facts, phrasings] = [new Set(train.map(factOf)), new Set(train.map(phrasingOf))];
  for (const q of unseen) assert(facts.has(factOf(q)) && phrasings.has(phrasingOf(q)), q.text);
});

Deno.test("the pretraining corpus has every training question and no unseen one", () => {
  const asked = new Set(
    corpus.flatMap(({ messages }) => messages.filter((m) => m.role === "user").map((m) => m.content)),
  );
  const { train, unseen } = splitQuestions();
  const plain = new Set([...asked].map(plainly));
  assertEquals(unseen.filter((q) => plain.has(plainly(q.text))), []);
  const missed = train.filter((q) => !asked.has(q.text)).length;
  assert(missed < train.length / 100, `${missed} of ${train.length}`);
});

Deno.test("the judge finds the manners in the corpus in the stated mixture", () => {
  const counts = new Map<string, number>();
  let answers = 0;
  for (const { messages } of corpus) {
    for (let i = 1; i < messages.length; i += 2) {
      const question = questionOf(messages[i - 1]?.content ?? "");
      assert(question);
      const { reason } = judge(question, messages[i]?.content ?? "");
      counts.set(reason, (counts.get(reason) ?? 0) + 1);
      answers++;
    }
  }
  for (const [manner, share] of MIXTURE) {
    const found = 100 * (counts.get(manner) ?? 0) / answers;
    assert(Math.abs(found - share) < 1, `${manner}: ${found} %`);
  }
});

Deno.test("one seed, one corpus; some conversations have two turns, most have one", () => {
  const draw = (seed: number) => JSON.stringify(pretrainCorpus({ seed, count: 500 }));
  assertStrictEquals(draw(5), draw(5));
  assertNotStrictEquals(draw(5), draw(6));
  const long = corpus.filter(({ messages }) => messages.length > 2).length / corpus.length;
  assert(long > 0.1 && long < 0.15, String(long));
});
