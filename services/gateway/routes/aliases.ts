// /v1/aliases: how the requests of a name are spread over models, by hand.

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { servedAlias, setAlias } from "../../../shared/store/aliases.ts";
import { spreadAlias } from "../../../shared/store/change_adapters.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { ApiError, refuseFor } from "../http/errors.ts";
import { checkArms, namePattern } from "../model_names.ts";
import { makeReady } from "../ready_model.ts";
import { list, listOf } from "../schemas/lists.ts";
import { requestObject } from "../schemas/request.ts";
import { jsonBody, jsonResponse, refusals } from "./describe.ts";

const armsSchema = z.array(requestObject({ model: z.string().min(1).max(200), weight: z.number().min(0).max(1e6) }))
  .min(1).max(16);
const aliasSchema = z.object({ name: z.string(), arms: armsSchema }).openapi("Alias");
const params = z.object({ name: z.string().regex(namePattern, "letters, digits, dots, dashes, at most 64") });

const listRoute = createRoute({
  method: "get",
  path: "/v1/aliases",
  tags: ["Registry"],
  summary: "What each alias spreads its requests over",
  responses: {
    200: jsonResponse(listOf(aliasSchema), "The aliases."),
    ...refusals(401, 403, 429),
  },
});

const putRoute = createRoute({
  method: "put",
  path: "/v1/aliases/{name}",
  tags: ["Registry"],
  summary: "Spread an alias's requests",
  request: { params, body: jsonBody(requestObject({ arms: armsSchema })) },
  responses: { 200: jsonResponse(aliasSchema, "It does."), ...refusals(400, 401, 403, 404, 409, 413, 415, 429, 503) },
});

const deleteRoute = createRoute({
  method: "delete",
  path: "/v1/aliases/{name}",
  tags: ["Registry"],
  summary: "Delete an alias; one that the gateway's command gives is there again when it is started again",
  request: { params },
  responses: {
    200: jsonResponse(
      z.object({ name: z.string(), object: z.literal("alias"), deleted: z.literal(true) }),
      "Requests for it are 404 from now on.",
    ),
    ...refusals(400, 401, 403, 404, 409, 429),
  },
});

/** Adds the routes. */
export function addAliases(app: OpenAPIHono<GatewayEnv>, gateway: Gateway): void {
  const { database, models, log, aliases } = gateway;
  app.use("/v1/aliases/*", requireScope("admin"));

  app.openapi(
    listRoute,
    (context) => context.json(list([...aliases].map(([name, arms]) => ({ name, arms }))), 200),
  );

  app.openapi(putRoute, async (context) => {
    const { name } = context.req.valid("param"), { arms } = context.req.valid("json");
    if (name === "base") throw new ApiError(400, '"base" is the base model\'s own name.', "name");
    await Promise.try(() => checkArms(name, arms)).catch(refuseFor("arms"));
    await models.refresh();
    for (const [i, { model }] of arms.entries()) await makeReady(gateway, model, `arms.${i}.model`);
    await database.write((queries) => spreadAlias(queries, name, arms));
    await models.refresh();
    log.info("alias set", { name, arms, by: context.get("key")?.id ?? null });
    return context.json({ name, arms }, 200);
  });

  app.openapi(deleteRoute, async (context) => {
    const { name } = context.req.valid("param");
    if (name === servedAlias) {
      throw new ApiError(
        409,
        `"${name}" is what clients ask for and what promotion moves, so it stays; promote base to take every adapter off it.`,
        "name",
        "in_use",
      );
    }
    await models.refresh();
    if (!aliases.has(name)) throw new ApiError(404, `There is no alias "${name}".`, "name", "alias_not_found");
    await database.write((queries) => setAlias(queries, name, []));
    await models.refresh();
    log.info("alias deleted", { name, by: context.get("key")?.id ?? null });
    return context.json({ name, object: "alias" as const, deleted: true as const }, 200);
  });
}
