// One prompt to ids, whichever kind it is; of one that is far too long, no more is tokenised than shows it. It knows no
// threads and no requests.

import type { Message } from "../feedback/row.ts";
import type { ChatTokenizer, RenderOptions } from "./chat_tokenizer.ts";

/** A conversation for the chat template, or a text as it is. */
export type Prompt =
  | { source: "chat"; messages: Message[]; options: RenderOptions }
  | { source: "text"; text: string };

/** The ids of a prompt; of one that leaves no room for an answer, only its size in words, e.g. `600 tokens`. */
export type ReadPrompt = { ids: number[] } | { tooLong: string };

/** Characters that are tokenised at a time to see whether a text fits. */
const pieceLength = 8192;

/** A text's pieces have more tokens than the text, where tokens reach from one into the next: a few in a hundred. */
const certainty = 1.25;

/** Honest prompts of fewer characters a token are not looked at twice. */
const charactersPerToken = 8;

/** Characters of what a prompt says, without what a template adds. */
export function lengthOf(prompt: Prompt): number {
  if (prompt.source === "text") return prompt.text.length;
  return prompt.messages.reduce((sum, { content }) => sum + content.length, 0);
}

function surelyTooLong(tokenizer: ChatTokenizer, prompt: Prompt, contextLength: number): boolean {
  if (lengthOf(prompt) < contextLength * charactersPerToken) return false;
  // A template may leave out what was said, so it is asked first.
  const text = prompt.source === "chat" ? tokenizer.render(prompt.messages, prompt.options) : prompt.text;
  let tokens = 0;
  for (let at = 0; at < text.length && tokens <= contextLength * certainty; at += pieceLength) {
    tokens += tokenizer.encode(text.slice(at, at + pieceLength)).length;
  }
  return tokens > contextLength * certainty;
}

/** Reads a prompt for a context of `contextLength` tokens. @throws InputError where the template refuses */
export function readPrompt(tokenizer: ChatTokenizer, prompt: Prompt, contextLength: number): ReadPrompt {
  if (surelyTooLong(tokenizer, prompt, contextLength)) return { tooLong: `more than ${contextLength} tokens` };
  const ids = prompt.source === "chat"
    ? tokenizer.encodeChat(prompt.messages, prompt.options)
    : tokenizer.encodePrompt(prompt.text);
  return ids.length < contextLength ? { ids } : { tooLong: `${ids.length} tokens` };
}
