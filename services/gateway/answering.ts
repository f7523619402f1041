// From a request to its answers: picks the model, asks the engine, and keeps what was answered before its end is given
// out. Chat and text completions, streamed or not, all go through here. It knows no HTTP and no response bodies.

import { randomBytes } from "node:crypto";
import { trace } from "@opentelemetry/api";
import type { Message } from "../../shared/feedback/row.ts";
import { timeOrderedId } from "../../shared/store/ids.ts";
import type { Caller } from "../../shared/store/keys.ts";
import { adapterOf } from "../../shared/store/registry.ts";
import { storeCompletion, type StoredChoice, type StoredCompletion } from "../../shared/store/completions.ts";
import { beginCompletion, dropCompletion, endCompletion } from "../../shared/store/completions_under_way.ts";
import type { Database } from "../../shared/store/database.ts";
import { forgottenMark } from "../../shared/store/forgotten.ts";
import type { AnswerEnd, AnswerPiece, AnswerRequest, Engine } from "./engine/engine.ts";
import { type Gateway, readyEngine } from "./gateway.ts";
import { ApiError } from "./http/errors.ts";
import { drawArm } from "./model_names.ts";
import type { ChatRequest } from "./schemas/chat.ts";
import type { CompletionRequest } from "./schemas/completion.ts";
import { parameterNames } from "./schemas/sampling.ts";

/** A request, its prompt read. */
export interface Question {
  source: "chat" | "text";
  body: ChatRequest | CompletionRequest;
  prompt: string | Message[];
  promptIds: number[];
  /** As it was asked for. */
  maxTokens: number | undefined;
  /** What the request calls it. */
  maxTokensField: "max_tokens" | "max_completion_tokens";
  /** Where it was not asked for; left out, answers may go on to the end of the context. */
  defaultMaxTokens?: number;
  topLogProbs: number | undefined;
}

/** What happens to an answer, by the index of its choice. */
export type AnswerEvent = { index: number; piece: AnswerPiece } | { index: number; end: AnswerEnd };

/** Answers under way. */
export interface Answering {
  id: string;
  /** Seconds since 1970. */
  created: number;
  /** `base` or `base:ADAPTER`. */
  model: string;
  /** Changes whenever the same request could be answered otherwise: the base's and the adapter's content. */
  fingerprint: string;
  promptTokens: number;
  /** Events in order of arrival. The last end comes only after the completion is kept. */
  events: AsyncGenerator<AnswerEvent>;
  /** Gives the answers' places back, finished or not, begun or not. */
  release(): Promise<void>;
}

/** The model that answers a request and the alias that chose it. @throws ApiError 404 for a model that is not there */
async function chooseModel(
  { aliases, models }: Gateway,
  engine: Engine,
  asked: string,
  person: string | undefined,
): Promise<{ model: string; adapter: string | undefined; alias: string | null }> {
  const arms = aliases.get(asked);
  const model = arms ? drawArm(asked, arms, person) : asked;
  const adapter = adapterOf(model);
  if (adapter === null || (adapter !== undefined && !await models.load(engine, adapter))) {
    const message = `The model "${model}" does not exist here; GET /v1/models lists those that do.`;
    throw new ApiError(404, message, "model", "model_not_found");
  }
  return { model, adapter, alias: arms ? asked : null };
}

/** Tokens that an answer may have. @throws ApiError where prompt and answer do not fit the context */
function room({ contextLength }: Engine, question: Question): number {
  const { promptIds: { length }, maxTokens, maxTokensField, defaultMaxTokens = Infinity, source } = question;
  const left = contextLength - length, field = source === "chat" ? "messages" : "prompt";
  const tooLong = (message: string, field: string) =>
    new ApiError(400, `This model's context is ${contextLength} tokens${message}`, field, "context_length_exceeded");
  if (length === 0) throw new ApiError(400, `${field}: there is nothing to answer.`, field, "empty_prompt");
  if (left < 1) throw tooLong(`, but the prompt has ${length}; shorten it.`, field);
  if (maxTokens !== undefined && maxTokens > left) {
    throw tooLong(
      `, and the prompt has ${length} of them: ${maxTokensField} may be ${left} at most, not ${maxTokens}.`,
      maxTokensField,
    );
  }
  return maxTokens ?? Math.min(defaultMaxTokens, left);
}

/** Biases by token. @throws ApiError for one of a token that the model has not */
function biasesOf({ vocabularySize }: Engine, { logit_bias = {} }: Question["body"]): Map<number, number> {
  const biases = new Map(Object.entries(logit_bias).map(([id, bias]) => [Number(id), bias]));
  const unknown = [...biases.keys()].find((id) => id >= vocabularySize);
  if (unknown === undefined) return biases;
  const message = `logit_bias: this model has no token ${unknown}; ids go from 0 to ${vocabularySize - 1}.`;
  throw new ApiError(400, message, "logit_bias", "invalid_value");
}

const randomSeed = () => randomBytes(4).readUInt32LE();

/** A request's own sampling for choice `index`. */
function requestFor(engine: Engine, question: Question, adapter: string | undefined, index: number): AnswerRequest {
  const { body, promptIds, topLogProbs } = question;
  const seed = body.seed ?? randomSeed();
  return {
    promptIds,
    adapter,
    maxTokens: room(engine, question),
    stop: typeof body.stop === "string" ? [body.stop] : body.stop ?? [],
    topLogProbs,
    sampling: {
      temperature: body.temperature ?? 1,
      topP: body.top_p ?? 1,
      frequencyPenalty: body.frequency_penalty ?? 0,
      presencePenalty: body.presence_penalty ?? 0,
      logitBias: biasesOf(engine, body),
      seed: (Math.imul(seed % 2 ** 32, 0x9e3779b1) + index) >>> 0,
    },
  };
}

/**
 * Begins to answer.
 *
 * @throws ApiError for a model that is not there, a prompt that does not fit, an engine that is not ready
 * @throws QueueFullError
 */
export async function beginAnswers(
  gateway: Gateway,
  question: Question,
  { writer }: Caller,
  signal: AbortSignal,
): Promise<Answering> {
  const engine = readyEngine(gateway);
  const { body } = question, person = body.user ?? body.safety_identifier;
  // Whoever is deleted from now on is not kept, however long the answer takes.
  const mark = person === undefined || body.store === false ? 0 : await forgottenMark(gateway.database);
  const { model, adapter, alias } = await chooseModel(gateway, engine, body.model, person);
  const requests = Array.from({ length: body.n ?? 1 }, (_, index) => requestFor(engine, question, adapter, index));
  // A generator that nobody has asked yet cannot be told to end, hence a signal of our own.
  const released = new AbortController();
  const { adapterVersion, answers } = engine.answer(requests, AbortSignal.any([signal, released.signal]));
  const createdAt = Date.now();
  const id = timeOrderedId(question.source === "chat" ? "chatcmpl-" : "cmpl-");
  const choices: StoredChoice[] = requests.map((_, index) => ({
    index,
    content: "",
    finishReason: "cancelled",
    tokens: 0,
    logProb: null,
  }));
  const record = body.store === false ? unkept : recordOf(gateway.database, body.stream === true, mark, {
    id,
    createdAt,
    source: question.source,
    model: body.model,
    base: engine.base,
    adapter: adapter ?? null,
    adapterVersion: adapterVersion ?? null,
    alias,
    prompt: question.prompt,
    parameters: Object.fromEntries(Object.entries(body).filter(([name]) => parameterNames.has(name))),
    endUser: person ?? null,
    writer,
    metadata: Object.keys(body.metadata ?? {}).length > 0 ? body.metadata! : null,
    safetyIdentifier: body.safety_identifier ?? null,
    promptTokens: question.promptIds.length,
    choices,
  });
  gateway.metrics.promptTokens.inc({ model }, question.promptIds.length);
  // A child of the request's span, under the names of OpenTelemetry's conventions for generative AI. Never a text.
  const span = trace.getTracer("prospect").startSpan("answer", {
    attributes: {
      "gen_ai.operation.name": question.source === "chat" ? "chat" : "text_completion",
      "gen_ai.request.model": body.model,
      "gen_ai.response.model": model,
      "gen_ai.response.id": id,
      "gen_ai.usage.input_tokens": question.promptIds.length,
    },
  });
  let open = answers.length, begun = false, kept = false, settled = false;
  async function* events(): AsyncGenerator<AnswerEvent> {
    try {
      for await (const event of inOrderOfArrival(answers)) {
        const choice = choices[event.index]!;
        if ("piece" in event) {
          if (!begun) gateway.metrics.firstToken.observe({ model }, (Date.now() - createdAt) / 1000);
          begun = true;
          choice.content += event.piece.text;
          choice.tokens += event.piece.completionTokens;
          choice.logProb = (choice.logProb ?? 0) + event.piece.logProb;
        } else {
          const { finishReason, completionTokens, logProb } = event.end;
          Object.assign(choice, { finishReason, tokens: completionTokens, logProb });
          gateway.metrics.answers.inc({ model, finish_reason: finishReason });
          gateway.metrics.completionTokens.inc({ model }, completionTokens);
          open--;
          if (open === 0) {
            await record.end();
            kept = true;
          }
        }
        yield event;
      }
    } finally {
      await settle();
    }
  }
  /** What is left to be counted and kept, once nothing more comes. */
  async function settle(): Promise<void> {
    if (settled) return;
    settled = true;
    span.setAttribute("gen_ai.usage.output_tokens", choices.reduce((sum, { tokens }) => sum + tokens, 0));
    span.setAttribute("gen_ai.response.finish_reasons", choices.map(({ finishReason }) => finishReason));
    span.end();
    if (kept) return;
    if (!begun) return await record.drop();
    // Someone hung up, or the engine failed: what was given out was computed, and may still be judged.
    const cancelled = choices.filter(({ finishReason }) => finishReason === "cancelled");
    gateway.metrics.answers.inc({ model, finish_reason: "cancelled" }, cancelled.length);
    gateway.metrics.completionTokens.inc({ model }, cancelled.reduce((sum, { tokens }) => sum + tokens, 0));
    await record.end();
  }
  const sequence = events();
  const release = async () => {
    released.abort();
    await sequence.return(undefined);
    // A sequence that was never begun has nothing to end.
    await settle();
  };
  try {
    await record.begin();
  } catch (error) {
    await release();
    throw error;
  }
  return {
    id,
    created: Math.floor(createdAt / 1000),
    model,
    fingerprint: `fp_${engine.base.split("@").at(-1)!.slice(0, 12)}_${adapterVersion?.slice(0, 12) ?? "base"}`,
    promptTokens: question.promptIds.length,
    events: sequence,
    release,
  };
}

/** What is kept of answers in the store. */
interface AnswerRecord {
  /** Before the first word is given out. */
  begin(): Promise<void>;
  /** Before the last end is given out, or where they were broken off. */
  end(): Promise<void>;
  /** Where nothing was given out. */
  drop(): Promise<void>;
}

const nothing = () => Promise.resolve();
const unkept: AnswerRecord = { begin: nothing, end: nothing, drop: nothing };

/**
 * What is streamed may be judged from its first word on, whichever gateway is told, so the store knows of it before. What
 * is given out whole is written once.
 */
function recordOf(
  database: Database,
  streamed: boolean,
  mark: number,
  completion: StoredCompletion,
): AnswerRecord {
  if (!streamed) return { ...unkept, end: () => storeCompletion(database, completion, mark) };
  let begun = false;
  return {
    async begin() {
      await beginCompletion(database, completion, mark);
      begun = true;
    },
    // Nothing is left where the person was deleted meanwhile, and nothing is kept of them then.
    end: async () => void await endCompletion(database, completion.id, completion.choices),
    drop: () => begun ? dropCompletion(database, completion.id) : nothing(),
  };
}

/** Merges answers into one sequence of events. Ending it early ends them all. */
async function* inOrderOfArrival(answers: AsyncGenerator<AnswerPiece, AnswerEnd>[]): AsyncGenerator<AnswerEvent> {
  const next = async (index: number) => ({ index, result: await answers[index]!.next() });
  const waiting = new Map(answers.map((_, index) => [index, next(index)]));
  try {
    while (waiting.size > 0) {
      const { index, result } = await Promise.race(waiting.values());
      if (result.done) {
        waiting.delete(index);
        yield { index, end: result.value };
      } else {
        waiting.set(index, next(index));
        yield { index, piece: result.value };
      }
    }
  } finally {
    for (const promise of waiting.values()) promise.catch(() => {});
    await Promise.allSettled(answers.map((answer) => answer.return(undefined as never)));
  }
}
