// Errors in OpenAI's shape. Anything thrown in a route becomes one of these; what is not expected is a 500 that tells
// the client nothing but the request's id. It knows no route.

import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { InputError } from "../../../shared/errors.ts";
import { CursorError } from "../../../shared/store/pages.ts";
import { UnusableAdapterError } from "../../../shared/runtime/kept_adapters.ts";
import { RegistryConflictError } from "../../../shared/store/registry.ts";
import { IdempotencyConflictError } from "../../../shared/store/idempotency.ts";
import { StoreUnavailableError } from "../../../shared/store/unavailable.ts";
import { EngineClosedError, PromptError, QueueFullError, UnreadAnswerError } from "../engine/engine.ts";

/** Body of every error. */
export const errorSchema = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
}).openapi("Error");

export type ErrorBody = z.infer<typeof errorSchema>;

/** A refusal with its HTTP status; `param` is the field at fault as OpenAI writes it, e.g. `messages.0.role`. */
export class ApiError extends Error {
  constructor(
    readonly status: ContentfulStatusCode,
    message: string,
    readonly param: string | null = null,
    readonly code: string | null = null,
    readonly headers: Record<string, string> = {},
  ) {
    super(message);
  }
}

/** The refusal of a body that is longer than `limit` bytes. */
export const tooLarge = (limit: number): ApiError =>
  new ApiError(413, `The body is larger than ${limit / 2 ** 20} MiB.`, null, "body_too_large");

const types: Record<number, string> = {
  401: "authentication_error",
  403: "permission_error",
  429: "rate_limit_error",
};

/** OpenAI's `type` of a status. */
const typeOf = (status: number): string => types[status] ?? (status >= 500 ? "server_error" : "invalid_request_error");

/** In characters: a field's name can be as long as its body. */
const longestMessage = 4000, longestParam = 200;

/** The body of a refusal. */
export function errorBody({ status, message, param, code }: ApiError): ErrorBody {
  const brief = (text: string, most: number) => text.length <= most ? text : `${text.slice(0, most)}…`;
  return {
    error: {
      message: brief(message, longestMessage),
      type: typeOf(status),
      param: param === null ? null : brief(param, longestParam),
      code,
    },
  };
}

/** The first complaint of a failed validation as a refusal. Where a field is not known, it is named. */
export function validationError(error: z.core.$ZodError): ApiError {
  const { issue, path } = innermost(error.issues[0]!);
  if (issue.code === "unrecognized_keys") {
    const field = [...path, issue.keys[0]!].join(".");
    return new ApiError(400, `Unrecognized request argument supplied: ${field}`, field, "unknown_parameter");
  }
  const field = path.join(".");
  if (issue.code === "invalid_type" && issue.message.endsWith("received undefined")) {
    return new ApiError(400, `${field || "The body"} is missing.`, field || null, "missing_field");
  }
  const code = issue.code === "custom" && typeof issue.params?.code === "string" ? issue.params.code : "invalid_value";
  return new ApiError(400, `${field || "The body"}: ${issue.message}`, field || null, code);
}

type Issue = z.core.$ZodIssue;

/** A complaint about a key or about alternatives as the complaint within it that says what is wrong, and its path. */
function innermost(issue: Issue, before: string[] = []): { issue: Issue; path: string[] } {
  const path = [...before, ...issue.path.map(String)];
  // A key of a record may be as long as it likes, so it is the record that is named.
  if (issue.code === "invalid_key") return { issue: issue.issues[0] ?? issue, path: path.slice(0, -1) };
  if (issue.code !== "invalid_union") return { issue, path };
  // The alternative that was meant is of the type that was sent: what is wrong lies deeper, or is another thing.
  const meant = issue.errors.find(([first]) => first && (first.path.length > 0 || !ofAnotherType.has(first.code)))?.[0];
  return meant ? innermost(meant, path) : { issue, path };
}

const ofAnotherType: ReadonlySet<string | undefined> = new Set(["invalid_type", "invalid_value"]);

/** Refuses what a field holds, where that is what is wrong: to be called with what was thrown over it. */
export const refuseFor = (field: string) => (error: unknown): never => {
  throw error instanceof InputError ? new ApiError(400, error.message, field, "invalid_value") : error;
};

/** What Hono says of bodies in fewer words. */
const unreadable: Record<number, string> = {
  400:
    "The body could not be read as what its Content-Type says; most routes want one JSON object, as application/json.",
  415: "This media type is not understood here; most routes want one JSON object, with Content-Type: application/json.",
};

/** What a thrown value is to the client. */
export function asApiError(error: unknown): ApiError | undefined {
  if (error instanceof ApiError) return error;
  if (error instanceof z.ZodError) return validationError(error);
  if (error instanceof QueueFullError) {
    const headers = { "Retry-After": String(error.retryAfterSeconds) };
    return new ApiError(
      429,
      "All slots are taken and the queue is full; try again shortly.",
      null,
      "queue_full",
      headers,
    );
  }
  if (error instanceof EngineClosedError) {
    return new ApiError(503, "The gateway is ending and takes no new requests.", null, "not_ready");
  }
  if (error instanceof PromptError) {
    return new ApiError(400, error.message, error.source === "chat" ? "messages" : "prompt", error.code);
  }
  if (error instanceof StoreUnavailableError) {
    return new ApiError(503, error.message, null, "store_unavailable", { "Retry-After": "5" });
  }
  if (error instanceof IdempotencyConflictError) {
    return new ApiError(422, error.message, "Idempotency-Key", "idempotency_key_reused");
  }
  // Not the client's fault, nor mended by asking again: whoever runs the gateway must look at the files.
  if (error instanceof UnusableAdapterError) return new ApiError(503, error.message, "model", "model_unusable");
  if (error instanceof RegistryConflictError) return new ApiError(409, error.message, null, error.code);
  if (error instanceof UnreadAnswerError) return new ApiError(408, error.message, null, "unread_answer");
  if (error instanceof CursorError) return new ApiError(400, error.message, "cursor", "invalid_value");
  if (error instanceof InputError) return new ApiError(400, error.message);
  if (error instanceof HTTPException) {
    const message = unreadable[error.status] ?? error.message;
    return new ApiError(
      error.status as ContentfulStatusCode,
      message,
      null,
      error.status === 413 ? "body_too_large" : null,
    );
  }
  return undefined;
}

/** Sends a refusal. */
export function sendError(context: Context, error: ApiError): Response {
  return context.json(errorBody(error), error.status, error.headers);
}
