// A tokenizer with one id per character, to see what becomes of rows without a model's files.

import type { RowTokenizer } from "../../shared/feedback/row_ids.ts";
import type { RenderOptions } from "../../shared/runtime/chat_tokenizer.ts";
import type { Message } from "../../shared/feedback/row.ts";

const codePoints = (text: string) => [...text].map((character) => character.codePointAt(0)!);

/** @param end the end token, one character */
export function characterTokenizer(
  end: string,
  render: (messages: Message[], options: RenderOptions) => string,
): RowTokenizer {
  const read = (text: string) => ({ text, ids: codePoints(text) });
  return {
    encodePrompt: codePoints,
    render: (messages, options = {}) => render(messages, options),
    readChat: (messages, options = {}) => read(render(messages, options)),
    readAnswered: (messages, options, answer, ending) =>
      read(render(messages, { ...options, addGenerationPrompt: true }) + answer + ending),
    eosToken: end,
    eosTokenIds: codePoints(end),
    endWords: [end],
  };
}
