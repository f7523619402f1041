// Which methods a path takes, for those who ask with OPTIONS or use another. It does not know what they do.

import type { Hono, MiddlewareHandler } from "hono";
import type { GatewayEnv } from "../gateway.ts";

const methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/** The methods that routes of this path answer, as Allow lists them; none for a path that is not there. */
export function allowedMethods({ router }: Hono<GatewayEnv>, path: string): string[] {
  const answered = methods.filter((method) =>
    router.match(method, path)[0].some(([[, route]]) => route.method === method)
  );
  if (answered.length === 0) return [];
  return [...answered.flatMap((method) => method === "GET" ? ["GET", "HEAD"] : [method]), "OPTIONS"];
}

/** What is sent piece by piece: its length is known to no one, or said by the route. */
const streamed = /^(?:text\/event-stream|application\/(?:x-ndjson|octet-stream))/;

/** Ends the body of an answer to HEAD, which Hono makes as for GET and drops: it may hold a file or a query open. */
export const endBodiesOfHead: MiddlewareHandler<GatewayEnv> = async (context, next) => {
  await next();
  if (context.req.method !== "HEAD") return;
  const { res } = context;
  if (streamed.test(res.headers.get("Content-Type") ?? "")) return await res.body?.cancel();
  const length = (await res.arrayBuffer()).byteLength;
  context.res = new Response(null, res);
  context.header("Content-Length", `${length}`);
};

/** Answers OPTIONS where there is a route; a browser's question before a call of another origin was answered before. */
export function answerOptions(app: Hono<GatewayEnv>): MiddlewareHandler<GatewayEnv> {
  return async (context, next) => {
    const allowed = context.req.method === "OPTIONS" ? allowedMethods(app, context.req.path) : [];
    if (allowed.length === 0) return await next();
    return context.body(null, 204, { Allow: allowed.join(", ") });
  };
}
