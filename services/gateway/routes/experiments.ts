// GET /v1/experiments: how often answers of each arm of an alias are found desirable.

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { desirableRates } from "../../../shared/store/experiments.ts";
import { modelOf } from "../../../shared/store/registry.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { list, listOf } from "../schemas/lists.ts";
import { storableText } from "../schemas/request.ts";
import { jsonResponse, refusals } from "./describe.ts";

const armSchema = z.object({
  model: z.string(),
  weight: z.number().openapi({
    description: "Its share of the alias's requests now, in percent; 0 where it has none.",
  }),
  answers: z.int(),
  judged: z.int().openapi({ description: "Thumbs, by anyone, on any choice." }),
  desirable: z.int(),
  rate: z.object({ value: z.number(), low: z.number(), high: z.number() }).nullable().openapi({
    description: "Desirable thumbs among all, with Wilson's 95% interval; null while there is no thumb.",
  }),
});

const route = createRoute({
  method: "get",
  path: "/v1/experiments",
  tags: ["Experiments"],
  summary: "Desirable rates per alias and arm",
  request: { query: z.object({ alias: storableText(z.string().max(64)).optional() }) },
  responses: {
    200: jsonResponse(
      listOf(z.object({ alias: z.string(), arms: z.array(armSchema) })),
      "One entry per alias that is set, or that answered once.",
    ),
    ...refusals(400, 401, 403, 429),
  },
});

/** Adds the route. */
export function addExperiments(app: OpenAPIHono<GatewayEnv>, { database, aliases }: Gateway): void {
  app.use(route.path, requireScope("admin"));
  app.openapi(route, async (context) => {
    const { alias: asked } = context.req.valid("query");
    const measured = await desirableRates(database, asked);
    const names = new Set([...aliases.keys(), ...measured.map(({ alias }) => alias)]);
    const data = [...names].filter((name) => asked === undefined || name === asked).map((alias) => {
      const arms = aliases.get(alias) ?? [];
      const total = arms.reduce((sum, { weight }) => sum + weight, 0);
      const rates = new Map(
        measured.filter((rate) => rate.alias === alias).map((rate) => [modelOf(rate.adapter), rate]),
      );
      const models = new Set([...arms.map(({ model }) => model), ...rates.keys()]);
      return {
        alias,
        arms: [...models].map((model) => {
          const { answers = 0, judged = 0, desirable = 0, rate = null, interval = null } = rates.get(model) ?? {};
          const weight = (arms.find((arm) => arm.model === model)?.weight ?? 0) / (total || 1) * 100;
          return {
            model,
            weight,
            answers,
            judged,
            desirable,
            rate: rate === null || interval === null ? null : { value: rate, ...interval },
          };
        }),
      };
    });
    return context.json(list(data), 200);
  });
}
