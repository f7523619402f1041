// Bodies of POST /v1/chat/completions.

import { z } from "@hono/zod-openapi";
import { noOp, onlyNull, requestObject, upToFirstFault } from "./request.ts";
import { finishReasonSchema, responseOf, samplingFields } from "./sampling.ts";

const textPart = requestObject({ type: z.literal("text", "only text parts are supported"), text: z.string() });

const noTools = "this server has no tools; leave it out";

/**
 * A message as clients write it, and as this server and others give it out. What is not supported is looked at first,
 * since content may be null beside it.
 */
const messageSchema = requestObject({
  role: z.enum(["system", "developer", "user", "assistant"], "must be system, developer, user or assistant"),
  tool_calls: noOp(z.array(z.unknown()).max(0), noTools),
  tool_call_id: onlyNull(noTools),
  function_call: onlyNull(noTools),
  refusal: noOp(z.literal(""), "answers here are never refusals; send its text as content"),
  audio: onlyNull("this server has no audio; leave it out"),
  annotations: noOp(z.array(z.unknown()).max(0), "this server cites no sources; leave it out"),
  parsed: onlyNull("this server parses no answers; leave it out"),
  content: z.union(
    [z.string(), upToFirstFault(z.array(textPart).min(1))],
    "must be a text, or a list of parts of type text",
  ),
  name: z.string().max(64).optional(),
  reasoning_content: z.string().optional().openapi({
    description:
      "Goes to the model where its chat template reads it, as those of reasoning models do; else it is unread.",
  }),
}).openapi("ChatMessage");

/** Fields of OpenAI's that change nothing where they hold what they must hold here. */
export const chatNoOps = {
  tools: noOp(z.array(z.unknown()).max(0), noTools),
  tool_choice: noOp(z.enum(["none", "auto"]), `${noTools}, or send "none"`),
  parallel_tool_calls: z.boolean().optional(),
  functions: noOp(z.array(z.unknown()).max(0), noTools),
  function_call: noOp(z.enum(["none", "auto"]), `${noTools}, or send "none"`),
  response_format: noOp(z.strictObject({ type: z.literal("text") }), 'answers are plain text; send {"type": "text"}'),
  modalities: noOp(z.tuple([z.literal("text")]), 'answers are text; send ["text"]'),
  audio: onlyNull("this server has no audio; leave it out"),
  prediction: onlyNull("predicted outputs are not supported by this server; leave it out"),
  reasoning_effort: onlyNull("this server does not steer how long a model reasons; leave it out"),
  verbosity: noOp(z.literal("medium"), 'this server does not steer how long answers are; send "medium"'),
  web_search_options: onlyNull("this server does not search the web; leave it out"),
  moderation: onlyNull("moderation is not supported by this server; leave it out"),
};

export const chatRequestSchema = requestObject({
  ...samplingFields,
  ...chatNoOps,
  messages: upToFirstFault(z.array(messageSchema).min(1, "at least one message").max(2048)),
  max_completion_tokens: samplingFields.max_tokens,
  logprobs: z.boolean().optional().openapi({
    description: "Log-probs of the answer's tokens, as the model gives them.",
  }),
  top_logprobs: z.int().min(0).max(20).optional(),
}).openapi("ChatCompletionRequest");
export type ChatRequest = z.infer<typeof chatRequestSchema>;

const alternativeSchema = z.object({ token: z.string(), logprob: z.number(), bytes: z.array(z.int()).nullable() });

const logProbsSchema = z.object({
  content: z.array(alternativeSchema.extend({ top_logprobs: z.array(alternativeSchema) })),
  refusal: z.null(),
}).nullable().openapi("ChatLogProbs");

export const chatResponseSchema = responseOf(
  "chat.completion",
  z.object({
    index: z.int(),
    message: z.object({ role: z.literal("assistant"), content: z.string(), refusal: z.null() }),
    logprobs: logProbsSchema,
    finish_reason: finishReasonSchema,
  }),
).openapi("ChatCompletion");

export type ChatResponse = z.infer<typeof chatResponseSchema>;
export type ChatLogProbs = z.infer<typeof logProbsSchema>;
