// `deno task score`: log-probs of a feedback file's completions.

import { score } from "../services/trainer/score.ts";
import { createReporter } from "../shared/progress.ts";
import { workersOn } from "../shared/runtime/session.ts";
import { device, required, runCommand } from "./command.ts";
import { program } from "./commands/score.ts";

program.action(async (options) => {
  const on = device(options.device), workers = workersOn(on, options.workers);
  const settings = { ...options, data: required(options.data, "--data"), device: on, workers };
  await score(settings, createReporter({ json: options.json === true }));
});

await runCommand(program);
