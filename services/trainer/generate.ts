// Answers many prompts across the workers, in text, several side by side. It knows conversations and tokens; nothing of
// training or judging.

import { counted } from "../../shared/counted.ts";
import { InputError } from "../../shared/errors.ts";
import type { FeedbackRow, Message } from "../../shared/feedback/row.ts";
import type { ChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";
import type { WorkerPool } from "../../workers/pool.ts";

export interface AnswerOptions {
  maxNewTokens: number;
  /** Most tokens of prompt and answer together, where the model says so. */
  contextLength?: number | undefined;
  temperature: number;
  seed: number;
}

/** Prompts side by side on one worker: enough of them for speed, and few where that leaves other workers idle. */
const sideBySide = { least: 4, most: 32 };

/** What is answered: a row's prompt, and what the chat template shows the model beside it. */
export type Asked = Pick<FeedbackRow, "prompt" | "tools" | "templateArguments">;

/** Ids of a prompt as training and serving read it: a conversation through the chat template, or plain text. */
export function promptIds(tokenizer: ChatTokenizer, { prompt, tools, templateArguments }: Asked): number[] {
  if (typeof prompt === "string") return tokenizer.encodePrompt(prompt);
  return tokenizer.encodeChat(prompt, {
    addGenerationPrompt: true,
    ...(tools ? { tools } : {}),
    ...(templateArguments ? { templateArguments } : {}),
  });
}

/** Whether a prompt leaves any of the context, where its length is known, to an answer. */
export function leavesRoom(tokenizer: ChatTokenizer, asked: Asked, contextLength: number | undefined): boolean {
  return contextLength === undefined || promptIds(tokenizer, asked).length < contextLength;
}

/**
 * Most tokens of the answer to a prompt: as many as were asked for, or what the prompt leaves of the context.
 *
 * @throws InputError where it leaves nothing
 */
export function roomFor(
  promptIds: readonly number[],
  { maxNewTokens, contextLength = Infinity }: Pick<AnswerOptions, "maxNewTokens" | "contextLength">,
): number {
  if (promptIds.length < contextLength) return Math.min(maxNewTokens, contextLength - promptIds.length);
  throw new InputError(
    `The prompt has ${
      counted(promptIds.length, "token")
    }, but the model's context is ${contextLength} for prompt and answer ` +
      `together: shorten it.`,
  );
}

/** An answer in token ids. */
export interface TokenAnswer {
  promptIds: number[];
  /** Without the token that ended it. */
  answerIds: number[];
  /** False where the limit cut it off. */
  ended: boolean;
}

/**
 * Answers each prompt with the adapter that the workers hold. An answer depends on its prompt, its place in the list and
 * the seed alone.
 *
 * @throws InputError for a prompt that fills the context
 */
export async function answerInTokens(
  pool: WorkerPool,
  tokenizer: ChatTokenizer,
  prompts: readonly Asked[],
  { maxNewTokens, contextLength, temperature, seed }: AnswerOptions,
  onDone: (prompts: number) => void = () => {},
): Promise<TokenAnswer[]> {
  const requests = prompts.map((prompt, index) => {
    const ids = promptIds(tokenizer, prompt), room = roomFor(ids, { maxNewTokens, contextLength });
    return { index, promptIds: ids, maxNewTokens: room, seed: (Math.imul(seed, 0x9e3779b1) + index) >>> 0 };
  });
  // By length, so that rows side by side need little padding. The groups do not depend on how many workers there are.
  const ordered = requests.toSorted((a, b) => a.promptIds.length - b.promptIds.length);
  const size = Math.min(sideBySide.most, Math.max(sideBySide.least, Math.ceil(requests.length / 8)));
  const groups = Array.from(
    { length: Math.ceil(ordered.length / size) },
    (_, k) => ordered.slice(k * size, (k + 1) * size),
  );
  const answers: TokenAnswer[] = new Array(prompts.length);
  await pool.map(groups, async (worker, group) => {
    const ids = await worker.generate(
      group.map(({ promptIds, seed, maxNewTokens }) => ({ promptIds, seed, maxNewTokens })),
      { temperature, stopIds: tokenizer.eosTokenIds },
    );
    group.forEach(({ index, promptIds, maxNewTokens }, i) => {
      const answerIds = ids[i]!;
      answers[index] = { promptIds, answerIds, ended: answerIds.length < maxNewTokens };
    });
  }, (group) => onDone(group.length));
  return answers;
}

/** As answerInTokens, in text, of prompts alone. */
export async function answerPrompts(
  pool: WorkerPool,
  tokenizer: ChatTokenizer,
  prompts: readonly (string | Message[])[],
  options: AnswerOptions,
  onDone: (prompts: number) => void = () => {},
): Promise<string[]> {
  const asked = prompts.map((prompt) => ({ prompt }));
  const answers = await answerInTokens(pool, tokenizer, asked, options, onDone);
  return answers.map(({ answerIds }) => tokenizer.decode(answerIds, { skipSpecialTokens: true }).trim());
}
