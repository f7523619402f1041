// From a request to its answers: picks the model, asks the engine, and keeps what was answered before its end is given
// out. Chat and text completions, streamed or not, all go through here. It knows no HTTP and no response bodies.

import { randomBytes } from "node:crypto";
import { trace } from "@opentelemetry/api";
import type { Message } from "../../shared/feedback/row.ts";
import { timeOrderedId } from "../../shared/store/ids.ts";
import type { Caller } from "../../shared/store/keys.ts";
import { adapterOf } from "../../shared/store/registry.ts";
import { storeCompletion, type StoredChoice } from "../../shared/store/completions.ts";
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
      logitBias: new Map(Object.entries(body.logit_bias ?? {}).map(([id, bias]) => [Number(id), bias])),
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
  const { body } = question;
  const { model, adapter, alias } = await chooseModel(gateway, engine, body.model, body.user);
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
  const keep = async () => {
    if (body.store === false) return;
    await storeCompletion(gateway.database, {
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
      endUser: body.user ?? null,
      writer,
      promptTokens: question.promptIds.length,
      choices,
    });
  };
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
  async function* events(): AsyncGenerator<AnswerEvent> {
    let open = answers.length, begun = false, kept = false;
    try {
      for await (const event of inOrderOfArrival(answers)) {
        const choice = choices[event.index]!;
        if ("piece" in event) {
          if (!begun) gateway.metrics.firstToken.observe({ model }, (Date.now() - createdAt) / 1000);
          begun = true;
          choice.content += event.piece.text;
        } else {
          const { finishReason, completionTokens, logProb } = event.end;
          Object.assign(choice, { finishReason, tokens: completionTokens, logProb });
          gateway.metrics.answers.inc({ model, finish_reason: finishReason });
          gateway.metrics.completionTokens.inc({ model }, completionTokens);
          open--;
          if (open === 0) {
            await keep();
            kept = true;
          }
        }
        yield event;
      }
    } finally {
      span.setAttribute("gen_ai.usage.output_tokens", choices.reduce((sum, { tokens }) => sum + tokens, 0));
      span.setAttribute("gen_ai.response.finish_reasons", choices.map(({ finishReason }) => finishReason));
      span.end();
      // Someone hung up, or the engine failed: what was given out may still be judged.
      if (!kept && begun) {
        gateway.metrics.answers.inc({ model, finish_reason: "cancelled" }, open);
        await keep();
      }
    }
  }
  const sequence = events();
  return {
    id,
    created: Math.floor(createdAt / 1000),
    model,
    fingerprint: `fp_${engine.base.split("@").at(-1)!.slice(0, 12)}_${adapterVersion?.slice(0, 12) ?? "base"}`,
    promptTokens: question.promptIds.length,
    events: sequence,
    async release() {
      released.abort();
      await sequence.return(undefined);
    },
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
