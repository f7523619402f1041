// What a gateway tidies while it runs.

import { assertEquals, assertStrictEquals } from "@std/assert";
import { join } from "node:path";
import { startUpkeep } from "../../services/gateway/upkeep.ts";
import { storeCompletion } from "../../shared/store/completions.ts";
import { addJob, finishJob } from "../../shared/store/jobs.ts";
import { putLabel } from "../../shared/store/labels.ts";
import { completion, count, thumb } from "../store/records.ts";
import { withGateway } from "./open_gateway.ts";
import { jobRequest } from "./registered.ts";

for (const keepDays of [0, 30]) {
  Deno.test(`with --keep-days ${keepDays} old answers that nobody judged ${keepDays === 0 ? "stay" : "go"}, judged ones stay`, async () => {
    await withGateway({ options: { keepDays } }, async ({ gateway, folder }) => {
      const { database } = gateway, days = (count: number) => Date.now() - count * 86_400_000;
      await storeCompletion(database, completion("old", { createdAt: days(31) }));
      await storeCompletion(database, completion("judged", { createdAt: days(31) }));
      await storeCompletion(database, completion("young", { createdAt: days(29) }));
      await putLabel(database, thumb("judged"));
      const job = await addJob(database, jobRequest, null), run = join(folder, "runs", job.id);
      await database.write((queries) => finishJob(queries, job.id, "failed", {}));
      await database.run("UPDATE jobs SET finished_at = $1", [days(31)]);
      await Deno.mkdir(run, { recursive: true });
      await startUpkeep(gateway)();
      await startUpkeep(gateway)();
      const left = await database.all<{ id: string }>("SELECT id FROM completions ORDER BY id");
      assertEquals(left.map(({ id }) => id), keepDays === 0 ? ["judged", "old", "young"] : ["judged", "young"]);
      assertStrictEquals(await Deno.stat(run).then(() => true, () => false), keepDays === 0);
      assertStrictEquals(await count(database, "job_events") > 0, keepDays === 0);
    });
  });
}
