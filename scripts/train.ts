// `deno task train`: arguments in, a training run, exit code out.

import { parseTrainSettings } from "../services/trainer/settings.ts";
import { train } from "../services/trainer/train.ts";
import { createReporter } from "../shared/progress.ts";
import { runCommand, watchInterrupt } from "./command.ts";
import { program } from "./commands/train.ts";

program.action(async (options) => {
  const settings = parseTrainSettings(options);
  await train(settings, createReporter({ json: options.json === true }), watchInterrupt());
});

await runCommand(program);
