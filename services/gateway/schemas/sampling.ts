// Fields that the requests of chat and text completions share, and their responses, as OpenAI documents them. What is not
// here is refused by name.

import { z } from "@hono/zod-openapi";

const number = (low: number, high: number, what: string) =>
  z.number().min(low, `must be from ${low} to ${high}`).max(high, `must be from ${low} to ${high}`).nullish().openapi({
    description: what,
  });

const wholeNumber = (low: number, high: number, what: string) =>
  z.int().min(low, `must be a whole number from ${low} to ${high}`).max(
    high,
    `must be a whole number from ${low} to ${high}`,
  ).nullish().openapi({ description: what });

export const mostChoices = 16;

export const samplingFields = {
  model: z.string().min(1).max(200).openapi({
    description: "`base`, `base:ADAPTER`, or an alias.",
    example: "base",
  }),
  temperature: number(0, 2, "0 always takes the likeliest token. Default 1."),
  top_p: z.number().gt(0, "must be above 0, up to 1").max(1, "must be above 0, up to 1").nullish().openapi({
    description: "Draw among the likeliest tokens that together have this probability. Default 1.",
  }),
  n: wholeNumber(1, mostChoices, "Answers to the prompt. Default 1."),
  seed: z.int().min(-(2 ** 53) + 1).max(2 ** 53 - 1).nullish().openapi({
    description: "The same seed gives the same answer.",
  }),
  stop: z.union([z.string().min(1).max(500), z.array(z.string().min(1).max(500)).max(4, "at most 4 texts")]).nullish()
    .openapi({ description: "Texts that end the answer; they are not part of it." }),
  max_tokens: wholeNumber(1, 2 ** 31 - 1, "Longest answer in tokens."),
  frequency_penalty: number(-2, 2, "Less likely per time that a token was already in the answer. Default 0."),
  presence_penalty: number(-2, 2, "Less likely once a token was already in the answer. Default 0."),
  logit_bias: z.record(z.string().regex(/^\d+$/, "keys are token ids"), z.number().min(-100).max(100))
    .refine((bias) => Object.keys(bias).length <= 1024, "at most 1024 tokens").nullish()
    .openapi({ description: "Added to the logits of tokens, by id." }),
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_usage: z.boolean().nullish() }).nullish(),
  user: z.string().min(1).max(256).refine(
    (name) => name.isWellFormed() && !name.includes("\0"),
    "must have no NUL character and no half surrogate pair",
  ).nullish().openapi({
    description:
      "Who asks, by your own name for them: keeps a person on one arm of an alias, and finds their data to delete it.",
  }),
  store: z.boolean().nullish().openapi({
    description: "false keeps nothing of the answer, which then cannot be judged. Default true.",
  }),
};

/** Fields that OpenAI has and this server has not: refused by name, never ignored. */
export const unsupportedFields: ReadonlySet<string> = new Set([
  "audio",
  "best_of",
  "echo",
  "function_call",
  "functions",
  "metadata",
  "modalities",
  "moderation",
  "parallel_tool_calls",
  "prediction",
  "prompt_cache_key",
  "prompt_cache_options",
  "prompt_cache_retention",
  "reasoning_effort",
  "response_format",
  "safety_identifier",
  "service_tier",
  "suffix",
  "tool_choice",
  "tools",
  "verbosity",
  "web_search_options",
]);

const usageSchema = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
}).openapi("Usage");

export const finishReasonSchema = z.enum(["stop", "length"]);

/** A whole response. @param object its `object` @param choice how an endpoint writes a choice */
export const responseOf = <Name extends string, Choice extends z.ZodType>(object: Name, choice: Choice) =>
  z.object({
    id: z.string().openapi({ description: "The completion_id of feedback." }),
    object: z.literal(object),
    created: z.int(),
    model: z.string(),
    system_fingerprint: z.string(),
    choices: z.array(choice),
    usage: usageSchema,
  });
