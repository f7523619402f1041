// Prompts to ids: what a model reads of a conversation or a text. It refuses what could never fit the context. It knows
// neither HTTP nor answers.

import { InputError } from "../../../shared/errors.ts";
import type { Message } from "../../../shared/feedback/row.ts";
import type { ChatTokenizer, RenderOptions } from "../../../shared/runtime/chat_tokenizer.ts";

/** Reads prompts for one model. */
export interface Prompts {
  /**
   * Ids of a conversation as its chat template writes it.
   *
   * @throws PromptError
   */
  chat(messages: Message[], options?: RenderOptions): Promise<number[]>;
  /**
   * Ids of a text as it is.
   *
   * @throws PromptError
   */
  text(text: string): Promise<number[]>;
}

/** A prompt that cannot be read; `code` as OpenAI's errors have it, where they have one. */
export class PromptError extends InputError {
  constructor(message: string, readonly source: "chat" | "text", readonly code: string | null = null) {
    super(message);
  }
}

/** No text has so many characters a token, so one that is longer is not worth the seconds of tokenising it. */
const mostCharactersPerToken = 128;

/** Reads prompts with a tokenizer for a model whose context has `contextLength` tokens. */
export function promptsOf(tokenizer: ChatTokenizer, contextLength: number): Prompts {
  const check = (length: number, source: "chat" | "text") => {
    if (length <= contextLength * mostCharactersPerToken) return;
    const message =
      `This model's context is ${contextLength} tokens, but the prompt has ${length} characters; shorten it.`;
    throw new PromptError(message, source, "context_length_exceeded");
  };
  const encodeChat = (messages: Message[], options: RenderOptions) => {
    check(messages.reduce((sum, { content }) => sum + content.length, 0), "chat");
    try {
      return tokenizer.encodeChat(messages, options);
    } catch (error) {
      throw error instanceof InputError ? new PromptError(error.message, "chat") : error;
    }
  };
  const encodeText = (text: string) => {
    check(text.length, "text");
    return tokenizer.encode(text);
  };
  return {
    chat: (messages, options = { addGenerationPrompt: true }) => Promise.try(() => encodeChat(messages, options)),
    text: (text) => Promise.try(() => encodeText(text)),
  };
}
