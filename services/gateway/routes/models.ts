// GET /v1/models, GET /v1/models/{id}: the base, its adapters, and aliases.

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { modelOf } from "../../../shared/store/registry.ts";
import { type Gateway, type GatewayEnv, readyEngine } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { ApiError } from "../http/errors.ts";
import { list, listOf } from "../schemas/lists.ts";
import { jsonResponse, refusals } from "./describe.ts";

const modelSchema = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.int(),
  owned_by: z.string(),
  version: z.string().optional().openapi({ description: "Changes with the content of the files." }),
  context_length: z.int().optional(),
  arms: z.array(z.object({ model: z.string(), weight: z.number() })).optional().openapi({
    description: "What an alias spreads its requests over.",
  }),
}).openapi("Model");

type Model = z.infer<typeof modelSchema>;

const listRoute = createRoute({
  method: "get",
  path: "/v1/models",
  tags: ["Inference"],
  summary: "All models",
  responses: {
    200: jsonResponse(listOf(modelSchema), "The models."),
    ...refusals(401, 403, 429, 503),
  },
});

const oneRoute = createRoute({
  method: "get",
  path: "/v1/models/{model}",
  tags: ["Inference"],
  summary: "One model",
  request: { params: z.object({ model: z.string().max(200) }) },
  responses: { 200: jsonResponse(modelSchema, "The model."), ...refusals(400, 401, 403, 404, 429, 503) },
});

function models(gateway: Gateway, started: number): Model[] {
  const engine = readyEngine(gateway), { base, contextLength } = engine;
  // Registered ones are loaded when they are first asked for.
  const adapters = new Map([
    ...gateway.models.list(base).map(({ name, version, createdAt }) => [name, { version, since: createdAt }] as const),
    ...engine.adapters().map(({ name, version, since }) => [name, { version, since }] as const),
  ]);
  const common = { object: "model", owned_by: "prospect" } as const;
  return [
    { id: "base", created: started, ...common, version: base, context_length: contextLength },
    ...[...adapters].map(([name, { version, since }]) => ({
      id: modelOf(name),
      created: Math.floor(since / 1000),
      ...common,
      version,
      context_length: contextLength,
    })),
    ...[...gateway.aliases].map(([id, arms]) => ({ id, created: started, ...common, arms })),
  ];
}

/** Adds the routes. */
export function addModels(app: OpenAPIHono<GatewayEnv>, gateway: Gateway): void {
  const started = Math.floor(Date.now() / 1000);
  app.use("/v1/models/*", requireScope("inference", "reviewer"));
  app.openapi(listRoute, (context) => context.json(list(models(gateway, started)), 200));
  app.openapi(oneRoute, (context) => {
    const { model } = context.req.valid("param");
    const found = models(gateway, started).find(({ id }) => id === model);
    if (!found) throw new ApiError(404, `The model "${model}" does not exist here.`, "model", "model_not_found");
    return context.json(found, 200);
  });
}
