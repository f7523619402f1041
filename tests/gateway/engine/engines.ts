// Engines for tests: started and closed around a use, asked in few words, read to the end.

import { assertEquals } from "@std/assert";
import type {
  AnswerEnd,
  AnswerPiece,
  AnswerRequest,
  Engine,
  Sampling,
} from "../../../services/gateway/engine/answers.ts";
import { startEngine } from "../../../services/gateway/engine/engine.ts";

export interface EngineOptions {
  model?: string;
  dtype?: string;
  workers?: number;
  queue?: number;
  url?: URL;
}

/** Runs with an engine; warnings are collected, and none is expected unless `use` takes them. */
export async function withEngine(
  { model, dtype = "fp32", workers = 1, queue = 64, url }: EngineOptions,
  use: (engine: Engine, warnings: string[]) => Promise<void>,
): Promise<void> {
  const warnings: string[] = [];
  const settings = { model, dtype, device: "cpu", workers, queue, json: false } as const;
  const engine = await startEngine(settings, (sentence) => warnings.push(sentence), url);
  try {
    await use(engine, warnings);
  } finally {
    await engine.close(5000);
  }
  if (use.length < 2) assertEquals(warnings, []);
}

export const greedy: Sampling = {
  temperature: 0,
  topP: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  logitBias: new Map(),
  seed: 0,
};

/** A request with everything that a test does not care about filled in. */
export function request(promptIds: number[], changes: Partial<AnswerRequest> = {}): AnswerRequest {
  return {
    promptIds,
    adapter: undefined,
    sampling: greedy,
    maxTokens: 12,
    stop: [],
    topLogProbs: undefined,
    ...changes,
  };
}

export interface Read extends AnswerEnd {
  text: string;
  pieces: AnswerPiece[];
}

/** Reads an answer to its end. */
export async function read(answer: AsyncGenerator<AnswerPiece, AnswerEnd>): Promise<Read> {
  const pieces: AnswerPiece[] = [];
  while (true) {
    const { done, value } = await answer.next();
    if (done) return { ...value, pieces, text: pieces.map(({ text }) => text).join("") };
    pieces.push(value);
  }
}

const never = new AbortController().signal;

/** Asks for answers and reads them side by side. */
export function answerAll(engine: Engine, requests: AnswerRequest[]): Promise<Read[]> {
  return Promise.all(engine.answer(requests, never).answers.map(read));
}
