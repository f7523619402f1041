// The words of `deno task pretrain`, and what it needs leave for.

import { command, count, PathOption, positive, seed, workerCount } from "../command.ts";
import type { Needs } from "../permissions.ts";

export const needs: Needs = { runtime: true };

export const program = command(
  "pretrain",
  `Makes the embedded model from nothing: a tokenizer and a small Llama, trained on the embedded world with the
next-token objective, then a feedback file sampled from the model and judged. The same seed and workers give the same files.`,
)
  .addOption(new PathOption("--out <folder>", "where to write", "write").default("models/prospect-world"))
  .option("--steps <n>", "optimizer steps", count, 4000)
  .option("--batch-size <n>", "answers per step", count, 64)
  .option("--learning-rate <x>", "highest learning rate", positive, 3e-3)
  .option("--feedback-rows <n>", "answers that are judged", count, 3000)
  .option("--workers <n>", "threads", workerCount, 2)
  .option("--seed <n>", "the same seed gives the same model", seed, 1)
  .option("--json", "events as JSON lines on stdout");
