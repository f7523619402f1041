// Bodies of /v1/files and /v1/fine_tuning/jobs, as OpenAI has them, with what Prospect adds.

import { z } from "@hono/zod-openapi";
import { metadataSchema, noOp, onlyNull, requestObject, storableText } from "./request.ts";

export const fileSchema = z.object({
  id: z.string(),
  object: z.literal("file"),
  bytes: z.int(),
  created_at: z.int(),
  filename: z.string(),
  purpose: z.enum(["fine-tune", "fine-tune-results"]),
  status: z.literal("processed"),
}).openapi("File");

/** What a trainer may choose by itself. */
const orAuto = (number: z.ZodNumber, what: string) =>
  z.union([z.literal("auto"), number], `must be "auto" or ${what}`).optional();

export const hyperparametersSchema = requestObject({
  beta: orAuto(z.number().gt(0).max(10), "a number above 0, up to 10").openapi({
    description: "How far the policy may move from the reference: smaller is farther. Default 0.1.",
  }),
  n_epochs: orAuto(z.int().min(1).max(1000), "a whole number from 1 to 1000"),
  batch_size: orAuto(z.int().min(1).max(4096), "a whole number from 1 to 4096"),
  learning_rate: orAuto(z.number().gt(0).max(1), "a number above 0, up to 1"),
  learning_rate_multiplier: orAuto(z.number().gt(0).max(100), "a number above 0, up to 100").openapi({
    description: "Of the learning rate that is chosen from the model's width.",
  }),
  lora_rank: orAuto(z.int().min(1).max(512), "a whole number from 1 to 512"),
  desirable_weight: orAuto(z.number().gt(0).max(1000), "a number above 0, up to 1000"),
  undesirable_weight: orAuto(z.number().gt(0).max(1000), "a number above 0, up to 1000"),
});

const methodSchema = requestObject({
  type: z.literal("kto", 'only "kto" can be trained here so far'),
  kto: requestObject({ hyperparameters: hyperparametersSchema.optional() }).optional(),
});

export const labelSelectionSchema = requestObject({
  tag: storableText(z.string().min(1).max(64)).optional(),
  model: storableText(z.string().min(1).max(200)).optional().openapi({ description: "Only answers of this model." }),
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

export const jobRequestSchema = requestObject({
  training_file: storableText(z.string().min(1).max(200)).optional().openapi({
    description: '`file-…`, or "labels" for those in the store; may be left out where `labels` says which.',
  }),
  model: z.string().min(1).max(200).openapi({ description: "Where training starts: `base` or `base:ADAPTER`." }),
  seed: z.int().min(0).max(2 ** 31 - 1).optional(),
  suffix: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "letters, digits, dots and dashes, at most 64")
    .optional()
    .openapi({ description: "Names the adapter." }),
  method: methodSchema.optional(),
  labels: z.union([labelSelectionSchema, z.literal(true)], "must be true, or which labels are meant").optional()
    .openapi({
      description: "Which of the store's labels; true for all.",
    }),
  metadata: metadataSchema.optional(),
  validation_file: onlyNull("rows are held out of the training file by itself; leave it out"),
  hyperparameters: noOp(z.record(z.string(), z.literal("auto")), "send them as method.kto.hyperparameters"),
  integrations: noOp(z.array(z.unknown()).max(0), "this server tells no other service of a job; leave it out"),
}).openapi("FineTuningJobRequest");

const difference = z.object({ low: z.number(), high: z.number() }).nullable().openapi({
  description: "95% interval of after less before, paired by prompt; null for too few prompts.",
});
const lengthChange = z.object({
  before: z.number(),
  after: z.number(),
  ratio: z.number().nullable(),
  difference,
});
const rateChange = z.object({
  prompts: z.int(),
  before: z.int(),
  after: z.int(),
  difference,
});

const behaviourSchema = z.object({
  prompts: z.int(),
  tokens: lengthChange,
  words: lengthChange,
  cut_off: rateChange.openapi({ description: "Answers that the limit of tokens cut off." }),
  refusals: rateChange.openapi({ description: "Answers that refuse, by a table of phrases." }),
  agreement: rateChange.nullable().openapi({
    description: "Answers that open by agreeing, of the prompts that state a view of the user's; null where none does.",
  }),
}).openapi("Behaviour", {
  description: "How answers to held-out prompts changed from the base model to the adapter.",
});

export const gateSchema = z.object({
  passed: z.boolean(),
  auc: z.object({ value: z.number(), low: z.number(), high: z.number() }).nullable(),
  findings: z.array(z.object({ rule: z.string(), passed: z.boolean(), message: z.string() })),
  behaviour: behaviourSchema.nullable().optional(),
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
