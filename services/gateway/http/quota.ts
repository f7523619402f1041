// Refuses requests of a key that has used up its day. It does not know how use is counted.

import type { MiddlewareHandler } from "hono";
import type { GatewayEnv } from "../gateway.ts";
import type { KeyUsage, UsedUp } from "../key_usage.ts";
import { ApiError } from "./errors.ts";

/** Counts each request of a key, and the bytes of its body. */
export function countUsage(usage: KeyUsage, free: readonly string[]): MiddlewareHandler<GatewayEnv> {
  return async (context, next) => {
    const key = context.get("key"), { raw } = context.req;
    if (!key || free.includes(context.req.path)) return await next();
    const told = raw.headers.get("Content-Length");
    const over = await usage.count(key, Number(told ?? 0) || 0);
    if (over) throw refusal(over);
    if (told === null && raw.body) {
      const counting = new TransformStream<Uint8Array, Uint8Array>({
        async transform(piece, controller) {
          const over = await usage.countBytes(key, piece.length);
          if (over) controller.error(refusal(over));
          else controller.enqueue(piece);
        },
      });
      context.req.raw = new Request(raw, { body: raw.body.pipeThrough(counting) });
    }
    await next();
  };
}

function refusal({ what, limit, seconds }: UsedUp): ApiError {
  const used = what === "requests" ? `its ${limit} requests` : `its ${limit} bytes of request bodies`;
  const option = what === "requests" ? "--requests-per-day" : "--bytes-per-day";
  return new ApiError(
    429,
    `This API key has used up ${used} of the day (${option}); it may go on at midnight UTC.`,
    null,
    "quota_exceeded",
    { "Retry-After": String(seconds) },
  );
}
