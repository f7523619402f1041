// What a run reports is there for whoever follows the job: sentences in people's words, and counts for programs.

import { assert, assertEquals } from "@std/assert";
import { reportJob } from "../../../services/trainer/service/job_reporter.ts";
import { addJob, eventsAfter } from "../../../shared/store/jobs.ts";
import { databaseTest } from "../../store/databases.ts";

databaseTest("what became of a job's rows is an event with its counts, beside the sentences", async (database) => {
  const { id } = await addJob(database, {
    trainingFile: "labels",
    model: "base",
    seed: 0,
    suffix: null,
    hyperparameters: {},
    labels: {},
    metadata: {},
    promote: false,
  }, 1);
  const { reporter, close } = reportJob(database, id, (sentence) => sentence.replaceAll("/data/f", "thumbs.jsonl"));
  const changed = { seam_parted: 2, "unused.score": 3 };
  reporter.event("data", { desirable: 1, undesirable: 2, changed, notes: ["/data/f: 3 rows"], warnings: [] });
  reporter.line("/data/f: 3 rows");
  await close();
  const told = (await eventsAfter(database, id, 0, 10)).map(({ message, data }) => ({ message, data }));
  assertEquals(told.find(({ message }) => message === "The rows were read.")?.data, {
    desirable: 1,
    undesirable: 2,
    changed,
  });
  assert(told.some(({ message }) => message === "thumbs.jsonl: 3 rows"));
});
