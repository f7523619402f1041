// `deno task bench`: measures speed and memory. Thin: what is measured is in services/trainer/bench.

import { fileURLToPath } from "node:url";
import { answerJob } from "../services/trainer/bench/jobs.ts";
import { peerProtocol } from "../services/trainer/bench/peer.ts";
import { lengthSpread } from "../services/trainer/bench/rows.ts";
import { parseStepSettings } from "../services/trainer/bench/settings.ts";
import { benchTrain } from "../services/trainer/bench/train_bench.ts";
import { InputError } from "../shared/errors.ts";
import { createReporter } from "../shared/progress.ts";
import { command, number, runCommand } from "./command.ts";

const program = command("bench", "Measures speed and memory. Which bench?")
  .argument("[bench]")
  .action((bench?: string) => {
    if (bench !== undefined) throw new InputError(`There is no bench "${bench}"; see deno task bench.`);
    program.outputHelp();
  });

program.command("train")
  .summary("a training step: tokens per second, memory, share of the machine's peak, growth")
  .description(
    `Measures a KTO step with LoRA: tokens per second, peak memory and seconds per step, with the reference precomputed and
with it scored in every step; the share of the machine's matrix-product peak; how both grow with sequence length,
batch and workers; and another trainer on the same rows, where one is pointed at.`,
  )
  .option("--model <folder|hub id>", "model in transformers.js layout; default: the embedded model")
  .option("--dtype <name>", "fp32, fp16, q8, q4 …; auto is the most precise file there", "auto")
  .option("--batch-size <n>", "rows per optimizer step (default: 8)", number)
  .option("--tokens <n>", "mean tokens of a row, prompt and completion (default: 190)", number)
  .option("--steps <n>", "steps that are timed (default: 5; 2 in the growth tables)", number)
  .option("--warmup-steps <n>", "steps before that (default: 2)", number)
  .option("--workers <n>", "threads, each with its own sessions (default: one per core)", number)
  .option("--lora-rank <n>", "rank of the adapter (default: 8)", number)
  .option("--tokens-per-micro-batch <n>", "memory against speed (default: as in train)", number)
  .option("--seed <n>", "the same seed gives the same rows", number, 0)
  .option("--peer <command>", "another trainer to compare with, see below")
  .option("--no-growth", "without the growth tables")
  .option("--quick", "tiny settings, to see that it works")
  .option("--json", "progress and result as JSON lines on stdout")
  .addHelpText(
    "after",
    `
Rows are random token ids, half of them desirable, with lengths up to ${100 * lengthSpread}% off the mean. Every
configuration runs in a process of its own; peak memory is that process's. Close everything else before you measure.

${peerProtocol}`,
  )
  .action(async (options) => {
    const quick = options.quick === true;
    const defaults = quick
      ? { batchSize: 4, tokens: 32, steps: 1, warmupSteps: 1 }
      : { batchSize: 8, tokens: 190, steps: 5, warmupSteps: 2 };
    const settings = parseStepSettings({
      ...defaults,
      workers: navigator.hardwareConcurrency,
      loraRank: 8,
      precomputed: true,
      ...options,
    });
    await benchTrain({
      program: fileURLToPath(import.meta.url),
      settings,
      peer: options.peer ?? Deno.env.get("PROSPECT_BENCH_PEER"),
      growth: options.growth,
      quick,
    }, createReporter({ json: options.json === true }));
  });

program.command("job", { hidden: true })
  .argument("<json>")
  .action(answerJob);

await runCommand(program);
