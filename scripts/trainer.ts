// `deno task trainer`: does the training jobs of a gateway's store, until a signal ends it.

import { parseTrainerSettings, type TrainerOptions } from "../services/trainer/service/settings.ts";
import { startTrainerService } from "../services/trainer/service/service.ts";
import { command, device, runCommand, untilStopped } from "./command.ts";
import { modelOptions, trainerOptions } from "./service_options.ts";

const program = trainerOptions(modelOptions(command(
  "trainer",
  `Does the training jobs that a gateway took (POST /v1/fine_tuning/jobs), one after another, on the same store: give it
the gateway's --data-dir, --model and DATABASE_URL. A job that a crash cut short is gone on with.`,
)))
  .option("--follow-parent", "end when stdin ends; for the program that started it")
  .action(async (options: TrainerOptions & { followParent?: boolean }) => {
    device(options.device);
    const stopped = untilStopped();
    const service = await startTrainerService(
      parseTrainerSettings(options),
      (event, fields) =>
        console.error(JSON.stringify({ time: new Date().toISOString(), level: "info", event, ...fields })),
    );
    const reasons = [stopped, service.ended];
    if (options.followParent) reasons.push(Deno.stdin.readable.pipeTo(new WritableStream()).catch(() => {}));
    await Promise.race(reasons);
    await service.stop();
  });

await runCommand(program);
