// Fields that the requests of chat and text completions share, and their responses, as OpenAI documents them. What is not
// here, or would ask for what is not built, is refused by name.

import { z } from "@hono/zod-openapi";
import { metadataSchema, noOp, onlyNull, requestObject, storableText } from "./request.ts";

const number = (low: number, high: number, what: string) =>
  z.number().min(low, `must be from ${low} to ${high}`).max(high, `must be from ${low} to ${high}`).optional().openapi({
    description: what,
  });

const wholeNumber = (low: number, high: number, what: string) =>
  z.int().min(low, `must be a whole number from ${low} to ${high}`).max(
    high,
    `must be a whole number from ${low} to ${high}`,
  ).optional().openapi({ description: what });

export const mostChoices = 16;

const stopText = z.string().min(1).max(500);

/** Fields of OpenAI's that change nothing where they hold what they must hold here. */
const noOps = {
  service_tier: noOp(z.enum(["auto", "default"]), 'this server has one tier; send "auto" or "default"'),
  prompt_cache_key: z.string().max(1024).optional(),
  prompt_cache_retention: z.string().max(64).optional(),
  prompt_cache_options: onlyNull("this server keeps no cache of prompts that could be set; leave it out"),
};

/** How answers are drawn, and how far they go. */
const drawn = {
  temperature: number(0, 2, "0 always takes the likeliest token. Default 1."),
  top_p: z.number().gt(0, "must be above 0, up to 1").max(1, "must be above 0, up to 1").optional().openapi({
    description: "Draw among the likeliest tokens that together have this probability. Default 1.",
  }),
  n: wholeNumber(1, mostChoices, "Answers to the prompt. Default 1."),
  seed: z.int().min(-(2 ** 53) + 1).max(2 ** 53 - 1).optional().openapi({
    description: "The same seed gives the same answer.",
  }),
  stop: z.union([stopText, z.array(stopText).max(4, "at most 4 texts")], "must be a text, or up to 4 texts").optional()
    .openapi({ description: "Texts that end the answer; they are not part of it." }),
  max_tokens: wholeNumber(1, 2 ** 31 - 1, "Longest answer in tokens."),
  frequency_penalty: number(-2, 2, "Less likely per time that a token was already in the answer. Default 0."),
  presence_penalty: number(-2, 2, "Less likely once a token was already in the answer. Default 0."),
  logit_bias: z.record(z.string().regex(/^\d+$/, "keys are token ids"), z.number().min(-100).max(100))
    .refine((bias) => Object.keys(bias).length <= 1024, "at most 1024 tokens").optional()
    .openapi({ description: "Added to the logits of tokens, by id." }),
};

/** What is kept of a request as the parameters of its answers. */
export const parameterNames: ReadonlySet<string> = new Set([
  ...Object.keys(drawn),
  "max_completion_tokens",
  "logprobs",
  "top_logprobs",
]);

export const samplingFields = {
  ...noOps,
  ...drawn,
  model: z.string().min(1).max(200).openapi({
    description: "`base`, `base:ADAPTER`, or an alias.",
    example: "base",
  }),
  stream: z.boolean().optional(),
  stream_options: requestObject({
    include_usage: z.boolean().optional(),
    include_obfuscation: z.boolean().optional().openapi({
      description: "true pads each chunk, so that its length tells less of what is in it. Default false.",
    }),
  }).optional(),
  user: storableText(z.string().min(1).max(256)).optional().openapi({
    description:
      "Who asks, by your own name for them: keeps a person on one arm of an alias, and finds their data to delete it.",
  }),
  safety_identifier: storableText(z.string().min(1).max(256)).optional().openapi({
    description: "Kept with the answer. Where `user` is not sent it stands for it, as it does for OpenAI.",
  }),
  metadata: metadataSchema.optional().openapi({ description: "Kept with the answer, which can be found by it." }),
  store: z.boolean().optional().openapi({
    description: "false keeps nothing of the answer, which then cannot be judged. Default true.",
  }),
};

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
