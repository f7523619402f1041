// Jobs and their events as clients see them, as they are stored or live. It knows no routes and changes nothing.

import type { z } from "@hono/zod-openapi";
import type { Database } from "../../shared/store/database.ts";
import { eventsAfter, findJob, type Job, type JobEvent, type JobProgress, openJobs } from "../../shared/store/jobs.ts";
import { trainerNotice } from "../../shared/store/presence.ts";
import { findAdapter, modelOf } from "../../shared/store/registry.ts";
import { EngineClosedError } from "./engine/answers.ts";
import type { Gateway } from "./gateway.ts";
import { ApiError } from "./http/errors.ts";
import type { jobEventSchema, jobSchema } from "./schemas/fine_tuning.ts";

/** How often a stream of events looks for more, in milliseconds. */
const interval = 250;

/** OpenAI's times. */
export const seconds = (milliseconds: number) => Math.floor(milliseconds / 1000);
const secondsOrNull = (milliseconds: number | null) => milliseconds === null ? null : seconds(milliseconds);

/** The queue as it stands. */
export interface Queue {
  /** Jobs that are not over, in the order in which they are done. */
  open: Job[];
  /** What those who wait should know. */
  notice: string | null;
}

export async function readQueue(database: Database): Promise<Queue> {
  return { open: await openJobs(database), notice: await trainerNotice(database) };
}

const progressDescribed = ({ label, done, total, unit, rate, etaSeconds }: JobProgress) => ({
  label,
  done,
  total,
  unit,
  rate,
  eta_seconds: etaSeconds,
});

/** A job as clients see it. */
export async function describeJob(database: Database, job: Job, queue: Queue): Promise<z.infer<typeof jobSchema>> {
  const position = queue.open.findIndex(({ id }) => id === job.id);
  const { request, progress, outcome, error } = job;
  const adapter = outcome ? await findAdapter(database, outcome.adapter) : undefined;
  const eta = progress?.etaSeconds ?? null;
  return {
    id: job.id,
    object: "fine_tuning.job",
    created_at: seconds(job.createdAt),
    started_at: secondsOrNull(job.startedAt),
    finished_at: secondsOrNull(job.finishedAt),
    model: request.model,
    fine_tuned_model: outcome ? modelOf(outcome.adapter) : null,
    organization_id: "prospect",
    status: job.status,
    training_file: request.trainingFile,
    validation_file: null,
    result_files: outcome?.files ?? [],
    trained_tokens: outcome?.trainedTokens ?? null,
    error: error && { ...error, param: null },
    hyperparameters: request.hyperparameters,
    method: { type: "kto", kto: { hyperparameters: request.hyperparameters } },
    seed: request.seed,
    suffix: request.suffix,
    metadata: Object.keys(request.metadata).length > 0 ? request.metadata : null,
    // Nobody works towards it where no trainer is at work.
    estimated_finish: eta === null || queue.notice !== null ? null : seconds(Date.now()) + Math.ceil(eta),
    integrations: [],
    position: position < 0 ? null : position,
    notice: position < 0 ? null : queue.notice,
    progress: progress && progressDescribed(progress),
    data: job.data,
    gate: adapter?.gate ?? null,
  };
}

/** An event as clients see it. */
export const describeEvent = (
  { sequence, at, level, type, message, data }: JobEvent,
): z.infer<typeof jobEventSchema> => ({
  id: `ftevent-${sequence}`,
  object: "fine_tuning.job.event",
  created_at: seconds(at),
  level,
  type,
  message,
  data,
});

/** The number in an event's id. @throws ApiError where it is none */
export function sequenceOf(after: string): number {
  const [, sequence] = /^ftevent-(\d{1,15})$/.exec(after) ?? [];
  if (sequence !== undefined) return Number(sequence);
  throw new ApiError(400, `after: "${after}" is no event's id.`, "after");
}

/**
 * All events of a job so far, then those that come, until it is over; how far it is in between.
 *
 * @throws EngineClosedError once the gateway drains: a stream that may go on for hours must not hold its end up
 */
export async function* liveEvents(
  gateway: Gateway,
  id: string,
  signal: AbortSignal,
): AsyncGenerator<z.infer<typeof jobEventSchema>> {
  const { engine } = gateway;
  let sequence = 0, shown = "";
  while (!signal.aborted) {
    if (engine && !gateway.engine) throw new EngineClosedError();
    const job = await findJob(gateway.database, id);
    const events = await eventsAfter(gateway.database, id, sequence, 500);
    for (const event of events) yield describeEvent(event);
    sequence = events.at(-1)?.sequence ?? sequence;
    if (events.length === 500) continue;
    const progress = JSON.stringify(job?.progress ?? null);
    if (job?.progress && progress !== shown) {
      const { label, done, total, unit } = job.progress;
      yield {
        id: `ftprogress-${Date.now()}`,
        object: "fine_tuning.job.event",
        created_at: seconds(Date.now()),
        level: "info",
        type: "progress",
        message: `${label}: ${done} of ${total} ${unit}`,
        data: progressDescribed(job.progress),
      };
      shown = progress;
    }
    // The job was read before its events, so none can have been missed.
    if (!job || job.finishedAt !== null) return;
    await new Promise((resolve) => setTimeout(resolve, interval));
  }
}
