// Training without being asked: when enough labels are new, or when a cron expression says so. It adds jobs to the queue
// as a person would; it does not do them.

import { Cron } from "croner";
import type { Database } from "../../../shared/store/database.ts";
import { addJob, listJobs } from "../../../shared/store/jobs.ts";

import { currentWatermark, labelsSince } from "../../../shared/store/labels.ts";
import type { TrainerSettings } from "./settings.ts";

export interface Schedule {
  /** Adds a job if it is time; asked while nothing is being done. */
  look(): Promise<void>;
}

/** How often labels are counted, in milliseconds. */
const interval = 2000;

/** The snapshot of the last job that was trained on labels, whoever asked for it. */
async function lastWatermark(database: Database): Promise<number> {
  let after: string | undefined;
  for (;;) {
    const jobs = await listJobs(database, 100, after);
    const last = jobs.find(({ watermark }) => watermark !== null);
    if (last) return last.watermark!;
    if (jobs.length < 100) return 0;
    after = jobs.at(-1)!.id;
  }
}

/** A schedule; one without `every` and `cron` never adds anything. */
export function createSchedule(
  { every, cron, promote }: TrainerSettings,
  database: Database,
  log: (event: string, fields?: Record<string, unknown>) => void,
): Schedule {
  const clock = cron === undefined ? undefined : new Cron(cron, { paused: true });
  let looked = -Infinity, now = Date.now();
  const following = () => clock?.nextRun(new Date(now)) ?? null;
  let next = following();
  return {
    async look() {
      if ((every === undefined && next === null) || performance.now() - looked < interval) return;
      looked = performance.now();
      const before = now;
      now = Date.now();
      // A clock that was set back would come to the next time late by as much.
      if (now < before) next = following();
      const due = next !== null && next.getTime() <= now;
      if (due) next = following();
      const least = due ? 1 : every ?? Infinity;
      const fresh = await labelsSince(database, await lastWatermark(database));
      if (fresh < least) return;
      const request = {
        trainingFile: "labels",
        model: "base",
        seed: 0,
        suffix: null,
        hyperparameters: {},
        labels: {},
        metadata: { asked_by: due ? "cron" : "new labels" },
        promote,
      };
      const watermark = await currentWatermark(database);
      const job = await database.write((queries) => addJob(queries, request, watermark));
      log("job added", { job: job.id, labels: fresh, because: due ? "cron" : "new labels" });
    },
  };
}
