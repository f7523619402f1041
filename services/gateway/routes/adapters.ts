// /v1/adapters: loads, replaces and removes adapters while answers go on.

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { findAdapter, modelOf } from "../../../shared/store/registry.ts";
import { checkUnused, loadByHand, removeByHand } from "../adapters_by_hand.ts";
import { type Gateway, type GatewayEnv, readyEngine } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { ApiError, refuseFor } from "../http/errors.ts";
import { namePattern } from "../model_names.ts";
import { list, listOf } from "../schemas/lists.ts";
import { requestObject } from "../schemas/request.ts";
import { jsonBody, jsonResponse, refusals } from "./describe.ts";

const adapterSchema = z.object({
  name: z.string(),
  object: z.literal("adapter"),
  model: z.string(),
  version: z.string().openapi({ description: "sha-256 of its files." }),
  since: z.int().openapi({ description: "When it was loaded, in milliseconds since 1970." }),
}).openapi("Adapter");

const params = z.object({ name: z.string().regex(namePattern, "letters, digits, dots, dashes, at most 64") });

const listRoute = createRoute({
  method: "get",
  path: "/v1/adapters",
  tags: ["Adapters"],
  summary: "Loaded adapters",
  responses: {
    200: jsonResponse(listOf(adapterSchema), "The adapters."),
    ...refusals(401, 403, 429, 503),
  },
});

const putRoute = createRoute({
  method: "put",
  path: "/v1/adapters/{name}",
  tags: ["Adapters"],
  summary: "Register an adapter that no job made, and load it; it has passed no gate",
  description: "The files are copied. A name that a job made, that an alias asks for or that an open job starts from " +
    "keeps its files: others are refused with 409, to be loaded under another name and promoted. Any other name gets " +
    "the new files; answers under way keep those that they began with.",
  request: {
    params,
    body: jsonBody(requestObject({
      path: z.string().min(1).max(4096).openapi({ description: "Folder in PEFT's layout, on the gateway's machine." }),
    })),
  },
  responses: {
    200: jsonResponse(adapterSchema, "The adapter answers."),
    ...refusals(400, 401, 403, 409, 413, 415, 429, 503),
  },
});

const deleteRoute = createRoute({
  method: "delete",
  path: "/v1/adapters/{name}",
  tags: ["Adapters"],
  summary: "Unload an adapter; one that no job made leaves the registry too. Answers under way are finished",
  request: { params },
  responses: {
    200: jsonResponse(
      z.object({ name: z.string(), object: z.literal("adapter"), deleted: z.literal(true) }),
      "Removed.",
    ),
    ...refusals(400, 401, 403, 404, 409, 429, 503),
  },
});

/** Adds the routes. */
export function addAdapters(app: OpenAPIHono<GatewayEnv>, gateway: Gateway): void {
  const described = () =>
    readyEngine(gateway).adapters().map(({ name, version, since }) => ({
      name,
      object: "adapter" as const,
      model: modelOf(name),
      version,
      since,
    }));
  app.use("/v1/adapters/*", requireScope("admin"));
  app.openapi(listRoute, (context) => context.json(list(described()), 200));
  app.openapi(putRoute, async (context) => {
    const { name } = context.req.valid("param");
    await loadByHand(gateway, readyEngine(gateway), name, context.req.valid("json").path).catch(refuseFor("path"));
    return context.json(described().find((adapter) => adapter.name === name)!, 200);
  });
  app.openapi(deleteRoute, async (context) => {
    const { name } = context.req.valid("param"), engine = readyEngine(gateway);
    const registered = await findAdapter(gateway.database, name);
    if (registered?.jobId === null) await removeByHand(gateway, engine, name);
    else if (described().some((adapter) => adapter.name === name)) {
      checkUnused(gateway.aliases, name);
      await engine.removeAdapter(name);
    } else throw new ApiError(404, `There is no adapter "${name}" here.`, "name", "adapter_not_found");
    return context.json({ name, object: "adapter" as const, deleted: true as const }, 200);
  });
}
