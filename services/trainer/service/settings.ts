// The settings of the trainer service, read from a command's options and the environment. It opens nothing.

import { Cron } from "croner";
import { InputError } from "../../../shared/errors.ts";
import { type Device, workersOn } from "../../../shared/runtime/session.ts";
import type { BehaviourBounds } from "../behaviour_bounds.ts";

export interface TrainerSettings {
  /** The gateway's data folder. */
  dataFolder: string;
  /** PostgreSQL's URL; undefined is SQLite in the data folder. */
  databaseUrl: string | undefined;
  /** Folder or hub id of the base; undefined is the embedded model. */
  model: string | undefined;
  dtype: string;
  device: Device;
  /** Threads; undefined is one per core. */
  workers: number | undefined;
  /** Train without being asked once so many labels are new; undefined never does. */
  every: number | undefined;
  /** Train without being asked at these times, if there are new labels. */
  cron: string | undefined;
  /** Promote what was trained without being asked, if it passes the gate. */
  promote: boolean;
  /** What the gate bounds of length, refusals and agreement. */
  behaviourBounds: BehaviourBounds;
}

/** What commander made of the arguments. */
export interface TrainerOptions {
  dataDir: string;
  model?: string;
  dtype: string;
  device: Device | "auto";
  trainWorkers?: number;
  trainEvery?: number;
  trainCron?: string;
  autoPromote?: boolean;
  gateLength?: number;
  gateRefusal?: number;
  gateAgreement?: number;
}

/** Reads settings. @throws InputError naming the option at fault */
export function parseTrainerSettings(options: TrainerOptions): TrainerSettings {
  const { trainCron } = options;
  if (trainCron !== undefined) checkCron(trainCron);
  if (options.autoPromote && options.trainEvery === undefined && trainCron === undefined) {
    throw new InputError("--auto-promote: say when to train with --train-every or --train-cron.");
  }
  const device = options.device === "webgpu" ? "webgpu" : "cpu", { trainWorkers } = options;
  return {
    dataFolder: options.dataDir,
    databaseUrl: Deno.env.get("DATABASE_URL") || undefined,
    model: options.model,
    dtype: options.dtype,
    device,
    workers: device === "webgpu" ? workersOn(device, trainWorkers, "--train-workers") : trainWorkers,
    every: options.trainEvery,
    cron: trainCron,
    promote: options.autoPromote ?? false,
    behaviourBounds: {
      length: options.gateLength,
      refusal: options.gateRefusal,
      agreement: options.gateAgreement,
    },
  };
}

function checkCron(expression: string): void {
  try {
    new Cron(expression, { paused: true });
  } catch (error) {
    throw new InputError(
      `--train-cron "${expression}": ${(error as Error).message}; e.g. "0 3 * * *" is 3 every night.`,
    );
  }
}
