// What the survey of models finds out about one ONNX file on one device: whether its log-probs are those of an outside
// oracle, and whether a training step has TRL's gradients and lowers the loss. The shapes of the findings and how near
// is near enough; it measures nothing.

import { z } from "zod";

/** How scoring or training went. */
const stageSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("measured"),
    /** Relative error: of the sum of a row's log-probs, or of a gradient against its tensor's largest element. */
    error: z.number().nullable(),
    /** Loss before and after one step down the gradient. */
    loss: z.object({ before: z.number(), after: z.number() }).optional(),
  }),
  /** The model or the device said no, in this sentence. */
  z.object({ kind: z.literal("refused"), sentence: z.string() }),
  /** It broke: the process died, or something threw that was not made for people. */
  z.object({ kind: z.literal("broken"), sentence: z.string() }),
  z.object({ kind: z.literal("untested"), sentence: z.string() }),
]);

export type Stage = z.infer<typeof stageSchema>;

export const cellSchema = z.object({
  /** Name of the folder. */
  model: z.string(),
  /** `model_type` of its config.json. */
  family: z.string(),
  exporter: z.string(),
  /** Name of the .onnx file. */
  file: z.string(),
  dtype: z.string(),
  device: z.enum(["cpu", "webgpu"]),
  /** When it was measured, YYYY-MM-DD. */
  date: z.string(),
  scoring: stageSchema,
  training: stageSchema,
  /** The operator that a device computes otherwise than the CPU, where a number is off. */
  suspect: z.string().optional(),
});

export type Cell = z.infer<typeof cellSchema>;

/** Relative errors up to which a stage holds. */
export function limits({ dtype, device }: Pick<Cell, "dtype" | "device">): { scoring: number; gradients: number } {
  const exact = device === "cpu";
  if (dtype === "fp32") return { scoring: exact ? 2e-6 : 1e-4, gradients: exact ? 2e-4 : 1e-3 };
  // Dynamic int8 takes one activation scale per tensor, which moves with the batch.
  if (["q8", "int8", "uint8"].includes(dtype)) return { scoring: 3e-2, gradients: 3e-2 };
  // ONNX Runtime rounds activations of such a file to float16 before it rounds them to int8; here they are float32, and some
  // fall to the other side of a step. (The file promoted to float32 and run by ONNX Runtime itself is as far off.)
  if (dtype === "q4f16") return { scoring: 1e-2, gradients: 1e-2 };
  return { scoring: exact ? 1e-3 : 1e-2, gradients: 1e-2 };
}

/** Whether a measured stage is as near as it has to be, and a step, where there was one, went down. */
export function holds(stage: Stage & { kind: "measured" }, limit: number): boolean {
  const near = stage.error === null || stage.error <= limit;
  return near && (stage.loss === undefined || stage.loss.after < stage.loss.before);
}

const exporters: [ending: RegExp, name: string][] = [
  [/-genai-mha$/, "GenAI builder 0.8"],
  [/-genai$/, "GenAI builder"],
  [/-optimum$/, "optimum (TorchScript)"],
  [/-dynamo$/, "torch dynamo"],
  [/-prospect$/, "Prospect's importer"],
];

/** The exporter that a folder's name ends with, as the shared fixtures are named. */
export function exporterOf(folder: string): string {
  return exporters.find(([ending]) => ending.test(folder))?.[1] ?? "unknown";
}
