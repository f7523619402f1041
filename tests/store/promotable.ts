// Adapters that a gateway of the base model `tiny` serves, and how tests of the store promote them.

import type { Database } from "../../shared/store/database.ts";
import { noteServedBase } from "../../shared/store/presence.ts";
import { promote, rollback } from "../../shared/store/promotions.ts";
import { adapterOf, findAdapter, registerAdapter, type RegisteredAdapter } from "../../shared/store/registry.ts";

export const alias = "prospect";
export const base = "tiny@0123";

export const adapter = (name: string, changes: Partial<RegisteredAdapter> = {}): RegisteredAdapter => ({
  name,
  createdAt: 1_764_000_000_000,
  base,
  folder: `runs/${name}/adapter`,
  version: `version of ${name}`,
  parent: "base",
  jobId: null,
  data: { rows: 12 },
  metrics: { auc: null },
  gate: { passed: true, auc: { value: 0.9, low: 0.8, high: 1 }, findings: [] },
  files: { metrics: "file-1" },
  ...changes,
});

/** Registers adapters of these names, of a base model that is served. */
export async function registerAll(database: Database, ...names: string[]): Promise<void> {
  await noteServedBase(database, base);
  for (const name of names) await database.write((queries) => registerAdapter(queries, adapter(name)));
}

/** Promotes a model as it is registered. */
export const moveTo = (database: Database, to: string, changes: Partial<Parameters<typeof promote>[3]> = {}) =>
  database.write(async (queries) => {
    const version = (await findAdapter(queries, adapterOf(to) ?? ""))?.version ?? null;
    return await promote(queries, alias, to, { version, reason: null, override: false, by: null, ...changes });
  });

export const goBack = (database: Database) =>
  database.write((queries) => rollback(queries, alias, { reason: "worse", by: "key-1" }));
