// Adapters with their lineage: what each was trained on, how it did, where its files are. Does not load or judge them, nor
// know which is promoted.

import type { Behaviour } from "../behaviour.ts";
import type { Queries, Value } from "./queries.ts";

/** The adapter that a model's name asks for: undefined for `base`, null where the name is neither. */
export function adapterOf(model: string): string | undefined | null {
  if (model === "base") return undefined;
  return model.startsWith("base:") && model.length > 5 ? model.slice(5) : null;
}

/** The name of the model that an adapter makes; null is the base. */
export const modelOf = (adapter: string | null): string => adapter === null ? "base" : `base:${adapter}`;

/** What was asked for contradicts what the registry says by now; nothing was changed. */
export class RegistryConflictError extends Error {
  override readonly name = "RegistryConflictError";

  constructor(message: string, readonly code: "in_use" | "name_taken" | "changed") {
    super(message);
  }
}

/** Rules that a candidate is held against, and how it did; see services/trainer/gate.ts. */
export interface GateResult {
  passed: boolean;
  auc: { value: number; low: number; high: number } | null;
  findings: { rule: string; passed: boolean; message: string }[];
  /** Length, refusals and agreement before and after; see shared/behaviour.ts. Older verdicts have none. */
  behaviour?: Behaviour | null;
}

export interface RegisteredAdapter {
  name: string;
  /** Milliseconds since 1970. */
  createdAt: number;
  /** The base model that it is for: `name@sha-256`. */
  base: string;
  /** Where its files were when it was registered, relative to the data folder. */
  folder: string;
  /** sha-256 of its files. */
  version: string;
  /** `base`, or `base:ADAPTER` where training went on from one. */
  parent: string;
  jobId: string | null;
  /** What it was trained on. */
  data: Record<string, unknown>;
  metrics: Record<string, unknown>;
  gate: GateResult | null;
  /** Ids of its files, by what they are. */
  files: Record<string, string>;
}

type Encoded = { [Field in keyof RegisteredAdapter]: Value };

const selectAdapters = `SELECT name, created_at AS "createdAt", base, folder, version, parent, job_id AS "jobId", data,
  metrics, gate, files FROM adapters`;

const decode = (row: Encoded): RegisteredAdapter => ({
  ...row as unknown as RegisteredAdapter,
  data: JSON.parse(row.data as string),
  metrics: JSON.parse(row.metrics as string),
  gate: row.gate === null ? null : JSON.parse(row.gate as string),
  files: JSON.parse(row.files as string),
});

/** Adds an adapter; within a write, so that it is there exactly if its job succeeded. */
export async function registerAdapter(queries: Queries, adapter: RegisteredAdapter): Promise<void> {
  const { name, createdAt, base, folder, version, parent, jobId, data, metrics, gate, files } = adapter;
  await queries.run(
    `INSERT INTO adapters (name, created_at, base, folder, version, parent, job_id, data, metrics, gate, files, sequence)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, (SELECT COALESCE(MAX(sequence), 0) + 1 FROM adapters))`,
    [
      name,
      createdAt,
      base,
      folder,
      version,
      parent,
      jobId,
      JSON.stringify(data),
      JSON.stringify(metrics),
      gate && JSON.stringify(gate),
      JSON.stringify(files),
    ],
  );
}

/** All adapters, the one that was registered last first. */
export async function listAdapters(database: Queries): Promise<RegisteredAdapter[]> {
  return (await database.all<Encoded>(`${selectAdapters} ORDER BY sequence DESC`)).map(decode);
}

export async function findAdapter(database: Queries, name: string): Promise<RegisteredAdapter | undefined> {
  const row = await database.get<Encoded>(`${selectAdapters} WHERE name = $1`, [name]);
  return row && decode(row);
}

/** Forgets an adapter, whoever needs it: see change_adapters.ts. */
export async function deleteAdapter(queries: Queries, name: string): Promise<void> {
  await queries.run("DELETE FROM adapters WHERE name = $1", [name]);
}

/** Versions of files that some adapter has. */
export async function registeredVersions(queries: Queries): Promise<Set<string>> {
  const rows = await queries.all<{ version: string }>("SELECT DISTINCT version FROM adapters");
  return new Set(rows.map(({ version }) => version));
}
