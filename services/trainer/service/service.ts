// The trainer service: takes jobs from the store's queue, one at a time, for as long as it is asked to. It owns the queue
// by a lock of the store, and the data folder's runs by another, which both die with the process: a job that is "running"
// when it starts was left by a trainer that is gone. It does not know how a job is done, nor HTTP.

import { join } from "node:path";
import { InputError, InterruptedError, WriteError } from "../../../shared/errors.ts";
import { lockFile } from "../../../shared/file_lock.ts";
import type { Database, Lock } from "../../../shared/store/database.ts";
import { forgetInJob } from "../../../shared/store/forget_in_runs.ts";
import { findJob, finishJob, type Job, openJobs, returnJob, takeJob } from "../../../shared/store/jobs.ts";
import { openStore } from "../../../shared/store/open_store.ts";
import { StoreUnavailableError } from "../../../shared/store/unavailable.ts";
import { waitForLock } from "../../../shared/store/wait_for_lock.ts";
import { noteTrainer, trainerInterval } from "../../../shared/store/presence.ts";
import { WorkerFailure } from "../../../workers/pool.ts";
import { runJob, tidyJob } from "./run_job.ts";
import { createSchedule } from "./schedule.ts";
import type { TrainerSettings } from "./settings.ts";

/** How often the queue is looked at while there is nothing to do, and a job's cancelling while there is, in milliseconds. */
const interval = 300;

/** How often a store that is away is asked again, in milliseconds. */
const absence = 1000;

/** Times that a job is begun without getting any further before it is given up. */
const mostAttempts = 8;

/** A trainer at work. */
export interface TrainerService {
  database: Database;
  /** The job that is being done. */
  readonly job: string | undefined;
  /** Ends what is being done, to be gone on with later, and resolves when everything is closed. */
  stop(): Promise<void>;
  /** Rejects should the service fail as a whole, e.g. lose the queue to another trainer. A store that is away is waited for. */
  readonly ended: Promise<void>;
}

async function lockRuns(dataFolder: string): Promise<Deno.FsFile> {
  await Deno.mkdir(join(dataFolder, "runs"), { recursive: true, mode: 0o700 });
  const file = await lockFile(join(dataFolder, "runs", "trainer.lock"));
  if (file) return file;
  throw new InputError(`${dataFolder}: another trainer is at work on this data folder; one does all jobs in turn.`);
}

/** How long the queue may be another's that is no trainer, in milliseconds: a gateway that forgets somebody. */
const shortWork = 2000;

async function lockQueue(database: Database): Promise<Lock> {
  const lock = await waitForLock(database, "trainer", shortWork);
  if (lock) return lock;
  throw new InputError(
    "Another trainer is at work on this database, over another data folder; one does all jobs in turn.",
  );
}

/** Ends a service that is the queue's trainer no longer: the job is another's by now. */
class LostQueueError extends Error {
  constructor() {
    super(
      "The connection that makes this the database's only trainer broke, and another has its place: it goes on with the job.",
    );
  }
}

/** @throws LostQueueError where another trainer was faster, StoreUnavailableError while the store is away */
async function lockAgain(database: Database): Promise<Lock> {
  const lock = await waitForLock(database, "trainer", shortWork);
  if (lock) return lock;
  throw new LostQueueError();
}

/** Forgets what jobs that are over would need to go on, where a crash came before that. */
async function sweep(settings: TrainerSettings, database: Database): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(join(settings.dataFolder, "runs"))) {
    if (!isDirectory) continue;
    const job = await findJob(database, name);
    if (job?.finishedAt != null) await tidyJob(settings, job.id);
  }
}

const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** What is told of a failure: bad input and full disks in their own words, others without what developers alone read. */
function failureOf(error: unknown): NonNullable<Job["error"]> {
  const message = (error as Error).message ?? String(error);
  if (error instanceof WriteError) return { code: "storage_failure", message };
  if (error instanceof InputError) return { code: "invalid_training_data", message };
  return { code: error instanceof WorkerFailure ? "worker_failure" : "internal_error", message };
}

/**
 * Starts the service.
 *
 * @param log told of what happens to jobs
 * @throws InputError where another trainer is at work, or the store cannot be opened
 */
export async function startTrainerService(
  settings: TrainerSettings,
  log: (event: string, fields?: Record<string, unknown>) => void,
): Promise<TrainerService> {
  const database = await openStore(settings.dataFolder, settings.databaseUrl);
  let runs: Deno.FsFile | undefined, queue: Lock;
  try {
    runs = await lockRuns(settings.dataFolder);
    queue = await lockQueue(database);
    await noteTrainer(database);
  } catch (error) {
    runs?.close();
    await database.close();
    throw error;
  }
  const schedule = createSchedule(settings, database, log);
  let stopping = false, lost = false, current: string | undefined;
  /** A job that the store could not be told the end of. */
  let left: string | undefined;
  const watch = (lock: Lock) => {
    [queue, lost] = [lock, false];
    lock.ended.then(() => lost ||= lock === queue);
  };
  watch(queue);
  // A store that cannot be written to is noticed by whoever has something to write.
  const presence = setInterval(() => noteTrainer(database).catch(() => {}), trainerInterval);

  const doJob = async (job: Job) => {
    current = job.id;
    log("job began", { job: job.id, attempt: job.attempts });
    let { cancelling } = job, forgetting = false;
    const timer = setInterval(async () => {
      const now = await findJob(database, job.id).catch(() => undefined);
      cancelling ||= now?.cancelling ?? false;
      forgetting ||= now?.forgetting ?? false;
    }, interval);
    try {
      if (cancelling) throw new InterruptedError("Cancelled before it was gone on with.");
      if (job.attempts > mostAttempts) {
        throw new Error(`The trainer died ${mostAttempts} times without getting any further with this job.`);
      }
      await forgetInJob(database, settings.dataFolder, job.id);
      forgetting = false;
      await runJob(settings, database, job, () => stopping || cancelling || forgetting || lost);
      log("job succeeded", { job: job.id });
    } catch (error) {
      if (lost || error instanceof StoreUnavailableError) {
        left = job.id;
        throw error instanceof StoreUnavailableError ? error : new StoreUnavailableError("the connection broke", error);
      }
      if (error instanceof InterruptedError && !cancelling) return await returnJob(database, job.id);
      const status = error instanceof InterruptedError ? "cancelled" as const : "failed" as const;
      const failure = status === "failed" ? failureOf(error) : null;
      log(`job ${status}`, { job: job.id, ...(failure ? { error: failure.message } : {}) });
      await database.write((queries) => finishJob(queries, job.id, status, { error: failure }));
    } finally {
      clearInterval(timer);
      current = undefined;
    }
    await tidy(tidyJob(settings, job.id));
  };
  const tidy = (work: Promise<void>) => work.catch((error) => log("runs not tidied", { error: String(error) }));
  const work = async () => {
    await tidy(sweep(settings, database));
    let away = false;
    while (!stopping) {
      try {
        if (lost) watch(await lockAgain(database));
        await lookForWork();
        away = false;
      } catch (error) {
        // A store that is away comes back, and the job is gone on with.
        if (!(error instanceof StoreUnavailableError)) throw error;
        if (!away) log("the store is waited for", { error: error.message });
        away = true;
        await sleep(absence);
      }
    }
  };
  const lookForWork = async () => {
    if (left !== undefined) await returnJob(database, left);
    left = undefined;
    const job = await takeJob(database);
    if (job) return await doJob(job);
    if ((await openJobs(database)).length === 0) await schedule.look();
    await sleep(interval);
  };
  const ended = work().finally(async () => {
    clearInterval(presence);
    await database.close();
    await queue.release();
    runs.close();
  });
  ended.catch(() => {});
  return {
    database,
    get job() {
      return current;
    },
    ended,
    async stop() {
      stopping = true;
      await ended;
    },
  };
}
