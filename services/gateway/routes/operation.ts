// What those who run the gateway ask it: is it alive, is it ready, its metrics, its OpenAPI document and a page of it.

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { createStoreProbe } from "../store_probe.ts";
import { jsonResponse, refusals } from "./describe.ts";

const statusSchema = z.object({ status: z.string() });

const healthRoute = createRoute({
  method: "get",
  path: "/healthz",
  tags: ["Operation"],
  summary: "Is the process alive?",
  responses: { 200: jsonResponse(statusSchema, "It is.") },
});

const readinessSchema = z.object({
  status: z.enum(["ready", "not ready"]),
  reasons: z.array(z.string()).openapi({ description: "Why not, a sentence each." }),
});

const readyRoute = createRoute({
  method: "get",
  path: "/readyz",
  tags: ["Operation"],
  summary: "Can this process answer for every alias, and keep what it says?",
  responses: {
    200: jsonResponse(readinessSchema, "It can."),
    503: jsonResponse(readinessSchema, "Not yet, no more, or not for all of them."),
  },
});

const metricsRoute = createRoute({
  method: "get",
  path: "/metrics",
  tags: ["Operation"],
  summary: "Metrics for Prometheus",
  responses: {
    200: { description: "Prometheus' text format.", content: { "text/plain": { schema: z.string() } } },
    ...refusals(401, 403),
  },
});

/** Files of Swagger UI that the page needs, and their types; nothing is fetched from another host. */
const pageFiles: Record<string, string> = {
  "swagger-ui.css": "text/css; charset=utf-8",
  "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
};

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Prospect API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<div id="page"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
`;

const start = `SwaggerUIBundle({ url: "/openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null });\n`;

/** Adds the routes. */
export function addOperation(app: OpenAPIHono<GatewayEnv>, gateway: Gateway): void {
  app.openapi(healthRoute, (context) => context.json({ status: "alive" }, 200));
  const storeAnswers = createStoreProbe(gateway.database);
  const reasons = async () => {
    const { engine, models } = gateway;
    if (!engine) return ["The model is being loaded, or the gateway is ending."];
    const store = await storeAnswers(engine.base) ? [] : ["The store cannot be reached or written."];
    return [...store, ...models.unanswerable(engine)];
  };
  app.openapi(readyRoute, async (context) => {
    const why = await reasons();
    return why.length === 0
      ? context.json({ status: "ready" as const, reasons: why }, 200)
      : context.json({ status: "not ready" as const, reasons: why }, 503);
  });
  app.use("/metrics", requireScope("admin"));
  app.openapi(
    metricsRoute,
    async (context) =>
      context.text(await gateway.metrics.render(), 200, { "Content-Type": gateway.metrics.contentType }),
  );
  app.doc31("/openapi.json", {
    openapi: "3.1.0",
    info: {
      title: "Prospect",
      version: "1",
      description: "OpenAI-compatible inference, and thumbs on its answers. Every error has the shape of `Error`.",
    },
    security: [{ key: [] }],
  });
  app.openAPIRegistry.registerComponent("securitySchemes", "key", {
    type: "http",
    scheme: "bearer",
    description: "An API key (`deno task keys create`). Not needed on loopback.",
  });
  const folder = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
  app.get("/docs", (context) => context.html(page));
  app.get("/docs/start.js", (context) => context.body(start, 200, { "Content-Type": "text/javascript" }));
  for (const [file, type] of Object.entries(pageFiles)) {
    app.get(
      `/docs/${file}`,
      async (context) => context.body(await Deno.readFile(join(folder, file)), 200, { "Content-Type": type }),
    );
  }
}
