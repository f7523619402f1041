// /v1/registry: adapters with their lineage, promotion behind the gate, and the way back.

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { servedAlias } from "../../../shared/store/aliases.ts";
import { answerOnce, findAnswer } from "../../../shared/store/idempotency.ts";
import { listPromotions, promote, rollback, standing, UnservedBaseError } from "../../../shared/store/promotions.ts";
import { listAdapters, modelOf } from "../../../shared/store/registry.ts";
import { removeByHand } from "../adapters_by_hand.ts";
import { type Gateway, type GatewayEnv, readyEngine } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { ApiError, errorBody, errorSchema } from "../http/errors.ts";
import { idempotencyHeader, idempotencyOf } from "../http/idempotency.ts";
import { cannotAnswer, makeReady } from "../ready_model.ts";
import { gateSchema } from "../schemas/fine_tuning.ts";
import { requestObject, storableText } from "../schemas/request.ts";
import { jsonBody, jsonResponse, refusals } from "./describe.ts";

const adapterSchema = z.object({
  name: z.string(),
  model: z.string(),
  version: z.string(),
  created_at: z.int().openapi({ description: "Milliseconds since 1970." }),
  parent: z.string(),
  job_id: z.string().nullable(),
  data: z.record(z.string(), z.unknown()),
  metrics: z.record(z.string(), z.unknown()),
  gate: gateSchema.nullable(),
  state: z.enum(["current", "candidate", "retired"]),
  promoted_at: z.int().nullable(),
  fits: z.boolean().openapi({ description: "Whether it is for the base model that this gateway serves." }),
  files: z.record(z.string(), z.string()),
}).openapi("RegisteredAdapter");

const registrySchema = z.object({
  object: z.literal("registry"),
  alias: z.string(),
  current: z.string(),
  previous: z.string().nullable(),
  adapters: z.array(adapterSchema),
  promotions: z.array(z.object({
    at: z.int(),
    kind: z.enum(["promote", "rollback"]),
    from: z.string(),
    to: z.string(),
    version: z.string().nullable().openapi({ description: "Of the adapter's files as they were promoted." }),
    reason: z.string().nullable(),
    override: z.boolean(),
    by: z.string().nullable(),
  })),
}).openapi("Registry");

const reason = storableText(z.string().min(1).max(1000)).optional();

const showRoute = createRoute({
  method: "get",
  path: "/v1/registry",
  tags: ["Registry"],
  summary: "Adapters, where they come from, what is promoted",
  responses: { 200: jsonResponse(registrySchema, "The registry."), ...refusals(401, 403, 429, 503) },
});

const promoteRoute = createRoute({
  method: "post",
  path: "/v1/registry/promote",
  tags: ["Registry"],
  summary: "Let the alias `prospect` answer with a model from now on; streams under way go on",
  request: {
    headers: idempotencyHeader,
    body: jsonBody(requestObject({
      model: z.string().min(1).max(200),
      reason,
      override: z.boolean().optional().openapi({
        description: "Promote although the gate has not passed; needs a reason.",
      }),
    })),
  },
  responses: {
    200: jsonResponse(registrySchema, "It answers."),
    409: jsonResponse(errorSchema.extend({ gate: gateSchema.nullable() }), "The gate has not passed."),
    ...refusals(400, 401, 403, 404, 413, 415, 422, 429, 503),
  },
});

const rollbackRoute = createRoute({
  method: "post",
  path: "/v1/registry/rollback",
  tags: ["Registry"],
  summary: "Go back to the model that was promoted before",
  request: { headers: idempotencyHeader, body: jsonBody(requestObject({ reason })) },
  responses: {
    200: jsonResponse(registrySchema, "It answers again."),
    ...refusals(400, 401, 403, 409, 413, 415, 422, 429, 503),
  },
});

const removeRoute = createRoute({
  method: "delete",
  path: "/v1/registry/{name}",
  tags: ["Registry"],
  summary: "Take an adapter out of the registry, and its files; what its run wrote stays in the run's folder",
  request: { params: z.object({ name: storableText(z.string().max(200)) }) },
  responses: { 200: jsonResponse(registrySchema, "Removed."), ...refusals(400, 401, 403, 404, 409, 429, 503) },
});

async function registry(gateway: Gateway): Promise<z.infer<typeof registrySchema>> {
  const { database } = gateway, { base } = readyEngine(gateway);
  const promotions = await listPromotions(database, servedAlias);
  const { current, previous } = standing(promotions);
  const adapters = (await listAdapters(database)).map((adapter) => {
    const { name, version, createdAt, parent, jobId, data, metrics, gate, files } = adapter;
    const model = modelOf(name);
    const promoted = promotions.findLast((each) => each.to === model && (each.version ?? version) === version);
    return {
      name,
      model,
      version,
      created_at: createdAt,
      parent,
      job_id: jobId,
      data,
      metrics,
      gate,
      state: model === current.model ? "current" as const : promoted ? "retired" as const : "candidate" as const,
      promoted_at: promoted?.at ?? null,
      fits: adapter.base === base,
      files,
    };
  });
  return {
    object: "registry",
    alias: servedAlias,
    current: current.model,
    previous: previous?.model ?? null,
    adapters,
    promotions,
  };
}

/** As the store knows it, which another gateway may have told since this one has looked. */
function unserved(error: unknown): never {
  throw error instanceof UnservedBaseError ? cannotAnswer(error.message) : error;
}

/** Adds the routes. */
export function addRegistry(app: OpenAPIHono<GatewayEnv>, gateway: Gateway): void {
  const { database, models, log } = gateway;
  app.use("/v1/registry/*", requireScope("admin"));

  app.openapi(showRoute, async (context) => context.json(await registry(gateway), 200));

  app.openapi(promoteRoute, async (context) => {
    const body = context.req.valid("json"), { model, reason, override } = body;
    const idempotency = idempotencyOf(context, JSON.stringify(body));
    if (await findAnswer(database, idempotency)) return context.json(await registry(gateway), 200);
    await models.refresh();
    // Loaded before anyone is sent there.
    const adapter = await makeReady(gateway, model), gate = adapter?.gate ?? null;
    const passed = adapter === undefined || gate?.passed === true;
    if (!passed && !override) {
      const failed = gate?.findings.filter(({ passed }) => !passed).map(({ message }) => message).join(" ");
      const message = `The gate has not passed: ${failed ?? "this adapter was never measured."}`;
      const refusal = new ApiError(
        409,
        `${message} Send override: true and a reason to promote it anyway.`,
        "model",
        "gate_not_passed",
      );
      return context.json({ ...errorBody(refusal), gate }, 409);
    }
    if (!passed && !reason) throw new ApiError(400, "An override needs a reason.", "reason", "missing_field");
    const by = context.get("key")?.id ?? null;
    const how = { version: adapter?.version ?? null, reason: reason ?? null, override: !passed, by };
    const { from } = await database.write((queries) =>
      answerOnce(queries, idempotency, async () => ({ from: await promote(queries, servedAlias, model, how) }))
    ).catch(unserved);
    await models.refresh();
    log.info("promoted", { from, to: model, version: how.version, override: !passed, reason: reason ?? null, by });
    return context.json(await registry(gateway), 200);
  });

  app.openapi(rollbackRoute, async (context) => {
    const body = context.req.valid("json"), { reason } = body;
    const idempotency = idempotencyOf(context, JSON.stringify(body));
    if (await findAnswer(database, idempotency)) return context.json(await registry(gateway), 200);
    const { current: { model: current }, previous } = standing(await listPromotions(database, servedAlias));
    if (previous === undefined) throw new ApiError(409, `${current} was there first; there is nothing to go back to.`);
    const by = context.get("key")?.id ?? null;
    const how = { reason: reason ?? null, by };
    const goBack = () =>
      database.write((queries) =>
        answerOnce(queries, idempotency, async () => ({ to: await rollback(queries, servedAlias, how) }))
      ).catch(unserved);
    const { to } = await makeReady(gateway, previous.model).then(goBack).catch((error) => {
      if (!(error instanceof ApiError && error.status === 404)) throw error;
      const message = `${previous.model}, which was promoted before, cannot answer any more; promote another model.`;
      throw new ApiError(409, message, "model", "model_not_found");
    });
    await models.refresh();
    log.info("rolled back", { from: current, to, reason: reason ?? null, by });
    return context.json(await registry(gateway), 200);
  });

  app.openapi(removeRoute, async (context) => {
    const { name } = context.req.valid("param");
    if (!await removeByHand(gateway, readyEngine(gateway), name)) {
      throw new ApiError(404, `There is no adapter "${name}" in the registry.`, "name", "adapter_not_found");
    }
    return context.json(await registry(gateway), 200);
  });
}
