// Answers as responses: whole, or as a stream of chunks. Chat and text completions differ in the shape of a choice alone,
// which is told to them. It does not know how answers come about.

import { randomBytes } from "node:crypto";
import type { Context } from "hono";
import { type Answering, beginAnswers, type Question } from "./answering.ts";
import type { AnswerEnd, AnswerPiece, TokenLogProb } from "./engine/engine.ts";
import type { Gateway, GatewayEnv } from "./gateway.ts";
import { eventStream } from "./http/event_stream.ts";

export type FinishReason = AnswerEnd["finishReason"];

/** How an endpoint writes choices. */
export interface Shape<Whole> {
  /** `object` of a whole response, and of a chunk. */
  object: { whole: string; chunk: string };
  whole(index: number, text: string, tokens: TokenLogProb[], finishReason: FinishReason): Whole;
  /** What a stream says of a choice before its first piece, if anything. */
  opening?(index: number): unknown;
  /** `offset` is the length of the tokens before this piece, in characters. */
  piece(index: number, piece: AnswerPiece, offset: number): unknown;
  end(index: number, finishReason: FinishReason): unknown;
}

/** Tokens of prompt and answers, as OpenAI counts them: a prompt with several answers counts once. */
const usage = (promptTokens: number, completionTokens: number) => ({
  prompt_tokens: promptTokens,
  completion_tokens: completionTokens,
  total_tokens: promptTokens + completionTokens,
});

const lengthOf = (tokens: readonly TokenLogProb[]) => tokens.reduce((length, { token }) => length + token.length, 0);

const head = ({ id, created, model, fingerprint }: Answering, object: string) => ({
  id,
  object,
  created,
  model,
  system_fingerprint: fingerprint,
});

/** Waits for all answers. */
export async function wholeResponse<Whole>(choices: number, answering: Answering, shape: Shape<Whole>) {
  const answers = Array.from({ length: choices }, () => ({ text: "", tokens: [] as TokenLogProb[] }));
  const ends: AnswerEnd[] = [];
  for await (const event of answering.events) {
    const answer = answers[event.index]!;
    if ("end" in event) ends[event.index] = event.end;
    else {
      answer.text += event.piece.text;
      answer.tokens.push(...event.piece.tokens);
    }
  }
  return {
    ...head(answering, shape.object.whole),
    choices: answers.map(({ text, tokens }, index) => shape.whole(index, text, tokens, ends[index]!.finishReason)),
    usage: usage(answering.promptTokens, ends.reduce((sum, { completionTokens }) => sum + completionTokens, 0)),
  };
}

/** Lengths of chunks whose content should not be told by their length are multiples of this, in characters. */
const paddedTo = 64;

function padded(chunk: object): object {
  const { length } = JSON.stringify(chunk);
  return { ...chunk, obfuscation: randomBytes(paddedTo).toString("base64url").slice(0, paddedTo - length % paddedTo) };
}

/** Chunks as they come. Ending it early gives the answers' places back. */
export async function* streamedChunks(
  choices: number,
  options: Question["body"]["stream_options"],
  answering: Answering,
  shape: Shape<unknown>,
): AsyncGenerator<unknown> {
  const includeUsage = options?.include_usage === true;
  const chunk = (choices: unknown[], sum: unknown = null) => {
    const plain = { ...head(answering, shape.object.chunk), choices, ...(includeUsage ? { usage: sum } : {}) };
    return options?.include_obfuscation ? padded(plain) : plain;
  };
  const offsets = new Array<number>(choices).fill(0);
  let completionTokens = 0;
  try {
    for (let index = 0; index < choices && shape.opening; index++) yield chunk([shape.opening(index)]);
    for await (const event of answering.events) {
      const { index } = event;
      if ("end" in event) {
        completionTokens += event.end.completionTokens;
        yield chunk([shape.end(index, event.end.finishReason)]);
      } else {
        yield chunk([shape.piece(index, event.piece, offsets[index]!)]);
        offsets[index]! += lengthOf(event.piece.tokens);
      }
    }
    if (includeUsage) yield chunk([], usage(answering.promptTokens, completionTokens));
  } finally {
    await answering.release();
  }
}

/** Answers a question the way that its body asks for. */
export async function deliver(
  context: Context<GatewayEnv>,
  gateway: Gateway,
  question: Question,
  shape: Shape<unknown>,
): Promise<Response> {
  const { body, prompt } = question, choices = body.n ?? 1;
  const answering = await beginAnswers(gateway, question, context.get("caller"), context.req.raw.signal);
  const fields = context.get("logFields");
  Object.assign(fields, { completion_id: answering.id, model: answering.model });
  if (gateway.options.logPrompts) fields.prompt = prompt;
  if (!body.stream) {
    const response = await wholeResponse(choices, answering, shape);
    if (gateway.options.logPrompts) fields.choices = response.choices;
    return context.json(response, 200);
  }
  const request_id = context.get("requestId");
  return eventStream(
    streamedChunks(choices, body.stream_options, answering, shape),
    // Its status was sent long ago, so the log is where an answer that breaks off is told.
    (error) => gateway.log.error("answer broke off", { request_id, error: String((error as Error).message ?? error) }),
  );
}
