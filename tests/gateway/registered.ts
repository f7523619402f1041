// What trainers leave in the store, for tests of routes: an adapter, and a job's request.

import type { JobRequest } from "../../shared/store/jobs.ts";
import type { RegisteredAdapter } from "../../shared/store/registry.ts";

/** The base of the scripted engine. */
export const scriptedBase = "scripted@0123456789abcdef";

/** An adapter for the scripted engine's base that has passed the gate. */
export function adapterNamed(name: string, changes: Partial<RegisteredAdapter> = {}): RegisteredAdapter {
  return {
    name,
    createdAt: Date.now(),
    base: scriptedBase,
    folder: `runs/${name}/adapter`,
    version: `version of ${name}`,
    parent: "base",
    jobId: null,
    data: { rows: 12 },
    metrics: { steps: 6 },
    gate: { passed: true, auc: { value: 0.9, low: 0.8, high: 1 }, findings: [] },
    files: {},
    ...changes,
  };
}

/** A job over the labels in the store. */
export const jobRequest: JobRequest = {
  trainingFile: "labels",
  model: "base",
  seed: 0,
  suffix: null,
  hyperparameters: {},
  labels: {},
  metadata: {},
  promote: false,
};
