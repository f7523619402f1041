// What is asked of models: short questions of equal kind, answered greedily and never ended early, so that every answer
// has the length asked for and is the same whoever computes it.

import type { ChatTokenizer } from "../../../shared/runtime/chat_tokenizer.ts";

const things = ["hot", "up", "big", "fast", "old", "happy", "light", "near", "open", "rich", "soft", "wide", "full"];

/** The question of a number. */
export const question = (index: number): string =>
  `What is the opposite of ${things[index % things.length]}, and who says so ${1 + index} times?`;

/** A chat request whose answer has `tokens` tokens. */
export function chatRequest(tokenizer: Pick<ChatTokenizer, "eosTokenIds">, index: number, tokens: number) {
  return {
    model: "base",
    messages: [{ role: "user", content: question(index) }],
    max_tokens: tokens,
    temperature: 0,
    logit_bias: Object.fromEntries(tokenizer.eosTokenIds.map((id) => [id, -100])),
  };
}
