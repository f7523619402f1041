// Measures another trainer on the same rows: a command of the user's choice that reads what to do from a JSON file and
// prints what it measured. It does not know which trainer that is, nor its language.

import { join } from "node:path";
import { z } from "zod";
import { InputError } from "../../../shared/errors.ts";
import type { TokenizedRow } from "../../../shared/feedback/tokenize.ts";
import { alphaOf } from "../trained_part.ts";
import { readJsonLines } from "./jobs.ts";
import { type StepSettings, trainSettingsOf } from "./settings.ts";
import type { StepMeasurement } from "./steps.ts";

/** What a peer is told and what it has to answer, for `--help`. */
export const peerProtocol = `Comparing with another trainer:
  --peer COMMAND (or PROSPECT_BENCH_PEER) runs a program of yours, cut at spaces, with one more argument: a JSON file
    { "model": folder with config.json, tokenizer.json, model.safetensors,
      "rows": [{ "prompt_ids": [..], "completion_ids": [..], "label": true }, ..],     in training order
      "batch_size": 8, "warmup_steps": 2, "steps": 5,      rows / batch_size = warmup_steps + steps
      "lora_rank": 8, "lora_alpha": 16, "beta": 0.1, "threads": 2 }
  It trains KTO with LoRA on every linear layer, in fp32 on the CPU with that many threads, one optimizer step a batch,
  starts its clock after the warm-up steps, and prints on stdout one line for each configuration that it measures
    { "name": "TRL 1.13", "precomputed": true, "tokens_per_second": 65, "seconds_per_step": 23.4, "peak_bytes": 6.5e9 }
  precomputed: whether reference log-probs were known before the clock started. Tokens are the prompt and completion
  tokens of a step's rows, once each, however often they run through the model. peak_bytes is the largest resident
  size (VmHWM) of a process that measured nothing else. Other lines are passed over; stderr is shown.`;

/** A peer's answer. */
export interface PeerMeasurement extends StepMeasurement {
  name: string;
  precomputed: boolean;
}

const positive = z.number().positive();
const lineSchema = z.object({
  name: z.string().min(1),
  precomputed: z.boolean(),
  tokens_per_second: positive,
  seconds_per_step: positive,
  peak_bytes: positive,
});

/** The file that a peer reads. */
function peerRequest(model: string, settings: StepSettings, rows: readonly TokenizedRow[]): Record<string, unknown> {
  const train = trainSettingsOf(settings);
  return {
    model,
    rows: rows.map(({ promptIds, completionIds, label }) => ({
      prompt_ids: promptIds,
      completion_ids: completionIds,
      label,
    })),
    batch_size: settings.batchSize,
    warmup_steps: settings.warmupSteps,
    steps: settings.steps,
    lora_rank: settings.loraRank,
    lora_alpha: alphaOf(train),
    beta: train.beta,
    threads: settings.workers,
  };
}

/**
 * Runs the peer on the rows of a configuration.
 *
 * @param model the model's folder
 * @param onMeasurement called with each answer as it comes
 * @throws InputError when the command cannot be run, fails, or answers something else
 */
export async function measurePeer(
  command: string,
  model: string,
  settings: StepSettings,
  rows: readonly TokenizedRow[],
  onMeasurement: (measurement: PeerMeasurement) => void,
): Promise<void> {
  const [program, ...given] = command.trim().split(/\s+/);
  if (!program) throw new InputError("--peer: the command is empty.");
  const folder = await Deno.makeTempDir({ prefix: "prospect-bench-" });
  let answers = 0;
  let refused: string | undefined;
  try {
    const file = join(folder, "request.json");
    await Deno.writeTextFile(file, JSON.stringify(peerRequest(model, settings, rows)));
    let child: Deno.ChildProcess;
    try {
      child = new Deno.Command(program, { args: [...given, file], stdout: "piped", stderr: "inherit" }).spawn();
    } catch (error) {
      throw new InputError(`--peer: ${program} cannot be run (${(error as Error).message}).`);
    }
    await readJsonLines(child.stdout, (object) => {
      const parsed = lineSchema.safeParse(object);
      if (!parsed.success) return void (refused ??= JSON.stringify(object));
      const { name, precomputed, tokens_per_second, seconds_per_step, peak_bytes } = parsed.data;
      const measurement = {
        name,
        precomputed,
        tokensPerSecond: tokens_per_second,
        secondsPerStep: seconds_per_step,
        peakBytes: peak_bytes,
        residentBytes: peak_bytes,
      };
      answers++;
      onMeasurement(measurement);
    });
    const { code } = await child.status;
    if (code !== 0) throw new InputError(`--peer: ${command} ended with exit code ${code}.`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  if (refused !== undefined) {
    throw new InputError(`--peer: ${command} printed ${refused}; see --help for what it should.`);
  }
  if (answers === 0) throw new InputError(`--peer: ${command} printed no measurement; see --help.`);
}
