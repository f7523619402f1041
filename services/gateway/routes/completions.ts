// POST /v1/completions: goes on from a text as it is, without a chat template.

import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { Question } from "../answering.ts";
import { deliver, type Shape } from "../delivery.ts";
import type { TokenLogProb } from "../engine/engine.ts";
import { type Gateway, type GatewayEnv, readyEngine } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { ApiError } from "../http/errors.ts";
import {
  type CompletionLogProbs,
  type CompletionRequest,
  completionRequestSchema,
  type CompletionResponse,
  completionResponseSchema,
} from "../schemas/completion.ts";
import { jsonBody, jsonResponse, refusals } from "./describe.ts";

/** What OpenAI's completions default to. */
const defaultMaxTokens = 16;

const route = createRoute({
  method: "post",
  path: "/v1/completions",
  tags: ["Inference"],
  summary: "Go on from a text",
  request: { body: jsonBody(completionRequestSchema) },
  responses: {
    200: jsonResponse(completionResponseSchema, "The answer, or with `stream` its pieces as server-sent events."),
    ...refusals(400, 401, 403, 404, 413, 415, 429, 503),
  },
});

async function readQuestion(gateway: Gateway, body: CompletionRequest): Promise<Question> {
  if (body.best_of !== undefined && body.best_of !== (body.n ?? 1)) {
    const message = "best_of: this server gives every answer that it draws; leave it out, or send as many as n.";
    throw new ApiError(400, message, "best_of", "unsupported_parameter");
  }
  const prompt = typeof body.prompt === "string" ? body.prompt : body.prompt[0]!;
  return {
    source: "text",
    body,
    prompt,
    promptIds: await readyEngine(gateway).prompts.text(prompt),
    maxTokens: body.max_tokens,
    maxTokensField: "max_tokens",
    defaultMaxTokens,
    topLogProbs: body.logprobs,
  };
}

/** Log-probs in the parallel lists of this endpoint; `offset` is the length of the text before them. */
function logProbsOf(tokens: readonly TokenLogProb[], offset: number): NonNullable<CompletionLogProbs> {
  let at = offset;
  const text_offset = tokens.map(({ token }) => (at += token.length) - token.length);
  return {
    tokens: tokens.map(({ token }) => token),
    token_logprobs: tokens.map(({ logProb }) => logProb),
    top_logprobs: tokens.map(({ top }) => Object.fromEntries(top.map(({ token, logProb }) => [token, logProb]))),
    text_offset,
  };
}

/** @param withLogProbs whether the request asked for them: otherwise they are null */
const shape = (withLogProbs: boolean): Shape<CompletionResponse["choices"][number]> => ({
  object: { whole: "text_completion", chunk: "text_completion" },
  whole: (index, text, tokens, finish_reason) => ({
    index,
    text,
    logprobs: withLogProbs ? logProbsOf(tokens, 0) : null,
    finish_reason,
  }),
  piece: (index, { text, tokens }, offset) => ({
    index,
    text,
    logprobs: withLogProbs ? logProbsOf(tokens, offset) : null,
    finish_reason: null,
  }),
  end: (index, finish_reason) => ({ index, text: "", logprobs: null, finish_reason }),
});

/** Adds the route. */
export function addCompletions(app: OpenAPIHono<GatewayEnv>, gateway: Gateway): void {
  app.use(route.path, requireScope("inference"));
  // A stream is outside what OpenAPI describes for a route whose content is JSON.
  app.openapi(route, async (context) => {
    const question = await readQuestion(gateway, context.req.valid("json"));
    return await deliver(context, gateway, question, shape(question.topLogProbs !== undefined)) as never;
  });
}
