// GET /v1/experiments: how often answers of each version of an alias's arms are found desirable, and which is liked better.

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { servedBase } from "../../../shared/store/presence.ts";
import { listAdapters } from "../../../shared/store/registry.ts";
import { compareArms, type ComparedArm } from "../compared_arms.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { list, listOf } from "../schemas/lists.ts";
import { storableText } from "../schemas/request.ts";
import { jsonResponse, refusals } from "./describe.ts";

const interval = { value: z.number(), low: z.number(), high: z.number() };

const armSchema = z.object({
  model: z.string(),
  base: z.string().nullable().openapi({ description: "The base model that answered, as `name@sha-256`." }),
  adapter_version: z.string().nullable().openapi({ description: "sha-256 of the adapter's files; null for the base." }),
  current: z.boolean().openapi({ description: "Whether the model's name means this version now." }),
  weight: z.number().openapi({
    description: "Its share of the alias's requests now, in percent; 0 where it has none.",
  }),
  answers: z.int().openapi({ description: "Answers given that are still kept; each choice counts." }),
  people: z.int().openapi({ description: "People who were given them, by `user` (or `safety_identifier`)." }),
  answers_to_nobody: z.int().openapi({ description: "Those of the answers whose request named nobody." }),
  judged_answers: z.int().openapi({ description: "Answers with at least one thumb." }),
  judged: z.int().openapi({ description: "Thumbs, by anyone, on any choice." }),
  desirable: z.int().openapi({ description: "Those of the thumbs that are up." }),
  judges: z.int().openapi({
    description: "People whose thumbs they are: `end_user` of the thumb, else `user` of the request.",
  }),
  judged_by_nobody: z.int().openapi({
    description: "Thumbs of which neither names a person. Each such request counts as a person of its own.",
  }),
  rate: z.object({
    ...interval,
    effective: z.number().openapi({
      description: "How many thumbs of as many people would say as much: one person's thumbs resemble each other.",
    }),
  }).nullable().openapi({
    description: "Desirable thumbs among all, with a 95% interval that counts by person; null while there is no thumb.",
  }),
  reference: z.boolean().openapi({
    description:
      "The others are held against it: the base where it answers for the alias now, else the arm with most " +
      "weight; where none has any, the one with most thumbs.",
  }),
  difference: z.object(interval).nullable().openapi({
    description: "The rate less the reference's, with a 95% interval for one look; null while either has no thumb.",
  }),
  verdict: z.object({
    result: z.enum(["better", "worse", "cannot tell yet"]),
    low: z.number(),
    high: z.number(),
    message: z.string(),
  }).nullable().openapi({
    description: "Against the reference, for those who look again and again: `low` to `high` holds the difference at " +
      "all looks together in 95% of experiments, and it is cannot tell yet while that includes 0. Null for the reference.",
  }),
});

const route = createRoute({
  method: "get",
  path: "/v1/experiments",
  tags: ["Experiments"],
  summary: "Desirable rates per alias, arm and version, and which is liked better",
  request: { query: z.object({ alias: storableText(z.string().max(64)).optional() }) },
  responses: {
    200: jsonResponse(
      listOf(z.object({ alias: z.string(), arms: z.array(armSchema) })),
      "One entry per alias that is set, or that answered once. Arms that it has now come first.",
    ),
    ...refusals(400, 401, 403, 429),
  },
});

const described = (arm: ComparedArm): z.infer<typeof armSchema> => ({
  model: arm.model,
  base: arm.base,
  adapter_version: arm.adapterVersion,
  current: arm.current,
  weight: arm.weight,
  answers: arm.answers,
  people: arm.people,
  answers_to_nobody: arm.unnamedAnswers,
  judged_answers: arm.judgedAnswers,
  judged: arm.rate?.thumbs ?? 0,
  desirable: arm.rate?.desirable ?? 0,
  judges: arm.judges,
  judged_by_nobody: arm.unnamedThumbs,
  rate: arm.rate && { value: arm.rate.value, low: arm.rate.low, high: arm.rate.high, effective: arm.rate.effective },
  reference: arm.isReference,
  difference: arm.difference,
  verdict: arm.verdict,
});

/** Adds the route. */
export function addExperiments(app: OpenAPIHono<GatewayEnv>, gateway: Gateway): void {
  const { database, aliases } = gateway;
  app.use(route.path, requireScope("admin"));
  app.openapi(route, async (context) => {
    const base = gateway.engine?.base ?? await servedBase(database);
    const served = { aliases, base, adapters: await listAdapters(database) };
    const experiments = await compareArms(database, served, context.req.valid("query").alias);
    const data = experiments.map(({ alias, arms }) => ({ alias, arms: arms.map(described) }));
    return context.json(list(data), 200);
  });
}
