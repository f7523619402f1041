// GET /v1/me: who asks, and what they may do. It tells nothing of anybody else.

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { scopes } from "../../../shared/store/keys.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { jsonResponse, refusals } from "./describe.ts";

const callerSchema = z.object({
  object: z.literal("caller"),
  key: z.string().nullable().openapi({
    description: "Id of the API key; null where none was sent and none is needed.",
  }),
  owner: z.string().nullable().openapi({ description: "Who uses the key, as it was made with." }),
  scopes: z.array(z.enum(scopes)).openapi({ description: "What this caller may do; all of them with `admin`." }),
  keys_required: z.boolean(),
}).openapi("Caller");

const route = createRoute({
  method: "get",
  path: "/v1/me",
  tags: ["Operation"],
  summary: "Who am I here?",
  responses: { 200: jsonResponse(callerSchema, "You."), ...refusals(401, 429) },
});

/** Adds the route. */
export function addMe(app: OpenAPIHono<GatewayEnv>, { options: { keysRequired } }: Gateway): void {
  app.use(route.path, requireScope(...scopes));
  app.openapi(route, (context) => {
    const { id = null, owner = null } = context.get("key") ?? {};
    const granted = scopes.filter((scope) => context.get("scopes").has(scope));
    return context.json(
      { object: "caller" as const, key: id, owner, scopes: granted, keys_required: keysRequired },
      200,
    );
  });
}
