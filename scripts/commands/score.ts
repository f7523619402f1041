// The words of `deno task score`, and what it needs leave for.

import { dirname } from "node:path";
import { command, PathOption, scoringOptions } from "../command.ts";
import type { Needs } from "../permissions.ts";

export const needs: Needs = { runtime: true, hub: true };

export const program = scoringOptions(command(
  "score",
  `Writes the log-prob of every row's completion, one JSON line per row: {index, log_prob, tokens, cached}.
Scores under the base model, through the reference cache, or under --adapter.`,
))
  .addOption(new PathOption("--adapter <folder>", "PEFT adapter to score under", "read"))
  .addOption(new PathOption("--data <file>", "feedback file", "read"))
  .addOption(new PathOption("--out <file>", "where to write", "write", dirname).default("scores.jsonl"))
  .option("--json", "events as JSON lines on stdout");
