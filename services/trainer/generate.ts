// Answers many prompts across the workers, in text. Prompts of one length run as one batch. It knows conversations and
// tokens; nothing of training or judging.

import type { Message } from "../../shared/feedback/row.ts";
import type { ChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";
import type { WorkerPool } from "../../workers/pool.ts";

export interface AnswerOptions {
  maxNewTokens: number;
  temperature: number;
  seed: number;
}

const largestBatch = 32;

/** Ids of a prompt as serving sees it: a conversation through the chat template, or plain text. */
export function promptIds(tokenizer: ChatTokenizer, prompt: string | Message[]): number[] {
  return tokenizer.encode(
    typeof prompt === "string" ? prompt : tokenizer.render(prompt, { addGenerationPrompt: true }),
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
 */
export async function answerInTokens(
  pool: WorkerPool,
  tokenizer: ChatTokenizer,
  prompts: readonly (string | Message[])[],
  { maxNewTokens, temperature, seed }: AnswerOptions,
  onDone: (prompts: number) => void = () => {},
): Promise<TokenAnswer[]> {
  const requests = prompts.map((prompt, index) => ({
    index,
    promptIds: promptIds(tokenizer, prompt),
    seed: (Math.imul(seed, 0x9e3779b1) + index) >>> 0,
  }));
  const byLength = Map.groupBy(requests, (request) => request.promptIds.length);
  const groups = [...byLength.values()].flatMap((group) =>
    Array.from(
      { length: Math.ceil(group.length / largestBatch) },
      (_, k) => group.slice(k * largestBatch, (k + 1) * largestBatch),
    )
  );
  const answers: TokenAnswer[] = new Array(prompts.length);
  await pool.map(groups, async (worker, group) => {
    const ids = await worker.generate(
      group.map(({ promptIds, seed }) => ({ promptIds, seed })),
      { maxNewTokens, temperature, stopIds: tokenizer.eosTokenIds },
    );
    group.forEach(({ index, promptIds }, i) => {
      const answerIds = ids[i]!;
      answers[index] = { promptIds, answerIds, ended: answerIds.length < maxNewTokens };
    });
  }, (group) => onDone(group.length));
  return answers;
}

/** As answerInTokens, in text. */
export async function answerPrompts(
  pool: WorkerPool,
  tokenizer: ChatTokenizer,
  prompts: readonly (string | Message[])[],
  options: AnswerOptions,
  onDone: (prompts: number) => void = () => {},
): Promise<string[]> {
  const answers = await answerInTokens(pool, tokenizer, prompts, options, onDone);
  return answers.map(({ answerIds }) => tokenizer.decode(answerIds, { skipSpecialTokens: true }).trim());
}
