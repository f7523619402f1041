// `deno task pretrain`: the embedded model from nothing.

import { pretrain } from "../services/trainer/pretrain.ts";
import { InputError } from "../shared/errors.ts";
import { createReporter } from "../shared/progress.ts";
import { command, number, runCommand } from "./command.ts";

const program = command(
  "pretrain",
  `Makes the embedded model from nothing: a tokenizer and a small Llama, trained on the embedded world with the
next-token objective, then a feedback file sampled from the model and judged. The same seed and workers give the same files.`,
)
  .option("--out <folder>", "where to write", "models/prospect-world")
  .option("--steps <n>", "optimizer steps", number, 4000)
  .option("--batch-size <n>", "answers per step", number, 64)
  .option("--learning-rate <x>", "highest learning rate", number, 3e-3)
  .option("--feedback-rows <n>", "answers that are judged", number, 3000)
  .option("--workers <n>", "threads", number, 2)
  .option("--seed <n>", "the same seed gives the same model", number, 1)
  .option("--json", "events as JSON lines on stdout")
  .action(async (options) => {
    for (const name of ["steps", "batchSize", "feedbackRows", "workers"]) {
      if (!Number.isInteger(options[name]) || options[name] < 1) {
        throw new InputError(`--${name} must be a whole number above 0.`);
      }
    }
    await pretrain({ ...options, json: options.json === true }, createReporter({ json: options.json === true }));
  });

await runCommand(program);
