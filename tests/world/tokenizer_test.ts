import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { PreTrainedTokenizer } from "@huggingface/transformers";
import { pretrainCorpus } from "../../shared/world/corpus.ts";
import { questions } from "../../shared/world/grammar.ts";
import { trainTokenizer } from "../../shared/world/tokenizer.ts";

const texts = pretrainCorpus({ seed: 1, count: 20_000 }).flatMap(({ messages }) => messages.map((m) => m.content));
const trained = trainTokenizer(texts, 1024);
const tokenizer = new PreTrainedTokenizer(trained.tokenizer, trained.config);

/** The ids of a text as it stands, no special tokens added. */
function ids(text: string): number[] {
  return tokenizer.encode(text, { add_special_tokens: false });
}

function chatIds(messages: { role: string; content: string }[], add_generation_prompt: boolean): number[] {
  return ids(String(tokenizer.apply_chat_template(messages, { tokenize: false, add_generation_prompt })));
}

Deno.test("the vocabulary holds at most 1024 entries, ids without a gap, and every merge makes an entry", () => {
  const { model } = trained.tokenizer as { model: { vocab: Record<string, number>; merges: [string, string][] } };
  const values = Object.values(model.vocab);
  assert(values.length <= 1024);
  assertEquals(values.toSorted((a, b) => a - b), values.map((_, i) => i));
  assertEquals(["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map((token) => model.vocab[token]), [0, 1, 2]);
  assert(model.merges.length > 50);
  for (const [a, b] of model.merges) assert(model.vocab[a + b] !== undefined, `${a} ${b}`);
});

Deno.test("transformers.js gives back every text it is given, of the world or not", () => {
  const others = [
    "Zürich? 42!",
    "naïve façade\n\n  two  spaces\t日本 🙂",
    "constructor __proto__ toString",
    "I'm we'll 1234567",
  ];
  for (const text of [...texts.slice(0, 3000), ...others]) {
    assertStrictEquals(tokenizer.decode(ids(text), { skip_special_tokens: false }), text);
  }
});

Deno.test("a word of the world is one token, and a question in its template at most 14 on average", () => {
  const words = new Set(texts.flatMap((text) => text.match(/ ?[A-Za-z]+| ?\d+/g) ?? []));
  const perWord = [...words].reduce((sum, word) => sum + ids(word).length, 0) / words.size;
  const all = questions();
  const perQuestion = all.reduce((sum, { text }) => sum + chatIds([{ role: "user", content: text }], false).length, 0) /
    all.length;
  const running = texts.reduce((sum, text) => sum + ids(text).length, 0) / texts.length;
  console.log(
    `tokens: ${perWord.toFixed(3)} a word, ${perQuestion.toFixed(2)} a question, ${running.toFixed(2)} a message`,
  );
  assert(perWord < 1.2);
  assert(perQuestion <= 14);
});

Deno.test("a prompt's tokens begin the whole conversation's tokens, and the completion ends in the end token", () => {
  for (const { messages } of pretrainCorpus({ seed: 2, count: 300 })) {
    for (let i = 1; i < messages.length; i += 2) {
      const prompt = chatIds(messages.slice(0, i), true);
      const whole = chatIds(messages.slice(0, i + 1), false);
      assertEquals(whole.slice(0, prompt.length), prompt);
      assert(whole.length > prompt.length + 1);
      assertEquals(whole.at(-1), 2);
      assertStrictEquals(tokenizer.decode(whole.slice(prompt.length, -1)), messages[i]?.content);
    }
  }
});

Deno.test("training is deterministic and does not depend on the order of the texts", () => {
  const some = texts.slice(0, 2000);
  assertEquals(JSON.stringify(trainTokenizer(some, 700)), JSON.stringify(trainTokenizer(some.toReversed(), 700)));
});

Deno.test("a vocabulary too small for words still holds 256 bytes and reads everything", () => {
  const small = trainTokenizer(texts.slice(0, 500), 300);
  const reader = new PreTrainedTokenizer(small.tokenizer, small.config);
  const text = "What is the opposite of hot? Zürich!";
  assertStrictEquals(reader.decode(reader.encode(text, { add_special_tokens: false })), text);
  assertThrows(() => trainTokenizer(texts, 100), RangeError);
});
