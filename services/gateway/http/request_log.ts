// Around every request: its log line, its metrics, its span's route. It does not know what routes do.

import { trace } from "@opentelemetry/api";
import type { MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import type { Gateway, GatewayEnv } from "../gateway.ts";

/** Methods that are counted by their name. Any word can be sent as one, and each would be a metric of its own. */
const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** Logs and counts a request when its response begins. Prompts and answers are never part of the line. */
export function observeRequests({ log, metrics }: Gateway): MiddlewareHandler<GatewayEnv> {
  return async (context, next) => {
    const started = performance.now();
    context.set("logFields", {});
    await next();
    // A response that a route made by itself, such as a stream, has not got what requestId() left for it.
    context.header("X-Request-Id", context.get("requestId"));
    const { method, path } = context.req;
    const status = context.res.status, seconds = (performance.now() - started) / 1000;
    // Unknown paths are one route, or anyone could grow the metrics without bounds.
    const matched = routePath(context);
    const route = matched.includes("*") ? "unmatched" : matched;
    trace.getActiveSpan()?.updateName(`${method} ${route}`).setAttribute("http.route", route);
    const counted = methods.has(method) ? method : "other";
    metrics.requests.inc({ method: counted, route, status: String(status) });
    metrics.seconds.observe({ method: counted, route }, seconds);
    if (route === "/healthz" || route === "/readyz" || route === "/metrics") return;
    log.info("request", {
      request_id: context.get("requestId"),
      method,
      path,
      status,
      milliseconds: Math.round(seconds * 1e4) / 10,
      ...(context.get("key") ? { key: context.get("key")!.id } : {}),
      ...context.get("logFields"),
    });
  };
}
