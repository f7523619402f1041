// Bodies of the feedback routes.

import { z } from "@hono/zod-openapi";
import type { Origin } from "../../../shared/store/import_feedback.ts";
import type { LabelFilters } from "../../../shared/store/label_filters.ts";
import { keptWithFilter } from "./lists.ts";
import { nullsLeftOut, requestObject, storableText } from "./request.ts";

/** A thumb in any of the ways that are understood; see readThumb. */
export const thumbSchema = z.union(
  [z.boolean(), z.literal("desirable"), z.literal("undesirable"), z.literal(1), z.literal(-1)],
  'must be true or false, "desirable" or "undesirable", 1 or -1',
);

/** True is desirable. */
export const readThumb = (thumb: z.infer<typeof thumbSchema>): boolean =>
  thumb === true || thumb === "desirable" || thumb === 1;

/** What may come with a thumb. */
const remarkFields = {
  end_user: storableText(z.string().min(1).max(256)).optional().openapi({
    description: "Who judges, by your own name for them.",
  }),
  reason: z.string().max(4096).optional(),
  tags: z.array(storableText(z.string().min(1).max(64))).max(32).optional(),
};

/** The same in a file's row, where "" names nobody: so exports are written. */
export const remarksSchema = z.object(
  nullsLeftOut({ ...remarkFields, end_user: storableText(z.string().max(256)).optional() }),
);

/** What an export says of a row beside that; see ExportedRow. Only rows with both ids came out of one. */
export const originSchema = z.object({
  id: storableText(z.string().min(1).max(200)),
  completion_id: storableText(z.string().min(1).max(200)),
  choice: z.int().min(0).max(1023).default(0),
  is_correction: z.boolean().default(false),
  created_at: z.int().min(0).optional(),
  source: z.enum(["chat", "text", "import"]).default("import"),
  model: z.string().max(200).nullable().default(null),
  base: z.string().max(400).nullable().default(null),
  adapter: z.string().max(200).nullable().default(null),
  adapter_version: z.string().max(200).nullable().default(null),
  asked_by: z.string().max(256).nullable().default(null),
  log_prob: z.number().nullable().default(null),
  completion_tokens: z.int().min(0).default(0),
});

/** The same as the store takes it. */
export function readOrigin(origin: z.infer<typeof originSchema>): Origin {
  const {
    id,
    completion_id,
    is_correction,
    created_at,
    adapter_version,
    asked_by,
    log_prob,
    completion_tokens,
    ...same
  } = origin;
  return {
    ...same,
    labelId: id,
    completionId: completion_id,
    isCorrection: is_correction,
    judgedAt: created_at,
    adapterVersion: adapter_version,
    askedBy: asked_by,
    logProb: log_prob,
    tokens: completion_tokens,
  };
}

export const feedbackRequestSchema = requestObject({
  completion_id: storableText(z.string().min(1).max(200)).openapi({
    description: "The `id` of the completion that is judged.",
  }),
  label: thumbSchema,
  choice: z.int().min(0).max(1023).optional().openapi({ description: "Index of the choice. Default 0." }),
  ...remarkFields,
  correction: z.string().min(1).max(65536).optional().openapi({
    description: "What the answer should have been: becomes a desirable row beside the undesirable original.",
  }),
}).refine((body) => body.correction === undefined || !readThumb(body.label), {
  path: ["correction"],
  message: "an answer that needs a correction is undesirable; send label false, or leave the correction out",
}).openapi("FeedbackRequest");

export type FeedbackRequest = z.infer<typeof feedbackRequestSchema>;

export const keySchema = z.string().nullable().openapi({
  description: "Id of the API key that wrote it; null where none was needed.",
});

export const feedbackSchema = z.object({
  id: z.string(),
  object: z.literal("feedback"),
  completion_id: z.string(),
  choice: z.int(),
  end_user: z.string().nullable(),
  label: z.boolean(),
  reason: z.string().nullable(),
  tags: z.array(z.string()),
  correction: z.string().nullable(),
  key: keySchema,
  version: z.int().openapi({ description: "1, and one more each time the label was replaced." }),
  created_at: z.int().openapi({ description: "Milliseconds since 1970." }),
  updated_at: z.int(),
}).openapi("Feedback");

export const feedbackFilterSchema = z.object({
  label: z.enum(["desirable", "undesirable", "true", "false"]).optional(),
  model: storableText(z.string().max(200)).optional(),
  adapter: storableText(z.string().max(200)).optional(),
  tag: storableText(z.string().max(64)).optional(),
  end_user: storableText(z.string().max(256)).optional(),
  completion_id: storableText(z.string().max(200)).optional(),
  source: z.enum(["chat", "text", "import"]).optional(),
  ...keptWithFilter,
  since: z.coerce.number().int().min(0).optional().openapi({ description: "Milliseconds since 1970." }),
  until: z.coerce.number().int().min(0).optional(),
});

/** A filter as the store takes it. */
export function readFilter(query: z.infer<typeof feedbackFilterSchema>): LabelFilters {
  const { label, end_user, completion_id, safety_identifier, ...same } = query;
  const filter = {
    ...same,
    label: label === undefined ? undefined : label === "desirable" || label === "true",
    endUser: end_user,
    completionId: completion_id,
    safetyIdentifier: safety_identifier,
  };
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
}
