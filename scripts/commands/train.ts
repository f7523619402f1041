// The words of `deno task train`, and what it needs leave for.

import { command, list, modelOption, number, numberOrAuto, Option, PathOption } from "../command.ts";
import type { Needs } from "../permissions.ts";

export const needs: Needs = { runtime: true, hub: true };

export const program = command(
  "train",
  `Tunes a language model from thumbs: KTO (arXiv 2402.01306) with LoRA on the model's own ONNX file.
Without arguments it tunes the embedded model on the embedded feedback. Writes adapter/, metrics.jsonl, run.json and
report.html.`,
)
  .addOption(modelOption())
  .addOption(
    new PathOption(
      "--data <file>",
      "feedback: JSONL or JSON, unpaired (prompt, completion, label) or paired (chosen, rejected)",
      "read",
    ),
  )
  .addOption(new PathOption("--out <folder>", "where to write", "write").default("runs/latest"))
  .option("--objective <name>", "what is optimised", "kto")
  .option("--beta <x>", "how far the policy may move from the reference: smaller is farther (default: 0.1)", number)
  .option("--desirable-weight <x|auto>", "weight of thumbs up; auto sets it from the counts", numberOrAuto)
  .option("--undesirable-weight <x|auto>", "weight of thumbs down; auto sets it from the counts", numberOrAuto)
  .option("--learning-rate <x|auto>", "auto: 1e-3 at SmolLM2-135M's width, more where narrower", numberOrAuto)
  .option("--schedule <name>", "linear, cosine or constant (default: linear)")
  .option("--warmup-ratio <x>", "share of the steps over which the learning rate rises (default: 0.05)", number)
  .option("--weight-decay <x>", "AdamW's decoupled decay (default: 0)", number)
  .option("--max-grad-norm <x>", "clip gradients to this norm; 0 does not (default: 1)", number)
  .option("--epochs <n>", "passes over the data (default: 3)", number)
  .option("--max-steps <n>", "stop after this many optimizer steps", number)
  .option("--batch-size <n>", "rows per optimizer step (default: 16)", number)
  .option(
    "--tokens-per-micro-batch <n>",
    "memory against speed; changes the result by rounding alone (default: 256, on webgpu 2048)",
    number,
  )
  .option("--max-length <n>", "most tokens of prompt and completion (default: 1024)", number)
  .option("--lora-rank <n>", "rank of the adapter (default: 8)", number)
  .option("--lora-alpha <n>", "scaling is alpha/rank (default: twice the rank)", number)
  .option("--target-modules <list>", "PEFT module names, or all-linear (default: all-linear)", list)
  .option("--full", "train every weight instead of an adapter; writes model/")
  .addOption(new PathOption("--init-adapter <folder>", "go on from a PEFT adapter", "read"))
  .addOption(new Option("--pairing <name>", "mismatched answers for z0: derange, or rotate as TRL does"))
  .option("--order <name>", "mixed spreads the classes over batches, file keeps the file's order (default: mixed)")
  .option("--held-out <fraction>", "share of the prompts kept for the AUC (default: 0.1)", number)
  .option(
    "--early-stop <n>",
    "stop after n epochs without a better held-out AUC, and keep the best; 0 never (default: 0)",
    number,
  )
  .option(
    "--workers <n>",
    "threads, each with its own sessions (default: one per core, on webgpu 1); changes the result by rounding alone",
    number,
  )
  .option("--device <name>", "auto, cpu or webgpu (default: auto, which is cpu)")
  .option("--dtype <name>", "fp32, fp16, q8, q4 …; auto is the most precise file there (default: auto)")
  .option("--seed <n>", "the same seed gives the same run, with as many workers (default: 0)", number)
  .option("--resume", "go on from the checkpoint in --out")
  .option("--json", "events as JSON lines on stdout")
  .addHelpText(
    "after",
    `
Examples:
  deno task train                                              the embedded world, in half a minute
  deno task train --model ./my-model --data thumbs.jsonl       your model, your thumbs
  deno task train --model owner/name --data thumbs.jsonl --out runs/first --epochs 1
Exit codes: 0 done, 2 unusable input, 130 interrupted (a checkpoint was written), 1 anything else.`,
  );
