// The words of `deno task generate`, and what it needs leave for.

import { command, count, modelOptions, notNegative, PathOption, seed } from "../command.ts";
import type { Needs } from "../permissions.ts";

export const needs: Needs = { runtime: true, hub: true };

export const program = modelOptions(
  command("generate", "Answers one prompt; a chat model sees it as the user's message."),
)
  .addOption(new PathOption("--adapter <folder>", "PEFT adapter to answer with", "read"))
  .option("--prompt <text>", "what to answer")
  .option("--max-new-tokens <n>", "longest answer in tokens", count, 128)
  .option("--temperature <x>", "0 always takes the likeliest token", notNegative, 0)
  .option("--seed <n>", "of the sampling", seed, 0);
