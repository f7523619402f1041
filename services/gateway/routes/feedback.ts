// /v1/feedback: thumbs in, and out again to look at. Whole files of them are routes/feedback_files.ts's.

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { deleteEndUser } from "../../../shared/store/end_users.ts";
import { forgetInRuns } from "../../../shared/store/forget_in_runs.ts";
import {
  deleteLabel,
  ForeignLabelError,
  getLabel,
  labelHistory,
  listLabels,
  putLabel,
  type StoredLabel,
  UnknownChoiceError,
  UnknownCompletionError,
} from "../../../shared/store/labels.ts";
import { removeLeftovers } from "../data_folder.ts";
import { forgetInUploads } from "../forget_uploads.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { ApiError } from "../http/errors.ts";
import { idempotencyHeader, idempotencyOf } from "../http/idempotency.ts";
import {
  feedbackFilterSchema,
  feedbackRequestSchema,
  feedbackSchema,
  keySchema,
  readFilter,
  readThumb,
} from "../schemas/feedback.ts";
import { cursorPage, cursorPageOf, cursorPageSchema, list, listOf, queryWithMetadata } from "../schemas/lists.ts";
import { storableText } from "../schemas/request.ts";
import { idParams, jsonBody, jsonResponse, refusals } from "./describe.ts";

const putRoute = createRoute({
  method: "post",
  path: "/v1/feedback",
  tags: ["Feedback"],
  summary: "Judge an answer; a second thumb of the same person on the same choice replaces the first",
  description:
    "A thumb belongs to the owner of the key that put it, or to the key where it has no owner. Keys without the scope " +
    "`admin` see, list, replace and delete only their own; a thumb of that person that is another's is 409.",
  request: { headers: idempotencyHeader, body: jsonBody(feedbackRequestSchema) },
  responses: {
    201: jsonResponse(feedbackSchema, "The thumb is on disk."),
    ...refusals(400, 401, 403, 404, 409, 413, 415, 422, 429),
  },
});

const listRoute = createRoute({
  method: "get",
  path: "/v1/feedback",
  tags: ["Feedback"],
  summary: "Current thumbs, newest first",
  request: { query: queryWithMetadata(feedbackFilterSchema.extend(cursorPageSchema.shape)) },
  responses: {
    200: jsonResponse(
      cursorPageOf(feedbackSchema),
      "One page.",
    ),
    ...refusals(400, 401, 403, 429),
  },
});

const oneRoute = createRoute({
  method: "get",
  path: "/v1/feedback/{id}",
  tags: ["Feedback"],
  summary: "One thumb",
  request: { params: idParams },
  responses: { 200: jsonResponse(feedbackSchema, "The thumb."), ...refusals(400, 401, 403, 404, 429) },
});

const historyRoute = createRoute({
  method: "get",
  path: "/v1/feedback/{id}/history",
  tags: ["Feedback"],
  summary: "What a thumb was before",
  request: { params: idParams },
  responses: {
    200: jsonResponse(
      listOf(z.object({
        version: z.int(),
        kind: z.enum(["set", "replaced", "deleted"]),
        at: z.int(),
        key: keySchema,
        end_user: z.string().nullable(),
        label: z.boolean(),
        reason: z.string().nullable(),
        tags: z.array(z.string()),
        correction: z.string().nullable(),
      })),
      "Oldest first.",
    ),
    ...refusals(400, 401, 403, 404, 429),
  },
});

const deleteRoute = createRoute({
  method: "delete",
  path: "/v1/feedback/{id}",
  tags: ["Feedback"],
  summary: "Take a thumb back",
  request: { params: idParams },
  responses: {
    200: jsonResponse(
      z.object({ id: z.string(), object: z.literal("feedback"), deleted: z.literal(true) }),
      "Taken back.",
    ),
    ...refusals(400, 401, 403, 404, 429),
  },
});

const forgetRoute = createRoute({
  method: "delete",
  path: "/v1/feedback",
  tags: ["Feedback"],
  summary: "Forget a person: their thumbs, their history, the answers they asked for, and examples in reports of runs",
  description:
    "A key without the scope `admin` deletes what it wrote of that person: its own thumbs, and answers that it asked " +
    "for in their name unless others have judged them. It is refused where it wrote nothing of them. " +
    "Rows of uploaded files that name the person as end_user are taken out. A run under way keeps the rows that it " +
    "began with until it ends.",
  request: { query: z.object({ end_user: storableText(z.string().min(1).max(256)) }) },
  responses: {
    200: jsonResponse(
      z.object({ end_user: z.string(), deleted: z.object({ labels: z.int(), completions: z.int() }) }),
      "Nothing of them is left.",
    ),
    ...refusals(400, 401, 403, 429),
  },
});

/** A label as clients see it. */
export const described = (label: StoredLabel): z.infer<typeof feedbackSchema> => ({
  id: label.id,
  object: "feedback",
  completion_id: label.completionId,
  choice: label.choice,
  end_user: label.endUser === "" ? null : label.endUser,
  label: label.label,
  reason: label.reason,
  tags: label.tags,
  correction: label.correction,
  version: label.version,
  key: label.keyId ?? null,
  created_at: label.createdAt,
  updated_at: label.updatedAt,
});

const noSuchThumb = (id: string) => new ApiError(404, `There is no feedback "${id}".`, "id", "feedback_not_found");

/** What a refusal of the store is to the client. */
export function storeRefusal(error: unknown): unknown {
  if (error instanceof UnknownCompletionError) {
    return new ApiError(404, error.message, "completion_id", "completion_not_found");
  }
  if (error instanceof UnknownChoiceError) return new ApiError(404, error.message, "choice", "choice_not_found");
  if (error instanceof ForeignLabelError) return new ApiError(409, error.message, "end_user", "label_of_another_key");
  return error;
}

/** Adds the routes. */
export function addFeedback(app: OpenAPIHono<GatewayEnv>, gateway: Gateway): void {
  const { database, dataFolder, metrics } = gateway;
  app.use("/v1/feedback/*", requireScope("feedback", "reviewer"));

  app.openapi(putRoute, async (context) => {
    const body = context.req.valid("json");
    const label = readThumb(body.label);
    try {
      const stored = await putLabel(
        database,
        {
          completionId: body.completion_id,
          choice: body.choice ?? 0,
          endUser: body.end_user ?? "",
          label,
          reason: body.reason,
          tags: body.tags,
          correction: body.correction,
        },
        idempotencyOf(context, JSON.stringify(body)),
        context.get("caller"),
      );
      metrics.labels.inc({ label: label ? "desirable" : "undesirable" });
      return context.json(described(stored), 201);
    } catch (error) {
      throw storeRefusal(error);
    }
  });

  app.openapi(listRoute, async (context) => {
    const { limit, cursor, ...filter } = context.req.valid("query");
    const page = await listLabels(database, readFilter(filter), { limit, cursor }, context.get("caller"));
    return context.json(cursorPage(page, page.items.map(described)), 200);
  });

  app.openapi(forgetRoute, async (context) => {
    const { end_user } = context.req.valid("query");
    const caller = context.get("caller");
    const { labels, events, completions } = await deleteEndUser(database, end_user, caller);
    if (!caller.everyones && labels + events + completions === 0) {
      const message = 'This API key wrote nothing of that person; deleting what others wrote needs the scope "admin".';
      throw new ApiError(403, message, "end_user", "insufficient_scope");
    }
    await removeLeftovers(dataFolder);
    if (caller.everyones) await forgetInUploads(database, dataFolder, end_user);
    await forgetInRuns(database, dataFolder);
    return context.json({ end_user, deleted: { labels, completions } }, 200);
  });

  app.openapi(oneRoute, async (context) => {
    const { id } = context.req.valid("param");
    const label = await getLabel(database, id, context.get("caller"));
    if (!label) throw noSuchThumb(id);
    return context.json(described(label), 200);
  });

  app.openapi(historyRoute, async (context) => {
    const { id } = context.req.valid("param");
    const history = await labelHistory(database, id, context.get("caller"));
    if (history.length === 0) throw noSuchThumb(id);
    const data = history.map(({ version, kind, at, keyId, endUser, label, reason, tags, correction }) => ({
      version,
      kind,
      at,
      key: keyId,
      end_user: endUser === "" ? null : endUser,
      label,
      reason,
      tags,
      correction,
    }));
    return context.json(list(data), 200);
  });

  app.openapi(deleteRoute, async (context) => {
    const { id } = context.req.valid("param");
    if (!await deleteLabel(database, id, context.get("caller"))) throw noSuchThumb(id);
    return context.json({ id, object: "feedback" as const, deleted: true as const }, 200);
  });
}
