// Bodies of POST /v1/chat/completions.

import { z } from "@hono/zod-openapi";
import { finishReasonSchema, responseOf, samplingFields } from "./sampling.ts";

const textPart = z.strictObject({ type: z.literal("text", "only text parts are supported"), text: z.string() });

const messageSchema = z.strictObject({
  role: z.enum(["system", "developer", "user", "assistant"], "must be system, developer, user or assistant"),
  content: z.union([z.string(), z.array(textPart).min(1)], "must be a text, or parts of type text"),
  name: z.string().max(64).optional(),
}).openapi("ChatMessage");

export const chatRequestSchema = z.strictObject({
  ...samplingFields,
  messages: z.array(messageSchema).min(1, "at least one message").max(2048),
  max_completion_tokens: samplingFields.max_tokens,
  logprobs: z.boolean().nullish().openapi({
    description: "Log-probs of the answer's tokens, as the model gives them.",
  }),
  top_logprobs: z.int().min(0).max(20).nullish(),
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
