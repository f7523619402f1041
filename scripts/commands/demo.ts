// The words of `deno task demo`, and what it needs leave for.

import { command, count, PathOption, seed } from "../command.ts";
import type { Needs } from "../permissions.ts";

export const needs: Needs = { startsDeno: true, loopback: true };

export const program = command(
  "demo",
  `The whole loop over HTTP on the embedded model: it answers, a simulated crowd presses thumbs (some by mistake), a job
trains, the gate decides, the tuned model is promoted and asked again. Takes about a minute.`,
)
  .addOption(
    new PathOption("--out <folder>", "where the server keeps its data and the page is written", "write").default(
      "runs/demo",
    ),
  )
  .option("--questions <n>", "questions that the crowd asks and judges", count, 2400)
  .option("--exam <n>", "questions asked before and after, which nobody was trained on", count, 300)
  .option("--seed <n>", "of the crowd and the training", seed, 1)
  .option("--keep", "leave the server running at the end, to look around in the console")
  .option("--json", "events as JSON lines on stdout; the last line is the result");
