// `deno task score`: log-probs of a feedback file's completions.

import { score } from "../services/trainer/score.ts";
import { createReporter } from "../shared/progress.ts";
import { workersOn } from "../shared/runtime/session.ts";
import { command, device, required, runCommand, scoringOptions } from "./command.ts";

const program = scoringOptions(command(
  "score",
  `Writes the log-prob of every row's completion, one JSON line per row: {index, log_prob, tokens, cached}.
Scores under the base model, through the reference cache, or under --adapter.`,
))
  .option("--adapter <folder>", "PEFT adapter to score under")
  .option("--data <file>", "feedback file")
  .option("--out <file>", "where to write", "scores.jsonl")
  .option("--json", "events as JSON lines on stdout")
  .action(async (options) => {
    const on = device(options.device), workers = workersOn(on, options.workers);
    const settings = { ...options, data: required(options.data, "--data"), device: on, workers };
    await score(settings, createReporter({ json: options.json === true }));
  });

await runCommand(program);
