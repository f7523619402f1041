// Bodies of /v1/files and /v1/fine_tuning/jobs, as OpenAI has them, with what Prospect adds.

import { z } from "@hono/zod-openapi";

export const fileSchema = z.object({
  id: z.string(),
  object: z.literal("file"),
  bytes: z.int(),
  created_at: z.int(),
  filename: z.string(),
  purpose: z.enum(["fine-tune", "fine-tune-results"]),
  status: z.literal("processed"),
}).openapi("File");

const auto = z.literal("auto");

export const hyperparametersSchema = z.strictObject({
  beta: z.union([auto, z.number().gt(0).max(10)]).optional().openapi({
    description: "How far the policy may move from the reference: smaller is farther. Default 0.1.",
  }),
  n_epochs: z.union([auto, z.int().min(1).max(1000)]).optional(),
  batch_size: z.union([auto, z.int().min(1).max(4096)]).optional(),
  learning_rate: z.union([auto, z.number().gt(0).max(1)]).optional(),
  learning_rate_multiplier: z.union([auto, z.number().gt(0).max(100)]).optional().openapi({
    description: "Of the learning rate that is chosen from the model's width.",
  }),
  lora_rank: z.union([auto, z.int().min(1).max(512)]).optional(),
  desirable_weight: z.union([auto, z.number().gt(0).max(1000)]).optional(),
  undesirable_weight: z.union([auto, z.number().gt(0).max(1000)]).optional(),
}).openapi("KtoHyperparameters");

const methodSchema = z.strictObject({
  type: z.literal("kto", 'only "kto" can be trained here so far'),
  kto: z.strictObject({ hyperparameters: hyperparametersSchema.optional() }).optional(),
}).openapi("Method");

export const labelSelectionSchema = z.strictObject({
  tag: z.string().min(1).max(64).optional(),
  model: z.string().min(1).max(200).optional().openapi({ description: "Only answers of this model." }),
  since: z.int().min(0).optional().openapi({ description: "Milliseconds since 1970." }),
  until: z.int().min(0).optional(),
  max_age_days: z.number().gt(0).max(36500).optional(),
  drop_contradictions: z.boolean().optional().openapi({
    description: "Leave out answers that got both thumbs: their gradients cancel.",
  }),
  drop_stale: z.number().gt(0).max(100).optional().openapi({
    description: "Leave out answers whose mean log-prob per token moved by more than this since they were given.",
  }),
}).openapi("LabelSelection");

export const jobRequestSchema = z.strictObject({
  training_file: z.string().min(1).max(200).nullish().openapi({
    description: '`file-…`, or "labels" for those in the store; may be left out where `labels` says which.',
  }),
  model: z.string().min(1).max(200).openapi({ description: "Where training starts: `base` or `base:ADAPTER`." }),
  seed: z.int().min(0).max(2 ** 31 - 1).nullish(),
  suffix: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "letters, digits, dots and dashes, at most 64")
    .nullish()
    .openapi({ description: "Names the adapter." }),
  method: methodSchema.nullish(),
  labels: z.union([labelSelectionSchema, z.literal(true)]).nullish().openapi({
    description: "Which of the store's labels; true for all.",
  }),
  metadata: z.record(z.string().max(64), z.string().max(512)).refine(
    (data) => Object.keys(data).length <= 16,
    "at most 16",
  )
    .nullish(),
}).openapi("FineTuningJobRequest");

export const unsupportedJobFields: ReadonlySet<string> = new Set([
  "integrations",
  "validation_file",
  "hyperparameters",
]);

export const gateSchema = z.object({
  passed: z.boolean(),
  auc: z.object({ value: z.number(), low: z.number(), high: z.number() }).nullable(),
  findings: z.array(z.object({ rule: z.string(), passed: z.boolean(), message: z.string() })),
}).openapi("Gate");

export const jobSchema = z.object({
  id: z.string(),
  object: z.literal("fine_tuning.job"),
  created_at: z.int(),
  started_at: z.int().nullable(),
  finished_at: z.int().nullable(),
  model: z.string(),
  fine_tuned_model: z.string().nullable(),
  organization_id: z.literal("prospect"),
  status: z.enum(["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]),
  training_file: z.string(),
  validation_file: z.null(),
  result_files: z.array(z.string()),
  trained_tokens: z.int().nullable(),
  error: z.object({ code: z.string(), message: z.string(), param: z.string().nullable() }).nullable(),
  hyperparameters: z.record(z.string(), z.union([z.string(), z.number()])),
  method: z.object({
    type: z.literal("kto"),
    kto: z.object({ hyperparameters: z.record(z.string(), z.union([z.string(), z.number()])) }),
  }),
  seed: z.int(),
  suffix: z.string().nullable(),
  metadata: z.record(z.string(), z.string()).nullable(),
  estimated_finish: z.int().nullable(),
  integrations: z.array(z.string()).max(0),
  position: z.int().nullable().openapi({ description: "In the queue; 0 runs. null once the job is over." }),
  notice: z.string().nullable().openapi({
    description:
      "What those who wait for the job should know, such as that no trainer is at work. null once it is over.",
  }),
  progress: z.object({
    label: z.string(),
    done: z.number(),
    total: z.number(),
    unit: z.string(),
    rate: z.number().nullable(),
    eta_seconds: z.number().nullable(),
  }).nullable(),
  data: z.record(z.string(), z.unknown()).nullable().openapi({ description: "What is known of the rows." }),
  gate: gateSchema.nullable(),
}).openapi("FineTuningJob");

export const jobEventSchema = z.object({
  id: z.string(),
  object: z.literal("fine_tuning.job.event"),
  created_at: z.int(),
  level: z.enum(["info", "warn", "error"]),
  type: z.enum(["message", "metrics", "progress"]),
  message: z.string(),
  data: z.record(z.string(), z.unknown()).nullable(),
}).openapi("FineTuningJobEvent");

export const checkpointSchema = z.object({
  id: z.string(),
  object: z.literal("fine_tuning.job.checkpoint"),
  created_at: z.int(),
  fine_tuned_model_checkpoint: z.string(),
  fine_tuning_job_id: z.string(),
  step_number: z.int(),
  metrics: z.record(z.string(), z.unknown()),
}).openapi("FineTuningJobCheckpoint");
