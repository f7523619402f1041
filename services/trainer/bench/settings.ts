// What a benchmark measures: model, shape of the rows, steps. Everything that `train` has too takes train's defaults,
// so that the benchmark runs what training runs. It does not know how anything is measured.

import { z } from "zod";
import { parseSettings, parseTrainSettings, type TrainSettings, trainSettingsSchema } from "../settings.ts";

const { model, dtype, workers, tokensPerMicroBatch, seed } = trainSettingsSchema.shape;

const wholeNumber = z.number().int().positive();

/** One configuration: rows of one shape, trained on for some steps. */
export const stepSettingsSchema = z.object({
  model,
  dtype,
  tokensPerMicroBatch,
  seed,
  workers: workers.unwrap(),
  batchSize: wholeNumber.min(2),
  /** Prompt and completion of a row together, on average. */
  tokens: wholeNumber.min(8),
  loraRank: wholeNumber,
  steps: wholeNumber,
  /** Steps before the clock starts: sessions grow their buffers in the first ones. */
  warmupSteps: z.number().int().min(0),
  /** Whether reference log-probs are known before the steps, or scored in each. */
  precomputed: z.boolean(),
});

export type StepSettings = z.infer<typeof stepSettingsSchema>;

/** Checks settings. @throws InputError naming the flag, what it was and what it takes. */
export function parseStepSettings(input: Record<string, unknown>): StepSettings {
  return parseSettings(stepSettingsSchema, input);
}

/** The training run that a configuration is a piece of. */
export function trainSettingsOf(settings: StepSettings): TrainSettings {
  return parseTrainSettings({ ...settings, out: "none", order: "file", epochs: 1 });
}
