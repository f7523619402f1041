// Words that the routes' OpenAPI descriptions share. It knows no route.

import { z } from "@hono/zod-openapi";
import { errorSchema } from "../http/errors.ts";
import { storableText } from "../schemas/request.ts";

const meaning = {
  400: "The request cannot be used; the message says which field and why.",
  401: "A valid API key is needed.",
  403: "The API key lacks the scope.",
  404: "There is no such thing.",
  409: "It contradicts what is there.",
  413: "The body is too large.",
  415: "The body's media type is not understood here.",
  422: "The idempotency key was used for another request.",
  429: "Too many requests, or the queue is full; `Retry-After` says when to come again.",
  503: "The model is not ready to answer.",
} as const;

type Refusal = keyof typeof meaning;
type JsonContent<Schema> = { description: string; content: { "application/json": { schema: Schema } } };

/** Responses of refusals, by status. */
export function refusals<Status extends Refusal>(
  ...statuses: Status[]
): Record<Status, JsonContent<typeof errorSchema>> {
  return Object.fromEntries(
    statuses.map((status) => [status, jsonResponse(errorSchema, meaning[status])]),
  ) as Record<Status, JsonContent<typeof errorSchema>>;
}

/** A response of JSON. */
export function jsonResponse<Schema extends z.ZodType>(schema: Schema, description: string): JsonContent<Schema> {
  return { description, content: { "application/json": { schema } } };
}

/** The id in a route's path. */
export const idParams = z.object({ id: storableText(z.string().max(200)) });

/** A required body of JSON. */
export function jsonBody<Schema extends z.ZodType>(schema: Schema) {
  return { required: true, content: { "application/json": { schema } } } as const;
}
