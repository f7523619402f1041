// /v1/answers: what was answered, with what was said of it; the labelling queue of people.

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { findCompletion, listCompletions, type StoredCompletion } from "../../../shared/store/completions.ts";
import type { Caller } from "../../../shared/store/keys.ts";
import { listLabels } from "../../../shared/store/labels.ts";
import { modelOf } from "../../../shared/store/registry.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { ApiError } from "../http/errors.ts";
import { feedbackSchema } from "../schemas/feedback.ts";
import { cursorPage, cursorPageOf, cursorPageSchema, keptWithFilter, queryWithMetadata } from "../schemas/lists.ts";
import { storableText } from "../schemas/request.ts";
import { idParams, jsonResponse, refusals } from "./describe.ts";
import { described as labelDescribed } from "./feedback.ts";

const promptSchema = z.union([z.string(), z.array(z.looseObject({ role: z.string(), content: z.string() }))]);

const answerSchema = z.object({
  id: z.string(),
  object: z.literal("answer"),
  created_at: z.int().openapi({ description: "Milliseconds since 1970." }),
  source: z.enum(["chat", "text", "import"]),
  model: z.string().openapi({ description: "As it was asked for." }),
  arm: z.string().openapi({ description: "What answered." }),
  adapter_version: z.string().nullable(),
  alias: z.string().nullable(),
  prompt: promptSchema,
  end_user: z.string().nullable(),
  safety_identifier: z.string().nullable(),
  metadata: z.record(z.string(), z.string()).nullable(),
  choices: z.array(
    z.object({
      index: z.int(),
      content: z.string(),
      finish_reason: z.string().openapi({ description: "`in_progress` until a stream ends." }),
      tokens: z.int(),
    }),
  ),
  labels: z.array(feedbackSchema).openapi({ description: "Those that this caller may see." }),
}).openapi("Answer");

const listRoute = createRoute({
  method: "get",
  path: "/v1/answers",
  tags: ["Feedback"],
  summary: "Answers, newest first",
  request: {
    query: queryWithMetadata(cursorPageSchema.extend({
      unlabelled: z.enum(["true", "false"]).optional(),
      unlabelled_by: storableText(z.string().min(1).max(256)).optional().openapi({
        description: "Only answers of which this person has not judged every choice: their queue.",
      }),
      model: storableText(z.string().max(200)).optional(),
      ...keptWithFilter,
    })),
  },
  responses: {
    200: jsonResponse(
      cursorPageOf(answerSchema),
      "One page.",
    ),
    ...refusals(400, 401, 403, 429),
  },
});

const oneRoute = createRoute({
  method: "get",
  path: "/v1/answers/{id}",
  tags: ["Feedback"],
  summary: "One answer",
  request: { params: idParams },
  responses: { 200: jsonResponse(answerSchema, "The answer."), ...refusals(400, 401, 403, 404, 429) },
});

/** Adds the routes. */
export function addAnswers(app: OpenAPIHono<GatewayEnv>, { database }: Gateway): void {
  const described = async (answer: StoredCompletion, caller: Caller): Promise<z.infer<typeof answerSchema>> => ({
    id: answer.id,
    object: "answer",
    created_at: answer.createdAt,
    source: answer.source,
    model: answer.model,
    arm: modelOf(answer.adapter),
    adapter_version: answer.adapterVersion,
    alias: answer.alias,
    prompt: answer.prompt,
    end_user: answer.endUser,
    safety_identifier: answer.safetyIdentifier,
    metadata: answer.metadata,
    choices: answer.choices.map(({ index, content, finishReason, tokens }) => ({
      index,
      content,
      finish_reason: finishReason,
      tokens,
    })),
    labels: (await listLabels(database, { completionId: answer.id }, { limit: 100 }, caller)).items.map(labelDescribed),
  });
  app.use("/v1/answers/*", requireScope("reviewer"));

  app.openapi(listRoute, async (context) => {
    const { unlabelled, unlabelled_by, safety_identifier, ...filters } = context.req.valid("query");
    const page = await listCompletions(database, {
      ...filters,
      unlabelled: unlabelled === undefined ? undefined : unlabelled === "true",
      unlabelledBy: unlabelled_by,
      safetyIdentifier: safety_identifier,
    });
    const data = await Promise.all(page.items.map((answer) => described(answer, context.get("caller"))));
    return context.json(cursorPage(page, data), 200);
  });

  app.openapi(oneRoute, async (context) => {
    const { id } = context.req.valid("param");
    const answer = await findCompletion(database, id);
    if (!answer) throw new ApiError(404, `There is no answer "${id}".`, "id", "answer_not_found");
    return context.json(await described(answer, context.get("caller")), 200);
  });
}
