// A run's state on disk: parameters, optimizer moments, and a few numbers, in one safetensors file that is replaced in
// one step. What is random is a function of seed and step, so seed and step are the random state. It does not know
// what the numbers mean to the loop.

import { join } from "node:path";
import { z } from "zod";
import { ensureWritableFolder, writeFailure, writeFileAtomic } from "../../shared/atomic_file.ts";
import { InputError } from "../../shared/errors.ts";
import { encodeSafetensors, readSafetensors, readSafetensorsHeader, toFloat32 } from "../../shared/onnx/safetensors.ts";
import { differences, type RunIdentity, runIdentitySchema } from "./run_identity.ts";

const evaluationSchema = z.object({
  step: z.number(),
  auc: z.object({ value: z.number(), low: z.number(), high: z.number() }).optional(),
  margin: z.number().optional(),
});

const stateSchema = z.object({
  /** Identifies model, data and settings: only the same run may go on from here. */
  runKey: z.string(),
  /** The same in full, to say what differs; checkpoints of before have none. */
  identity: runIdentitySchema.optional(),
  step: z.number().int().min(0),
  /** That the run began with: others share its sums differently. */
  workers: z.number().int().positive().optional(),
  evaluations: z.array(evaluationSchema),
  stoppedEarly: z.boolean(),
  tokens: z.number(),
  seconds: z.number(),
});

export type RunState = z.infer<typeof stateSchema>;

export interface Checkpoint {
  state: RunState;
  parameters: Float32Array;
  firstMoments: Float32Array;
  secondMoments: Float32Array;
  /** Parameters of the best evaluation so far, of a run that keeps them. */
  best?: Float32Array | undefined;
}

const pathIn = (out: string) => join(out, "checkpoint", "state.safetensors");

/** Writes the checkpoint of a run, whole or not at all. */
export async function writeCheckpoint(out: string, checkpoint: Checkpoint): Promise<void> {
  const { state, ...blocks } = checkpoint;
  const written = Object.entries(blocks).filter((block): block is [string, Float32Array] => block[1] !== undefined);
  const tensors = new Map(written.map(([name, data]) => [name, { shape: [data.length], data }]));
  await ensureWritableFolder(join(out, "checkpoint"));
  await writeFileAtomic(pathIn(out), encodeSafetensors(tensors, { state: JSON.stringify(state) }));
}

/** Forgets the checkpoint of an earlier run in the same folder, which does not go with a metrics file that starts anew. */
export async function removeCheckpoint(out: string): Promise<void> {
  try {
    await Deno.remove(pathIn(out));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw writeFailure(pathIn(out), error);
  }
}

/**
 * Reads the checkpoint in an output folder; undefined where there is none yet.
 *
 * @throws InputError when it is damaged or belongs to another run.
 */
export async function readCheckpoint(out: string, run: RunIdentity, length: number): Promise<Checkpoint | undefined> {
  const path = pathIn(out);
  try {
    await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new InputError(
      `${path} cannot be read (${(error as Error).message}); make it readable, or delete ${join(out, "checkpoint")} ` +
        `to start anew.`,
    );
  }
  const { metadata } = readSafetensorsHeader(path);
  let state: RunState;
  try {
    state = stateSchema.parse(JSON.parse(metadata.state ?? ""));
  } catch {
    throw new InputError(`${path}: not a checkpoint of this version; delete ${join(out, "checkpoint")} to start anew.`);
  }
  if (state.runKey !== run.key) {
    const other = state.identity ? differences(state.identity, run).join(", ") : "another model, data or settings";
    throw new InputError(
      `${path}: the checkpoint is of a run with ${other}; repeat that run's flags with --resume, or choose another --out.`,
    );
  }
  const tensors = readSafetensors(path);
  const block = (name: string) => {
    const tensor = tensors.get(name);
    if (!tensor || tensor.shape[0] !== length) {
      throw new InputError(`${path}: tensor "${name}" is missing or of another length.`);
    }
    return toFloat32(tensor);
  };
  return {
    state,
    parameters: block("parameters"),
    firstMoments: block("firstMoments"),
    secondMoments: block("secondMoments"),
    best: tensors.has("best") ? block("best") : undefined,
  };
}
