// Jobs that cannot be done: each says why in words that its owner understands, and the next one is begun.

import { assertEquals, assertMatch } from "@std/assert";
import { startTrainerService } from "../../../services/trainer/service/service.ts";
import { openDatabase } from "../../../shared/store/database.ts";
import { addFile, newFileId } from "../../../shared/store/files.ts";
import { addJob, findJob, type Job } from "../../../shared/store/jobs.ts";
import { trainerNotice } from "../../../shared/store/presence.ts";
import { withFolder } from "../../commands/run_task.ts";
import { jobRequest } from "../../gateway/registered.ts";
import { feedbackRows, pause } from "./service_processes.ts";
import { trainerSettings } from "./trainer_settings.ts";

Deno.test("a deleted file, a lost parent, labels that are gone and a disk that takes nothing fail their own job alone, and say so", () =>
  withFolder(async (folder) => {
    const database = await openDatabase(`${folder}/prospect.sqlite`);
    Deno.mkdirSync(`${folder}/files`);
    const fileOf = async (text: string, filename: string) => {
      const id = newFileId(), path = `files/${id}`;
      Deno.writeTextFileSync(`${folder}/${path}`, text);
      const file = { id, createdAt: 1, filename, purpose: "fine-tune", bytes: text.length, path } as const;
      await database.write((queries) => addFile(queries, file));
      return id;
    };
    const good = await fileOf(feedbackRows(0, 40), "good.jsonl"), taken = await fileOf("", "taken.jsonl");
    Deno.removeSync(`${folder}/files/${taken}`);
    const add = (changes: Partial<typeof jobRequest>, watermark: number | null = null) =>
      addJob(database, { ...jobRequest, hyperparameters: { n_epochs: 1 }, ...changes }, watermark);
    const blocked = await add({ trainingFile: good });
    Deno.mkdirSync(`${folder}/runs`);
    Deno.writeTextFileSync(`${folder}/runs/${blocked.id}`, "in the way");
    const cases: [Job, string, RegExp][] = [
      [blocked, "storage_failure", /there is a file of this name/],
      [
        await add({ trainingFile: "file-gone" }),
        "invalid_training_data",
        /deleted before the job began; upload it again/,
      ],
      [await add({ trainingFile: taken }), "invalid_training_data", /^taken\.jsonl: its content is gone/],
      [
        await add({ trainingFile: good, model: "base:gone" }),
        "invalid_training_data",
        /^base:gone is no longer in the/,
      ],
      [await add({}, 1), "invalid_training_data", /^No label is left to train on/],
    ];
    const service = await startTrainerService(trainerSettings({ dataFolder: folder, workers: 1 }), () => {});
    try {
      assertEquals(await trainerNotice(database), null, "it is known to be at work");
      for (const [{ id }, code, message] of cases) {
        let job = (await findJob(database, id))!;
        while (job.finishedAt === null) {
          await Promise.race([pause(50), service.ended]);
          job = (await findJob(database, id))!;
        }
        assertEquals([job.status, job.error?.code], ["failed", code], `${job.error?.message}`);
        assertMatch(job.error!.message, message);
      }
    } finally {
      await service.stop();
      await database.close();
    }
  }));
