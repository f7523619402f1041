// /v1/fine_tuning/jobs: adds training jobs to the queue and tells how they go. The trainer does them; it may be another
// process, and dead for a while.

import { join } from "node:path";
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { InputError } from "../../../shared/errors.ts";
import { findFile } from "../../../shared/store/files.ts";
import {
  addEvent,
  addJob,
  cancelJob,
  eventsBefore,
  findJob,
  type Job,
  type JobRequest,
  listJobs,
} from "../../../shared/store/jobs.ts";
import { answerOnce, findAnswer } from "../../../shared/store/idempotency.ts";
import { trainerNotice } from "../../../shared/store/presence.ts";
import { currentWatermark } from "../../../shared/store/labels.ts";
import { adapterOf, findAdapter, modelOf } from "../../../shared/store/registry.ts";
import { describeEvent, describeJob, liveEvents, readQueue, seconds, sequenceOf } from "../described_jobs.ts";
import { checkFeedback } from "../feedback_files.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { ApiError } from "../http/errors.ts";
import { idempotencyHeader, idempotencyOf } from "../http/idempotency.ts";
import { eventStream } from "../http/event_stream.ts";
import { checkpointSchema, jobEventSchema, jobRequestSchema, jobSchema } from "../schemas/fine_tuning.ts";
import { afterPage, afterPageOf, afterPageSchema } from "../schemas/lists.ts";
import { idParams, jsonBody, jsonResponse, refusals } from "./describe.ts";

const jobsPath = "/v1/fine_tuning/jobs";

const createJobRoute = createRoute({
  method: "post",
  path: jobsPath,
  tags: ["Fine-tuning"],
  summary: "Tune the model from a file, or from the labels in the store",
  request: { headers: idempotencyHeader, body: jsonBody(jobRequestSchema) },
  responses: {
    200: jsonResponse(jobSchema, "The job waits for its turn."),
    ...refusals(400, 401, 403, 404, 413, 415, 422, 429),
  },
});

const listRoute = createRoute({
  method: "get",
  path: jobsPath,
  tags: ["Fine-tuning"],
  summary: "Jobs, newest first",
  request: { query: afterPageSchema },
  responses: { 200: jsonResponse(afterPageOf(jobSchema), "One page."), ...refusals(400, 401, 403, 429) },
});

const oneRoute = createRoute({
  method: "get",
  path: `${jobsPath}/{id}`,
  tags: ["Fine-tuning"],
  summary: "One job",
  request: { params: idParams },
  responses: { 200: jsonResponse(jobSchema, "The job."), ...refusals(400, 401, 403, 404, 429) },
});

const cancelRoute = createRoute({
  method: "post",
  path: `${jobsPath}/{id}/cancel`,
  tags: ["Fine-tuning"],
  summary: "Cancel a job: at once where it waits, at its next step where it runs",
  request: { headers: idempotencyHeader, params: idParams },
  responses: { 200: jsonResponse(jobSchema, "The job."), ...refusals(400, 401, 403, 404, 415, 422, 429) },
});

const eventsRoute = createRoute({
  method: "get",
  path: `${jobsPath}/{id}/events`,
  tags: ["Fine-tuning"],
  summary: "What happened in a job, newest first; with `stream` oldest first and live until it ends",
  request: { params: idParams, query: afterPageSchema.extend({ stream: z.enum(["true", "false"]).optional() }) },
  responses: {
    200: jsonResponse(afterPageOf(jobEventSchema), "One page, or with `stream` server-sent events."),
    ...refusals(400, 401, 403, 404, 429),
  },
});

const checkpointsRoute = createRoute({
  method: "get",
  path: `${jobsPath}/{id}/checkpoints`,
  tags: ["Fine-tuning"],
  summary: "Models that a job left: its result, once it succeeded",
  request: { params: idParams },
  responses: { 200: jsonResponse(afterPageOf(checkpointSchema), "All of them."), ...refusals(400, 401, 403, 404, 429) },
});

/** Checks what a job is to be trained on. @throws ApiError naming file and line */
async function checkData(
  { database, dataFolder }: Gateway,
  trainingFile: string,
  field: "training_file" | "labels",
): Promise<number | null> {
  if (trainingFile === "labels") {
    const watermark = await currentWatermark(database);
    if (watermark > 0) return watermark;
    throw new ApiError(
      400,
      "There are no labels to train on yet; press some thumbs first.",
      field,
      "no_labels",
    );
  }
  const file = await findFile(database, trainingFile);
  if (!file) throw new ApiError(404, `There is no file "${trainingFile}".`, "training_file", "file_not_found");
  const path = join(dataFolder, file.path);
  if (!await Deno.stat(path).then(() => true, () => false)) {
    const message = `The content of ${file.filename} is gone from the data folder; upload it again.`;
    throw new ApiError(404, message, "training_file", "file_not_found");
  }
  try {
    await checkFeedback(path);
    return null;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const message = error.message.replaceAll(path, file.filename);
    throw new ApiError(400, message, "training_file", "invalid_training_file");
  }
}

/** Adds the routes. */
export function addFineTuning(app: OpenAPIHono<GatewayEnv>, gateway: Gateway): void {
  const { database } = gateway;
  const found = async (id: string) => {
    const job = await findJob(database, id);
    if (job) return job;
    throw new ApiError(404, `There is no job "${id}".`, "id", "job_not_found");
  };
  const shown = async (job: Job) => await describeJob(database, job, await readQueue(database));
  app.use(`${jobsPath}/*`, requireScope("admin"));

  app.openapi(createJobRoute, async (context) => {
    const body = context.req.valid("json"), idempotency = idempotencyOf(context, JSON.stringify(body));
    const earlier = await findAnswer<{ id: string }>(database, idempotency);
    if (earlier) return context.json(await shown(await found(earlier.id)), 200);
    const adapter = adapterOf(body.model);
    if (adapter === null || (adapter !== undefined && !await findAdapter(database, adapter))) {
      const message = `There is no model "${body.model}" to start from; a job starts from base or from base:ADAPTER.`;
      throw new ApiError(404, message, "model", "model_not_found");
    }
    const { learning_rate, learning_rate_multiplier } = body.method?.kto?.hyperparameters ?? {};
    if (learning_rate !== undefined && learning_rate_multiplier !== undefined) {
      const message = "learning_rate and learning_rate_multiplier exclude each other; send one.";
      throw new ApiError(400, message, "method.kto.hyperparameters.learning_rate_multiplier");
    }
    const trainingFile = body.training_file ?? (body.labels ? "labels" : undefined);
    if (trainingFile === undefined) {
      throw new ApiError(
        400,
        'training_file is missing; send a file\'s id, or "labels".',
        "training_file",
        "missing_field",
      );
    }
    if (body.labels && trainingFile !== "labels") {
      throw new ApiError(400, "labels selects among the store's labels, not in a file; send one of the two.", "labels");
    }
    const watermark = await checkData(
      gateway,
      trainingFile,
      body.training_file === undefined ? "labels" : "training_file",
    );
    const request: JobRequest = {
      trainingFile,
      model: body.model,
      seed: body.seed ?? 0,
      suffix: body.suffix ?? null,
      hyperparameters: { ...body.method?.kto?.hyperparameters } as JobRequest["hyperparameters"],
      labels: { ...(body.labels === true ? {} : body.labels) } as JobRequest["labels"],
      metadata: body.metadata ?? {},
      promote: false,
    };
    const { id } = await database.write((queries) =>
      answerOnce(queries, idempotency, async () => {
        const { id } = await addJob(queries, request, watermark), notice = await trainerNotice(queries);
        if (notice !== null) await addEvent(queries, id, { level: "warn", type: "message", message: notice });
        return { id };
      })
    );
    return context.json(await shown(await found(id)), 200);
  });

  app.openapi(listRoute, async (context) => {
    const { limit, after } = context.req.valid("query");
    const jobs = await listJobs(database, limit + 1, after);
    const queue = await readQueue(database);
    const data = await Promise.all(jobs.map((job) => describeJob(database, job, queue)));
    return context.json(afterPage(data, limit), 200);
  });

  app.openapi(oneRoute, async (context) => {
    return context.json(await shown(await found(context.req.valid("param").id)), 200);
  });

  app.openapi(cancelRoute, async (context) => {
    const { status, finishedAt, id } = await found(context.req.valid("param").id);
    const idempotency = idempotencyOf(context, "");
    if (!await findAnswer(database, idempotency)) {
      if (finishedAt !== null) throw new ApiError(400, `The job is over (${status}).`, "id", "job_over");
      await database.write((queries) =>
        answerOnce(queries, idempotency, async () => ({ id: (await cancelJob(queries, id))?.id }))
      );
    }
    return context.json(await shown(await found(id)), 200);
  });

  app.openapi(eventsRoute, async (context) => {
    const { id } = await found(context.req.valid("param").id);
    const { limit, after, stream } = context.req.valid("query");
    if (stream === "true") {
      const failed = (error: unknown) => gateway.log.error("event stream broke off", { error: String(error) });
      return eventStream(liveEvents(gateway, id, context.req.raw.signal), failed) as never;
    }
    const before = after === undefined ? Number.MAX_SAFE_INTEGER : sequenceOf(after);
    const events = await eventsBefore(database, id, before, limit + 1);
    return context.json(afterPage(events.map(describeEvent), limit), 200);
  });

  app.openapi(checkpointsRoute, async (context) => {
    const { id, outcome, finishedAt } = await found(context.req.valid("param").id);
    const adapter = outcome ? await findAdapter(database, outcome.adapter) : undefined;
    const data = adapter
      ? [{
        id: `ftckpt-${id}`,
        object: "fine_tuning.job.checkpoint" as const,
        created_at: seconds(finishedAt!),
        fine_tuned_model_checkpoint: modelOf(adapter.name),
        fine_tuning_job_id: id,
        step_number: Number(adapter.metrics.steps ?? 0),
        metrics: adapter.metrics,
      }]
      : [];
    return context.json(afterPage(data, data.length), 200);
  });
}
