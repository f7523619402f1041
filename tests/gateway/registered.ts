// What trainers leave in the store, for tests of routes: an adapter, and a job's request.

import { join } from "node:path";
import { keepAdapter, keptFolder } from "../../shared/runtime/kept_adapters.ts";
import type { Database } from "../../shared/store/database.ts";
import type { JobRequest } from "../../shared/store/jobs.ts";
import { registerAdapter, type RegisteredAdapter } from "../../shared/store/registry.ts";

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

/** Writes an adapter's files, which the scripted engine takes and no other would. @returns their folder */
export async function writeScriptedAdapter(into: string, name: string): Promise<string> {
  const folder = join(into, "brought", name);
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(join(folder, "adapter_config.json"), JSON.stringify({ name }));
  await Deno.writeTextFile(join(folder, "adapter_model.safetensors"), `weights of ${name}`);
  return folder;
}

/** Registers an adapter whose files are there, as a trainer does. @returns it */
export async function registerScripted(
  { database, dataFolder }: { database: Database; dataFolder: string },
  name: string,
  changes: Partial<RegisteredAdapter> = {},
): Promise<RegisteredAdapter> {
  const version = await keepAdapter(dataFolder, await writeScriptedAdapter(dataFolder, name));
  const adapter = adapterNamed(name, { folder: keptFolder(version), version, ...changes });
  await database.write((queries) => registerAdapter(queries, adapter));
  return adapter;
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
