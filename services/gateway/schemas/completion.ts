// Bodies of POST /v1/completions.

import { z } from "@hono/zod-openapi";
import { noOp, requestObject } from "./request.ts";
import { finishReasonSchema, mostChoices, responseOf, samplingFields } from "./sampling.ts";

export const completionRequestSchema = requestObject({
  ...samplingFields,
  prompt: z.union(
    [z.string(), z.array(z.string()).length(1, "send one prompt per request")],
    "must be one text (arrays of tokens and several prompts are not supported)",
  ).openapi({ description: "The text to go on from, as it is: no chat template." }),
  logprobs: z.int().min(0).max(5).optional().openapi({ description: "Alternatives to report per token." }),
  best_of: z.int().min(1).max(mostChoices).optional().openapi({ description: "As many as `n`: none is left out." }),
  echo: noOp(z.literal(false), "prompts are not repeated in answers here; leave it out"),
  suffix: noOp(z.literal(""), "this server goes on from a text and fills none in; leave it out"),
}).openapi("CompletionRequest");

export type CompletionRequest = z.infer<typeof completionRequestSchema>;

const logProbsSchema = z.object({
  tokens: z.array(z.string()),
  token_logprobs: z.array(z.number()),
  top_logprobs: z.array(z.record(z.string(), z.number())),
  text_offset: z.array(z.int()),
}).nullable().openapi("CompletionLogProbs");

export const completionResponseSchema = responseOf(
  "text_completion",
  z.object({
    index: z.int(),
    text: z.string(),
    logprobs: logProbsSchema,
    finish_reason: finishReasonSchema,
  }),
).openapi("Completion");

export type CompletionResponse = z.infer<typeof completionResponseSchema>;
export type CompletionLogProbs = z.infer<typeof logProbsSchema>;
