// All settings of a training run, their defaults and their limits. The command line and the service fill them in; what
// they mean is elsewhere.

import { z } from "zod";
import { InputError } from "../../shared/errors.ts";
import { DTYPE_SUFFIXES } from "../../shared/runtime/dtypes.ts";
import { widthOf } from "../../shared/runtime/model_sizes.ts";
import { workersOn } from "../../shared/runtime/session.ts";
import { SCHEDULES } from "./schedule.ts";

const weight = z.union([z.literal("auto"), z.number().positive()]);
const dtypes = ["auto", ...Object.keys(DTYPE_SUFFIXES)] as [string, ...string[]];

export const trainSettingsSchema = z.object({
  /** Folder or hub id; undefined is the embedded model. */
  model: z.string().optional(),
  data: z.string().optional(),
  out: z.string().min(1),
  objective: z.enum(["kto"]).default("kto"),
  beta: z.number().positive().default(0.1),
  desirableWeight: weight.default("auto"),
  undesirableWeight: weight.default("auto"),
  learningRate: z.union([z.literal("auto"), z.number().positive()]).default("auto"),
  schedule: z.enum(SCHEDULES).default("linear"),
  warmupRatio: z.number().min(0).max(1).default(0.05),
  weightDecay: z.number().min(0).default(0),
  /** 0 does not clip. */
  maxGradNorm: z.number().min(0).default(1),
  epochs: z.number().int().positive().default(3),
  maxSteps: z.number().int().positive().optional(),
  batchSize: z.number().int().positive().default(16),
  /** Default: layoutFor's. */
  tokensPerMicroBatch: z.number().int().positive().optional(),
  maxLength: z.number().int().min(2).default(1024),
  loraRank: z.number().int().positive().default(8),
  /** Default: twice the rank. */
  loraAlpha: z.number().positive().optional(),
  targetModules: z.array(z.string().min(1)).min(1).default(["all-linear"]),
  full: z.boolean().default(false),
  initAdapter: z.string().optional(),
  pairing: z.enum(["derange", "rotate"]).default("derange"),
  order: z.enum(["mixed", "file"]).default("mixed"),
  heldOut: z.number().min(0).max(0.9).default(0.1),
  /** Stop after this many epochs without a better held-out AUC; 0 never does. */
  earlyStop: z.number().int().min(0).default(0),
  workers: z.number().int().positive().max(256).optional(),
  device: z.enum(["auto", "cpu", "webgpu"]).default("auto"),
  dtype: z.enum(dtypes).default("auto"),
  seed: z.number().int().min(0).max(2 ** 31 - 1).default(0),
  resume: z.boolean().default(false),
});

export type TrainSettings = z.infer<typeof trainSettingsSchema>;

/** `--learning-rate` for a setting's name `learningRate`. */
export const flagOf = (name: string) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** What a setting must be, in plain words, where it is not. */
function demandOf(issue: z.core.$ZodIssue): string {
  const kinds: Record<string, string> = { int: "a whole number", number: "a number", boolean: "true or false" };
  switch (issue.code) {
    case "invalid_type":
      return `it must be ${kinds[issue.expected] ?? `of the kind ${issue.expected}`}`;
    case "too_small":
      if (issue.origin !== "number" && issue.origin !== "int") return "it must not be empty";
      return issue.inclusive ? `it must be ${issue.minimum} or more` : `it must be above ${issue.minimum}`;
    case "too_big":
      return `it must be ${issue.maximum} or less`;
    case "invalid_value":
      return `it must be ${issue.values.length > 1 ? "one of " : ""}${issue.values.join(", ")}`;
    default:
      return issue.message;
  }
}

/** Checks settings against a schema. @throws InputError naming the flag, what it was and what it takes. */
export function parseSettings<Settings>(schema: z.ZodType<Settings>, input: Record<string, unknown>): Settings {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const name = String(issue.path[0] ?? "settings");
  const given = typeof input[name] === "number" ? `${input[name]}` : JSON.stringify(input[name]);
  throw new InputError(`${flagOf(name)} cannot be ${given}: ${demandOf(issue)}.`);
}

/** Checks training settings and fills in defaults. @throws InputError as parseSettings does. */
export function parseTrainSettings(input: Record<string, unknown>): TrainSettings {
  const settings = parseSettings(trainSettingsSchema, input), { device, workers } = settings;
  return device === "webgpu" ? { ...settings, workers: workersOn(device, workers) } : settings;
}

/** The width of SmolLM2-135M, where the automatic learning rate was measured. */
export const measuredWidth = 576;

/**
 * The learning rate that `auto` stands for: inversely proportional to the width (arXiv 2203.03466 for AdamW), 1e-3 at the
 * 576 of SmolLM2-135M for LoRA (measured there and on the embedded model, docs/LOG.md), 5e-5 for every weight.
 *
 * @param config config.json; one that does not say how wide the model is counts as SmolLM2-135M's
 */
export function automaticLearningRate(config: Record<string, unknown>, full: boolean): number {
  return Number(((full ? 5e-5 : 1e-3) * measuredWidth / (widthOf(config) ?? measuredWidth)).toPrecision(3));
}
