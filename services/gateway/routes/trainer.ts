// GET /v1/trainer: whether somebody does the jobs. It knows of no job.

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { trainerPresence } from "../../../shared/store/presence.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { jsonResponse, refusals } from "./describe.ts";

const trainerSchema = z.object({
  object: z.literal("trainer"),
  at_work: z.boolean(),
  last_seen: z.int().nullable().openapi({ description: "Milliseconds since 1970; null where there never was one." }),
  silent_seconds: z.int().nullable().openapi({ description: "How long ago that is, by the gateway's clock." }),
}).openapi("Trainer");

const route = createRoute({
  method: "get",
  path: "/v1/trainer",
  tags: ["Fine-tuning"],
  summary: "Is a trainer at work?",
  responses: {
    200: jsonResponse(trainerSchema, "Whether one is, and when it was last seen."),
    ...refusals(401, 403, 429),
  },
});

/** Adds the route. */
export function addTrainer(app: OpenAPIHono<GatewayEnv>, { database }: Gateway): void {
  app.use(route.path, requireScope("admin"));
  app.openapi(route, async (context) => {
    const { atWork, seenAt, silence } = await trainerPresence(database);
    const silent_seconds = silence === null ? null : Math.max(0, Math.floor(silence / 1000));
    return context.json({ object: "trainer" as const, at_work: atWork, last_seen: seenAt, silent_seconds }, 200);
  });
}
