// An engine that says what it is told to: for tests of the HTTP face, which must not depend on a model's words.

import { InputError } from "../../shared/errors.ts";
import { loadChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";
import { embeddedModelFolder } from "../../shared/runtime/embedded_model.ts";
import { alteredFiles, hashAdapterFiles, isVersion } from "../../shared/runtime/kept_adapters.ts";
import { resolveModelFolder } from "../../shared/runtime/model_folder.ts";
import { readPrompt } from "../../shared/runtime/read_prompt.ts";
import {
  type AnswerEnd,
  type AnswerPiece,
  type AnswerRequest,
  type Engine,
  EngineClosedError,
  QueueFullError,
} from "../../services/gateway/engine/answers.ts";
import { type Lane, promptsOf } from "../../services/gateway/engine/prompts.ts";

export interface Script {
  /** The pieces of every answer. */
  pieces: string[];
  /** Answers that may be under way at once. */
  capacity: number;
  /** Awaited before each piece. */
  beat: () => Promise<void>;
  /** Thrown after this many pieces. */
  failAfter: number;
}

/** A scripted engine, the requests it got, and how many answers are under way. */
export async function scriptedEngine(script: Partial<Script> = {}) {
  const { pieces = ["Hel", "lo é😀", "!"], capacity = 4, beat = () => Promise.resolve(), failAfter = Infinity } =
    script;
  const folder = await resolveModelFolder(embeddedModelFolder, {
    dtype: "auto",
    onRemark: () => {},
    onProgress: () => {},
  });
  const tokenizer = loadChatTokenizer(folder);
  const contextLength = 64;
  const lane: Lane = (prompt) => Promise.try(() => readPrompt(tokenizer, prompt, contextLength));
  const adapters = new Map<string, { name: string; version: string; since: number }>();
  const requests: AnswerRequest[] = [];
  let active = 0, closed = false;

  async function* answer(
    { adapter, maxTokens, topLogProbs }: AnswerRequest,
    signal: AbortSignal,
  ): AsyncGenerator<AnswerPiece, AnswerEnd> {
    let given = 0;
    try {
      for (const text of adapter === undefined ? pieces : [`${adapter}: `, ...pieces]) {
        await beat();
        signal.throwIfAborted();
        if (given === failAfter) throw new Error("worker 1 failed (it died).");
        if (given === maxTokens) return { finishReason: "length", completionTokens: given, logProb: -given };
        given++;
        const token = { token: text, bytes: [...new TextEncoder().encode(text)], logProb: -1 };
        const top = Array.from({ length: topLogProbs ?? 0 }, () => token);
        yield { text, tokens: topLogProbs === undefined ? [] : [{ ...token, top }], completionTokens: 1, logProb: -1 };
      }
      return { finishReason: "stop", completionTokens: given, logProb: -given };
    } finally {
      active--;
    }
  }

  const engine: Engine = {
    base: "scripted@0123456789abcdef",
    contextLength,
    vocabularySize: 1000,
    tokenizer,
    prompts: promptsOf(contextLength, { short: lane, long: lane }),
    adapters: () => [...adapters.values()],
    checkAdapter: (path) =>
      hashAdapterFiles(path).catch(() => {
        throw new InputError(`${path}: there is no adapter here.`);
      }),
    async setAdapter(name, path, version) {
      if (!isVersion(await engine.checkAdapter(path), version)) throw alteredFiles(name, version);
      adapters.set(name, { name, version, since: Date.now() });
    },
    removeAdapter(name) {
      if (adapters.delete(name)) return Promise.resolve();
      return Promise.reject(new InputError(`There is no adapter "${name}" here.`));
    },
    answer(asked, signal) {
      if (closed) throw new EngineClosedError();
      if (active + asked.length > capacity) throw new QueueFullError(2);
      active += asked.length;
      requests.push(...asked);
      const adapterVersion = asked[0]?.adapter === undefined ? undefined : adapters.get(asked[0].adapter)?.version;
      return { adapterVersion, answers: asked.map((request) => answer(request, signal)) };
    },
    state: () => ({ active, queued: 0, capacity, tokensGenerated: 0 }),
    close() {
      closed = true;
      return Promise.resolve();
    },
  };
  return { engine, requests, active: () => active };
}
