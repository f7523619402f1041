// `deno task bench`: measures speed and memory. Thin: what is measured is in services/trainer/bench,
// services/gateway/bench and services/guard.

import { fileURLToPath } from "node:url";
import { answerBare } from "../services/gateway/bench/bare.ts";
import { benchGateway, type Measure, measures } from "../services/gateway/bench/gateway_bench.ts";
import { soak } from "../services/gateway/bench/soak/soak.ts";
import { benchStore } from "../services/gateway/bench/store.ts";
import { answerJob } from "../services/trainer/bench/jobs.ts";
import { guard } from "../services/guard/guard.ts";
import { tolerance } from "../services/guard/comparison.ts";
import { peerProtocol } from "../services/trainer/bench/peer.ts";
import { lengthSpread } from "../services/trainer/bench/rows.ts";
import { parseStepSettings } from "../services/trainer/bench/settings.ts";
import { percent } from "../services/trainer/bench/tables.ts";
import { benchTrain } from "../services/trainer/bench/train_bench.ts";
import { InputError } from "../shared/errors.ts";
import { createReporter } from "../shared/progress.ts";
import { command, count, notNegative, number, positive, runCommand, workerCount } from "./command.ts";

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

program.command("gateway")
  .summary("the gateway: overhead over transformers.js, tokens and durable thumbs per second, memory")
  .description(
    `Measures the gateway as a process of its own, over HTTP: what it adds to an answer of bare transformers.js, tokens
per second with 1, 4 and 16 clients, thumbs per second that are on disk, memory over 10,000 requests after 15,000 to warm up.`,
  )
  .argument("[measures...]", `any of ${measures.join(", ")}; default: all`)
  .option("--model <folder|hub id>", "model in transformers.js layout; default: the embedded model")
  .option("--dtype <name>", "fp32, fp16, q8, q4 …; auto is the most precise file there", "auto")
  .option("--workers <n>", "threads that generate (default: the gateway's own)", workerCount)
  .option("--quick", "tiny settings, to see that it works")
  .option("--json", "progress and result as JSON lines on stdout")
  .addHelpText(
    "after",
    `
Whatever is compared takes turns, and processor time stands beside wall time; close everything else all the same. The
store is SQLite in the system's temporary folder (TMPDIR): its disk is the one that is measured.`,
  )
  .action(async (asked: string[], options) => {
    const unknown = asked.find((name) => !measures.includes(name as Measure));
    if (unknown !== undefined) {
      throw new InputError(`bench gateway does not measure "${unknown}", but any of ${measures.join(", ")}.`);
    }
    await benchGateway({
      program: fileURLToPath(import.meta.url),
      model: options.model,
      dtype: options.dtype,
      workers: options.workers,
      measures: asked.length > 0 ? asked as Measure[] : [...measures],
      quick: options.quick === true,
    }, createReporter({ json: options.json === true }));
  });

program.command("guard")
  .summary("this tree against another commit: what has become slower")
  .description(
    `Measures this tree and another commit, turn about: training, scoring, first token, decoding at 1, 4 and 16 clients,
durable thumbs. Prints the ratio of each, how far the rounds are apart, and the noise that a ratio has to stand out from.`,
  )
  .argument("<commit>", "what to compare with, as git names it, e.g. HEAD~3")
  .option("--model <folder|hub id>", "a model to measure with beside the embedded one")
  .option("--dtype <name>", "fp32, fp16, q8, q4 …; auto is the most precise file there", "auto")
  .option("--data <file>", "feedback for that model (default: the embedded feedback)")
  .option("--rounds <n>", "readings of each tree", count, 5)
  .option("--quick", "tiny settings, to see that it works")
  .option("--json", "progress and result as JSON lines on stdout")
  .addHelpText(
    "after",
    `
The other commit is checked out into the system's temporary folder, with its packages. Close everything else meanwhile.
"slower" and "faster" are more than ${percent(tolerance)} and more than the noise.`,
  )
  .action(async (commit: string, options) => {
    const { model, dtype, data, rounds, quick, json } = options;
    const reporter = createReporter({ json: json === true });
    await guard({ commit, model, dtype, data, rounds, quick: quick === true }, reporter);
  });

program.command("soak")
  .summary("the gateway under hostile and honest clients together, for minutes")
  .description(
    `Runs a gateway for so many minutes under honest clients (answers, thumbs, lists, exports, probes) and hostile ones (silent
and slow connections, streams that nobody reads, bodies made to be slow). Prints how the honest ones fared and how memory
went; ends with 1 where one of them got no answer, or an error of the server's other than 503.`,
  )
  .argument("[minutes]", "how long", positive, 10)
  .option("--model <folder|hub id>", "model in transformers.js layout; default: the embedded model")
  .option("--dtype <name>", "fp32, fp16, q8, q4 …; auto is the most precise file there", "auto")
  .option("--hostile <n>", "attempts of each hostile way at a time; 0 leaves the honest ones alone", notNegative, 8)
  .option("--json", "progress and result as JSON lines on stdout")
  .action(async (minutes: number, { model, dtype, hostile, json }) => {
    await soak({ minutes, model, dtype, hostile }, createReporter({ json: json === true }));
  });

program.command("store")
  .summary("thumbs and probes while a large store is filled, listed, counted and exported")
  .description(
    `Fills a gateway's store by one import and measures what a thumb and /healthz take meanwhile, and then during lists,
exports and statistics.`,
  )
  .option("--rows <n>", "rows of the store", count, 300_000)
  .option("--json", "progress and result as JSON lines on stdout")
  .action(async ({ rows, json }) => await benchStore(rows, createReporter({ json: json === true })));

// What measurements run in processes of their own.
program.command("job", { hidden: true })
  .argument("<json>")
  .action(answerJob);

program.command("bare", { hidden: true })
  .argument("<json>")
  .action(answerBare);

await runCommand(program);
