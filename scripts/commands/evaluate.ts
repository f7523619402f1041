// The words of `deno task evaluate`, and what it needs leave for.

import { command, PathOption, positive, scoringOptions, seed } from "../command.ts";
import type { Needs } from "../permissions.ts";

export const needs: Needs = { runtime: true, hub: true };

export const program = scoringOptions(command(
  "evaluate",
  `Measures an adapter on feedback: AUC of the reward with a 95% interval, margin, class means and counts; for the
embedded model also the share of answers to unseen prompts that are judged desirable.`,
))
  .addOption(
    new PathOption(
      "--adapter <folder>",
      "PEFT adapter; without one the base model is measured, whose rewards are 0",
      "read",
    ),
  )
  .addOption(new PathOption("--data <file>", "feedback file; default for the embedded model: the embedded one", "read"))
  .option("--beta <x>", "rewards are beta times the log-ratio", positive, 0.1)
  .option("--seed <n>", "of the sampled answers", seed, 0)
  .option("--json", "the result as one JSON object on stdout");
