// Idempotency-Key: how a client names a request that it may send again. It does not know what is asked.

import { createHash } from "node:crypto";
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { Idempotency } from "../../../shared/store/idempotency.ts";
import type { GatewayEnv } from "../gateway.ts";

/** Header that makes a retry safe. */
export const idempotencyHeader = z.object({
  "idempotency-key": z.string().min(1).max(255).optional().openapi({
    description: "A request that is sent again under the same key within 24 hours is done once, and answered again.",
  }),
});

/**
 * The idempotency of a request: keys are the API key's own, so that two clients cannot meet in one.
 *
 * @param body what makes two requests of one key the same
 */
export function idempotencyOf(context: Context<GatewayEnv>, body: string | Uint8Array): Idempotency | undefined {
  const given = context.req.header("idempotency-key");
  if (given === undefined) return undefined;
  const key = idempotencyHeader.parse({ "idempotency-key": given })["idempotency-key"]!;
  const scope = `${context.get("key")?.id ?? ""} ${context.req.method} ${context.req.path}`;
  return { scope, key, bodyHash: createHash("sha256").update(body).digest("hex") };
}
