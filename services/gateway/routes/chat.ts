// POST /v1/chat/completions.

import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { Message } from "../../../shared/feedback/row.ts";
import type { Question } from "../answering.ts";
import { deliver, type Shape } from "../delivery.ts";
import type { TokenLogProb } from "../engine/engine.ts";
import { type Gateway, type GatewayEnv, readyEngine } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { ApiError } from "../http/errors.ts";
import {
  type ChatLogProbs,
  type ChatRequest,
  chatRequestSchema,
  type ChatResponse,
  chatResponseSchema,
} from "../schemas/chat.ts";
import { jsonBody, jsonResponse, refusals } from "./describe.ts";

const route = createRoute({
  method: "post",
  path: "/v1/chat/completions",
  tags: ["Inference"],
  summary: "Answer a conversation",
  request: { body: jsonBody(chatRequestSchema) },
  responses: {
    200: jsonResponse(chatResponseSchema, "The answer, or with `stream` its pieces as server-sent events."),
    ...refusals(400, 401, 403, 404, 413, 415, 429, 503),
  },
});

/** The conversation as it is rendered and kept: texts joined from their parts, `developer` as chat templates know it. */
function readMessages({ messages }: ChatRequest): Message[] {
  return messages.map(({ role, content, name, reasoning_content }) => ({
    role: role === "developer" ? "system" : role,
    content: typeof content === "string" ? content : content.map(({ text }) => text).join(""),
    ...(name === undefined ? {} : { name }),
    ...(reasoning_content ? { reasoning_content } : {}),
  }));
}

async function readQuestion(gateway: Gateway, body: ChatRequest): Promise<Question> {
  const { tokenizer, prompts } = readyEngine(gateway);
  if (!tokenizer.hasChatTemplate) {
    throw new ApiError(
      400,
      "This model has no chat template; use POST /v1/completions.",
      "messages",
      "no_chat_template",
    );
  }
  const { max_tokens, max_completion_tokens, logprobs, top_logprobs } = body;
  if (max_tokens !== undefined && max_completion_tokens !== undefined && max_tokens !== max_completion_tokens) {
    throw new ApiError(400, "max_tokens and max_completion_tokens differ; send one of them.", "max_tokens");
  }
  if (top_logprobs && !logprobs) {
    throw new ApiError(400, "top_logprobs needs logprobs: true.", "top_logprobs");
  }
  const prompt = readMessages(body);
  return {
    source: "chat",
    body,
    prompt,
    promptIds: await prompts.chat(prompt),
    maxTokens: max_completion_tokens ?? max_tokens,
    maxTokensField: max_completion_tokens === undefined ? "max_tokens" : "max_completion_tokens",
    topLogProbs: logprobs ? top_logprobs ?? 0 : undefined,
  };
}

const logProbsOf = (tokens: readonly TokenLogProb[]): NonNullable<ChatLogProbs> => ({
  content: tokens.map(({ token, bytes, logProb, top }) => ({
    token,
    logprob: logProb,
    bytes,
    top_logprobs: top.map(({ token, bytes, logProb }) => ({ token, logprob: logProb, bytes })),
  })),
  refusal: null,
});

/** @param withLogProbs whether the request asked for them: otherwise they are null */
const shape = (withLogProbs: boolean): Shape<ChatResponse["choices"][number]> => ({
  object: { whole: "chat.completion", chunk: "chat.completion.chunk" },
  whole: (index, text, tokens, finish_reason) => ({
    index,
    message: { role: "assistant", content: text, refusal: null },
    logprobs: withLogProbs ? logProbsOf(tokens) : null,
    finish_reason,
  }),
  opening: (index) => ({
    index,
    delta: { role: "assistant", content: "", refusal: null },
    logprobs: null,
    finish_reason: null,
  }),
  piece: (index, { text, tokens }) => ({
    index,
    delta: { content: text },
    logprobs: withLogProbs ? logProbsOf(tokens) : null,
    finish_reason: null,
  }),
  end: (index, finish_reason) => ({ index, delta: {}, logprobs: null, finish_reason }),
});

/** Adds the route. */
export function addChat(app: OpenAPIHono<GatewayEnv>, gateway: Gateway): void {
  app.use(route.path, requireScope("inference", "reviewer"));
  // A stream is outside what OpenAPI describes for a route whose content is JSON.
  app.openapi(route, async (context) => {
    const question = await readQuestion(gateway, context.req.valid("json"));
    return await deliver(context, gateway, question, shape(question.topLogProbs !== undefined)) as never;
  });
}
