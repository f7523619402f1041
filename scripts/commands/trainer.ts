// The words of `deno task trainer`, and what it needs leave for.

import { command } from "../command.ts";
import { modelOptions, trainerOptions } from "../service_options.ts";
import type { Needs } from "../permissions.ts";

export const needs: Needs = { runtime: true, hub: true, store: true };

export const program = trainerOptions(modelOptions(command(
  "trainer",
  `Does the training jobs that a gateway took (POST /v1/fine_tuning/jobs), one after another, on the same store: give it
the gateway's --data-dir, --model and DATABASE_URL. A job that a crash cut short is gone on with.`,
)))
  .option("--follow-parent", "end when stdin ends; for the program that started it");
