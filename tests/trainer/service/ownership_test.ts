// One trainer at a time on a PostgreSQL database, also where each has a data folder of its own: whoever is not alone is
// refused, whoever dies or loses the database is followed by another, and a job ends once.

import { assert, assertEquals, assertMatch, assertNotMatch, assertRejects } from "@std/assert";
import { startTrainerService } from "../../../services/trainer/service/service.ts";
import { readFeedback } from "../../../shared/feedback/read.ts";
import { embeddedFeedback } from "../../../shared/runtime/embedded_model.ts";
import { type Database, openDatabase } from "../../../shared/store/database.ts";
import { importFeedback } from "../../../shared/store/import_feedback.ts";
import { addJob, eventsAfter, findJob, finishJob, type Job } from "../../../shared/store/jobs.ts";
import { currentWatermark } from "../../../shared/store/labels.ts";
import { findAdapter } from "../../../shared/store/registry.ts";
import { startTask, withFolder } from "../../commands/run_task.ts";
import { jobRequest } from "../../gateway/registered.ts";
import { placeTest } from "../../store/databases.ts";
import { crash, modelFlags, pause } from "./service_processes.ts";
import { trainerSettings } from "./trainer_settings.ts";

/** Hands out a database with labels and a job over them, and a folder. */
function ownershipTest(
  sentence: string,
  use: (context: { database: Database; where: string; folder: string; id: string }) => Promise<void>,
): void {
  placeTest(sentence, ({ where }) =>
    withFolder(async (folder) => {
      const database = await openDatabase(where);
      const { rows } = await readFeedback(embeddedFeedback);
      async function* imported() {
        yield* rows.slice(0, 120);
      }
      try {
        await importFeedback(database, imported());
        const request = { ...jobRequest, hyperparameters: { n_epochs: 20, batch_size: 8 } };
        const { id } = await addJob(database, request, await currentWatermark(database));
        await use({ database, where, folder, id });
      } finally {
        await database.close();
      }
    }), ["postgres"]);
}

async function untilJob(database: Database, id: string, seen: (job: Job) => boolean): Promise<Job> {
  for (const end = Date.now() + 180_000; Date.now() < end; await pause(20)) {
    const job = (await findJob(database, id))!;
    if (seen(job)) return job;
    assertEquals(job.finishedAt, null, `the job ${job.status}: ${JSON.stringify(job.error)}`);
  }
  throw new Error("three minutes passed");
}

const trains = ({ progress }: Job) => progress?.label === "training" && progress.done > 1;
const succeeded = ({ status }: Job) => status === "succeeded";

/** How often the job's end was told. */
async function endsTold(database: Database, id: string): Promise<number> {
  const events = await eventsAfter(database, id, 0, 10_000);
  return events.filter(({ message }) => /^The job (succeeded|failed|was)/.test(message)).length;
}

ownershipTest(
  "a second trainer on the database is refused although its data folder is another, and follows the first that is killed",
  async ({ database, where, folder, id }) => {
    const start = (name: string) =>
      startTask("trainer", ["--data-dir", `${folder}/${name}`, ...modelFlags, "--train-workers", 1], {
        cache: `${folder}/cache`,
        env: { DATABASE_URL: where },
      });
    const first = start("a");
    try {
      await untilJob(database, id, trains);
      const rival = await start("b").ended;
      assertEquals(rival.code, 2, rival.stderr);
      assertMatch(rival.stderr, /^Another trainer is at work on this database.*\.\n$/);
      assertNotMatch(rival.stderr, /secret/);
    } finally {
      await crash(first);
    }
    const heir = start("b");
    try {
      const { outcome } = await untilJob(database, id, succeeded);
      assertEquals(await endsTold(database, id), 1);
      const adapter = (await findAdapter(database, outcome!.adapter))!;
      assert(Deno.statSync(`${folder}/b/${adapter.folder}/adapter_model.safetensors`).isFile);
    } finally {
      heir.process.kill("SIGTERM");
      assertEquals((await heir.ended).code, 0);
    }
  },
);

/** The only advisory lock is the trainer's. */
const breakHold = async (database: Database) => {
  const sql = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'";
  assertEquals((await database.all(sql)).length, 1);
};

ownershipTest(
  "a trainer whose hold on the database breaks ends where another was faster; a job that is over stays as it ended",
  async ({ database, where, folder, id }) => {
    const start = (name: string) =>
      startTrainerService(
        trainerSettings({ dataFolder: `${folder}/${name}`, databaseUrl: where, workers: 1 }),
        () => {},
      );
    const first = await start("a");
    await untilJob(database, id, trains);
    const ended = assertRejects(() => first.ended, Error, "makes this the database's only trainer broke");
    const wanting = (async () => {
      for (;;) {
        const lock = await database.lock("trainer");
        if (lock) return lock;
      }
    })();
    await breakHold(database);
    const rival = await wanting;
    await ended;
    assertEquals((await findJob(database, id))!.status, "running");
    await rival.release();
    const second = await start("b");
    try {
      await untilJob(database, id, succeeded);
      const late = await database.write((queries) => finishJob(queries, id, "failed", {}));
      assertEquals(late, false);
      assertEquals((await findJob(database, id))!.status, "succeeded");
      assertEquals(await endsTold(database, id), 1);
    } finally {
      await second.stop();
    }
  },
);

ownershipTest(
  "a trainer that loses every connection in the midst of a job waits for the database and ends the job",
  async ({ database, where, folder, id }) => {
    const told: string[] = [];
    const service = await startTrainerService(
      trainerSettings({ dataFolder: `${folder}/a`, databaseUrl: where, workers: 1 }),
      (event) => told.push(event),
    );
    try {
      await untilJob(database, id, trains);
      await database.all("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()");
      await untilJob(database, id, succeeded);
      assert(told.includes("the store is waited for"), `${told}`);
      assertEquals(await endsTold(database, id), 1);
    } finally {
      await service.stop();
    }
  },
);
