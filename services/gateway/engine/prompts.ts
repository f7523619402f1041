// Prompts to ids: what a model reads of a conversation or a text. Short prompts and long ones are read in lanes of their
// own, so that none waits for a book; what could never fit the context is not read at all. It knows neither HTTP nor
// answers, and of the lanes not where they compute.

import { InputError } from "../../../shared/errors.ts";
import { lengthOf, type Prompt, type ReadPrompt } from "../../../shared/runtime/read_prompt.ts";
import { PromptError, type Prompts, QueueFullError } from "./answers.ts";

/** Where prompts are read. @throws InputError where the template refuses */
export type Lane = (prompt: Prompt) => Promise<ReadPrompt>;

/** No text has so many characters a token, so one that is longer is not worth the seconds of tokenising it. */
const mostCharactersPerToken = 128;

/** Characters of a prompt that is read in the short lane: milliseconds, whatever they are. */
const shortPrompt = 4096;

/** Long prompts that may wait, as each takes up to seconds. */
const mostLongWaiting = 16;

/** Reads prompts for a model whose context has `contextLength` tokens. */
export function promptsOf(contextLength: number, lanes: { short: Lane; long: Lane }): Prompts {
  const tooLong = (source: Prompt["source"], size: string) =>
    new PromptError(
      `This model's context is ${contextLength} tokens, but the prompt has ${size}; shorten it.`,
      source,
      "context_length_exceeded",
    );
  let long = 0;
  const inLane = async (prompt: Prompt, length: number): Promise<ReadPrompt> => {
    if (length <= shortPrompt) return await lanes.short(prompt);
    if (long === mostLongWaiting) throw new QueueFullError(2);
    long++;
    try {
      return await lanes.long(prompt);
    } finally {
      long--;
    }
  };
  const read = async (prompt: Prompt): Promise<number[]> => {
    const { source } = prompt, length = lengthOf(prompt);
    if (length > contextLength * mostCharactersPerToken) throw tooLong(source, `${length} characters`);
    try {
      const result = await inLane(prompt, length);
      if ("tooLong" in result) throw tooLong(source, result.tooLong);
      return result.ids;
    } catch (error) {
      throw error instanceof InputError && !(error instanceof PromptError)
        ? new PromptError(error.message, source)
        : error;
    }
  };
  return {
    chat: (messages, options = { addGenerationPrompt: true }) => read({ source: "chat", messages, options }),
    text: (text) => read({ source: "text", text }),
  };
}
