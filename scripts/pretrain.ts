// `deno task pretrain`: the embedded model from nothing.

import { pretrain } from "../services/trainer/pretrain.ts";
import { createReporter } from "../shared/progress.ts";
import { runCommand } from "./command.ts";
import { program } from "./commands/pretrain.ts";

program.action(async (options) => {
  await pretrain(options, createReporter({ json: options.json === true }));
});

await runCommand(program);
