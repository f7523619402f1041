// `deno task trainer`: does the training jobs of a gateway's store, until a signal ends it.

import { parseTrainerSettings, type TrainerOptions } from "../services/trainer/service/settings.ts";
import { startTrainerService } from "../services/trainer/service/service.ts";
import { device, runCommand, untilStopped } from "./command.ts";
import { program } from "./commands/trainer.ts";

program.action(async (options: TrainerOptions & { followParent?: boolean }) => {
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
