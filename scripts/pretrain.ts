// `deno task pretrain`: the embedded model from nothing.

import { pretrain } from "../services/trainer/pretrain.ts";
import { createReporter } from "../shared/progress.ts";
import { command, count, positive, runCommand, seed, workerCount } from "./command.ts";

const program = command(
  "pretrain",
  `Makes the embedded model from nothing: a tokenizer and a small Llama, trained on the embedded world with the
next-token objective, then a feedback file sampled from the model and judged. The same seed and workers give the same files.`,
)
  .option("--out <folder>", "where to write", "models/prospect-world")
  .option("--steps <n>", "optimizer steps", count, 4000)
  .option("--batch-size <n>", "answers per step", count, 64)
  .option("--learning-rate <x>", "highest learning rate", positive, 3e-3)
  .option("--feedback-rows <n>", "answers that are judged", count, 3000)
  .option("--workers <n>", "threads", workerCount, 2)
  .option("--seed <n>", "the same seed gives the same model", seed, 1)
  .option("--json", "events as JSON lines on stdout")
  .action(async (options) => {
    await pretrain(options, createReporter({ json: options.json === true }));
  });

await runCommand(program);
