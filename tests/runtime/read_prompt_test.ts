// What fits is read whole; of what is far too long only as much is tokenised as shows it.

import { assert, assertEquals } from "@std/assert";
import type { ChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";
import { loadChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";
import { embeddedModelFolder } from "../../shared/runtime/embedded_model.ts";
import { openModelFolder } from "../../shared/runtime/model_folder.ts";
import { readPrompt } from "../../shared/runtime/read_prompt.ts";

const embedded = loadChatTokenizer(openModelFolder(embeddedModelFolder));

/** The embedded tokenizer, and how many characters it was given. */
function counting(): { tokenizer: ChatTokenizer; given: () => number } {
  let given = 0;
  const encode: ChatTokenizer["encode"] = (text, options) => {
    given += text.length;
    return embedded.encode(text, options);
  };
  return { tokenizer: { ...embedded, encode }, given: () => given };
}

Deno.test("of a text that is far too long, only the beginning is tokenised", () => {
  const { tokenizer, given } = counting();
  const text = "éa ".repeat(400_000);
  assertEquals(readPrompt(tokenizer, { source: "text", text }, 512), { tooLong: "more than 512 tokens" });
  const messages = [{ role: "user", content: text }];
  assertEquals(readPrompt(tokenizer, { source: "chat", messages, options: {} }, 512), {
    tooLong: "more than 512 tokens",
  });
  assert(given() < 20_000, `${given()} characters were tokenised`);
});

Deno.test("a text of long tokens that fits is read, and one that does not by a token is counted", () => {
  const encode = (text: string) => Array.from({ length: Math.ceil(text.length / 60) }, (_, i) => i);
  const text = "a".repeat(60 * 1000), tokenizer: ChatTokenizer = { ...embedded, encode, encodePrompt: encode };
  assert(text.length / 8192 > 7, "more than a piece, none of whole tokens");
  const read = (contextLength: number) => readPrompt(tokenizer, { source: "text", text }, contextLength);
  assertEquals(read(1001), { ids: encode(text) });
  assertEquals(read(1000), { tooLong: "1000 tokens" });
});

Deno.test("what a template leaves out does not count", () => {
  const tokenizer: ChatTokenizer = { ...embedded, render: () => "Hi", encodeChat: () => [1, 2] };
  const messages = [{ role: "user", content: "thought ".repeat(10_000) }];
  assertEquals(readPrompt(tokenizer, { source: "chat", messages, options: {} }, 64), { ids: [1, 2] });
});
