// One prompt to ids, whichever kind it is. It knows no threads and no requests.

import type { Message } from "../feedback/row.ts";
import type { ChatTokenizer, RenderOptions } from "./chat_tokenizer.ts";

/** A conversation for the chat template, or a text as it is. */
export type Prompt =
  | { source: "chat"; messages: Message[]; options: RenderOptions }
  | { source: "text"; text: string };

/** The ids of a prompt; of one that leaves no room for an answer, only how many they are. */
export type ReadPrompt = { ids: number[] } | { tooMany: number };

/** Reads a prompt for a context of `contextLength` tokens. @throws InputError where the template refuses */
export function readPrompt(tokenizer: ChatTokenizer, prompt: Prompt, contextLength: number): ReadPrompt {
  const ids = prompt.source === "chat"
    ? tokenizer.encodeChat(prompt.messages, prompt.options)
    : tokenizer.encode(prompt.text);
  return ids.length < contextLength ? { ids } : { tooMany: ids.length };
}
