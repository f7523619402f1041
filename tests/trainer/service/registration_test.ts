// What a job registers is a copy of what was measured: its run's folder may be overwritten, and what is kept may not.

import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { startTrainerService } from "../../../services/trainer/service/service.ts";
import { isKept, keepAdapter, keptFolder } from "../../../shared/runtime/kept_adapters.ts";
import { bringAdapter } from "../../../shared/store/change_adapters.ts";
import { openDatabase } from "../../../shared/store/database.ts";
import { addFile, newFileId } from "../../../shared/store/files.ts";
import { addJob, findJob } from "../../../shared/store/jobs.ts";
import { findAdapter } from "../../../shared/store/registry.ts";
import { withFolder } from "../../commands/run_task.ts";
import { jobRequest, scriptedBase } from "../../gateway/registered.ts";
import { feedbackRows, pause } from "./service_processes.ts";
import { writeSmallAdapters } from "./small_adapters.ts";
import { trainerSettings } from "./trainer_settings.ts";

const weights = "adapter_model.safetensors";

Deno.test("jobs go on from what was registered, whatever became of the run's folder, and from nothing else", () =>
  withFolder(async (folder) => {
    const database = await openDatabase(`${folder}/prospect.sqlite`);
    const id = newFileId(), path = `files/${id}`, text = feedbackRows(0, 40);
    Deno.mkdirSync(`${folder}/files`);
    Deno.writeTextFileSync(`${folder}/${path}`, text);
    const file = { id, createdAt: 1, filename: "a.jsonl", purpose: "fine-tune", bytes: text.length, path } as const;
    await addFile(database, file);
    await writeSmallAdapters(`${folder}/brought`, ["taken"]);
    const overwrite = async (place: string) => {
      await Deno.chmod(`${folder}/${place}/${weights}`, 0o600);
      await Deno.copyFile(`${folder}/brought/taken/${weights}`, `${folder}/${place}/${weights}`);
    };
    const service = await startTrainerService(
      trainerSettings({ dataFolder: folder, behaviourBounds: { length: 0.01 } }),
      () => {},
    );
    const done = async (model: string, suffix: string) => {
      const request = { ...jobRequest, trainingFile: id, model, suffix, hyperparameters: { n_epochs: 1 } };
      let job = await database.write((queries) => addJob(queries, request, null));
      while (job.finishedAt === null) {
        await Promise.race([pause(50), service.ended]);
        job = (await findJob(database, job.id))!;
      }
      return job;
    };
    try {
      const first = await done("base", "one"), one = (await findAdapter(database, "one"))!;
      assertEquals(first.status, "succeeded", JSON.stringify(first.error));
      assertEquals([one.folder, one.jobId], [keptFolder(one.version), first.id]);
      assert(await isKept(folder, one.version));
      // The verdict has what became of the answers, and the trainer's bound on them was held against it.
      assert(one.gate!.behaviour!.tokens.before > 0, JSON.stringify(one.gate));
      const stopped = one.gate!.findings.flatMap(({ rule, passed }) => passed ? [] : [rule]);
      assert(stopped.includes("length-within-bound"), stopped.join());
      assert(!stopped.includes("refusals-within-bound"), stopped.join());

      await overwrite(`runs/${first.id}/adapter`);
      const version = await keepAdapter(folder, `${folder}/brought/taken`);
      const brought = { name: "taken", base: scriptedBase, folder: keptFolder(version), version };
      await database.write((queries) => bringAdapter(queries, brought));
      const second = await done("base:one", "taken");
      assertEquals(second.status, "succeeded", JSON.stringify(second.error));
      assertNotEquals(second.outcome!.adapter, "taken", "somebody else has brought that name");
      assertEquals((await findAdapter(database, second.outcome!.adapter))?.parent, "base:one");

      await overwrite(keptFolder(one.version));
      const third = await done("base:one", "three");
      assertEquals([third.status, third.error?.code], ["failed", "invalid_training_data"]);
      assertMatch(third.error!.message, /^base:one cannot answer: its files are no longer those that were registered/);
    } finally {
      await service.stop();
      await database.close();
    }
  }));
