// Adapters with their lineage, what each alias points to, and every promotion. A promotion is one write: after a crash in
// its middle the old model answers or the new one, never neither. Does not load adapters or judge them.

import { InputError } from "../errors.ts";
import { servedBase } from "./presence.ts";
import type { Database, Queries, Value } from "./queries.ts";

/** The alias that clients ask for, so that promotion needs no change on their side. */
export const servedAlias = "prospect";

/** The adapter that a model's name asks for: undefined for `base`, null where the name is neither. */
export function adapterOf(model: string): string | undefined | null {
  if (model === "base") return undefined;
  return model.startsWith("base:") && model.length > 5 ? model.slice(5) : null;
}

/** The name of the model that an adapter makes; null is the base. */
export const modelOf = (adapter: string | null): string => adapter === null ? "base" : `base:${adapter}`;

/** A model that an alias sends requests to. */
export interface Arm {
  /** `base` or `base:ADAPTER`. */
  model: string;
  /** Share of the alias's requests, in any unit; 0 gets none. */
  weight: number;
}

/** Rules that a candidate is held against, and how it did; see services/trainer/gate.ts. */
export interface GateResult {
  passed: boolean;
  auc: { value: number; low: number; high: number } | null;
  findings: { rule: string; passed: boolean; message: string }[];
}

export interface RegisteredAdapter {
  name: string;
  /** Milliseconds since 1970. */
  createdAt: number;
  /** The base model that it is for: `name@sha-256`. */
  base: string;
  /** Relative to the data folder. */
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

export interface Promotion {
  at: number;
  kind: "promote" | "rollback";
  from: string;
  to: string;
  reason: string | null;
  /** The gate had not passed. */
  override: boolean;
  /** Id of the API key that asked; null where none was needed. */
  by: string | null;
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
    `INSERT INTO adapters (name, created_at, base, folder, version, parent, job_id, data, metrics, gate, files)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
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

/** All adapters, newest first. */
export async function listAdapters(database: Queries): Promise<RegisteredAdapter[]> {
  return (await database.all<Encoded>(`${selectAdapters} ORDER BY created_at DESC, name`)).map(decode);
}

export async function findAdapter(database: Queries, name: string): Promise<RegisteredAdapter | undefined> {
  const [row] = await database.all<Encoded>(`${selectAdapters} WHERE name = $1`, [name]);
  return row && decode(row);
}

/** Takes an adapter out of the registry. @returns Whether there was one. */
export async function removeAdapter(database: Database, name: string): Promise<boolean> {
  return await database.run("DELETE FROM adapters WHERE name = $1", [name]) > 0;
}

/** What an alias points to, and since when in milliseconds. */
export interface Alias {
  arms: Arm[];
  since: number;
}

/** What every alias that was ever set points to. */
export async function listAliases(database: Queries): Promise<Map<string, Alias>> {
  const rows = await database.all<{ name: string; arms: string; since: number }>(
    "SELECT name, arms, updated_at AS since FROM aliases ORDER BY name",
  );
  return new Map(rows.map(({ name, arms, since }) => [name, { arms: JSON.parse(arms), since }]));
}

/** Points an alias to arms. */
export async function setAlias(queries: Queries, name: string, arms: readonly Arm[]): Promise<void> {
  await queries.run(
    `INSERT INTO aliases (name, arms, updated_at) VALUES ($1, $2, $3)
     ON CONFLICT (name) DO UPDATE SET arms = excluded.arms, updated_at = excluded.updated_at`,
    [name, JSON.stringify(arms), Date.now()],
  );
}

type EncodedPromotion = Omit<Promotion, "override"> & { override: number };

/** Promotions of an alias, oldest first. */
export async function listPromotions(database: Queries, alias: string): Promise<Promotion[]> {
  const rows = await database.all<EncodedPromotion>(
    `SELECT at, kind, from_model AS "from", to_model AS "to", reason, overridden AS "override", key_id AS "by"
     FROM promotions WHERE alias = $1 ORDER BY sequence`,
    [alias],
  );
  return rows.map((row) => ({ ...row, override: row.override === 1 }));
}

/**
 * What is promoted, and what was before: a promotion puts a model on top, a rollback takes it off. Promoting what is on
 * top already leaves it there, so that pressing twice is not undone by half.
 *
 * @returns `previous` is undefined where nothing was promoted.
 */
export function standing(promotions: readonly Promotion[]): { current: string; previous: string | undefined } {
  const stack = ["base"];
  for (const { kind, to } of promotions) {
    if (kind === "rollback") stack.pop();
    else if (stack.at(-1) !== to) stack.push(to);
  }
  return { current: stack.at(-1)!, previous: stack.at(-2) };
}

/** An adapter of one base model was to be promoted where another is served: whoever asked for the alias would get 404. */
export class UnservedBaseError extends InputError {}

/**
 * Moves an alias wholly to a model and writes it into the log; within a write.
 *
 * @returns What was promoted before.
 * @throws UnservedBaseError, before anything is changed.
 */
export async function promote(
  queries: Queries,
  alias: string,
  to: string,
  { reason, override, by }: Pick<Promotion, "reason" | "override" | "by">,
): Promise<string> {
  const { current } = standing(await listPromotions(queries, alias));
  await note(queries, alias, { at: Date.now(), kind: "promote", from: current, to, reason, override, by });
  return current;
}

/**
 * Goes back to what was promoted before.
 *
 * @returns The model that answers now; undefined where there is nothing before.
 * @throws UnservedBaseError
 */
export function rollback(
  database: Database,
  alias: string,
  { reason, by }: Pick<Promotion, "reason" | "by">,
): Promise<string | undefined> {
  return database.write(async (queries) => {
    const { current, previous } = standing(await listPromotions(queries, alias));
    if (previous === undefined) return undefined;
    const override = false;
    await note(queries, alias, { at: Date.now(), kind: "rollback", from: current, to: previous, reason, override, by });
    return previous;
  });
}

/** @throws UnservedBaseError for an adapter in the registry; others were loaded by hand, and fit whom they were loaded by */
async function checkServed(queries: Queries, model: string): Promise<void> {
  const name = adapterOf(model);
  const adapter = name == null ? undefined : await findAdapter(queries, name);
  if (!adapter) return;
  const served = await servedBase(queries);
  if (adapter.base === served) return;
  throw new UnservedBaseError(
    `${model} is for the base model ${adapter.base}; ` +
      (served === undefined ? "no gateway has said yet which one it serves." : `the gateway serves ${served}.`),
  );
}

async function note(queries: Queries, alias: string, promotion: Promotion): Promise<void> {
  const { at, kind, from, to, reason, override, by } = promotion;
  await checkServed(queries, to);
  await queries.run(
    `INSERT INTO promotions (at, alias, kind, from_model, to_model, reason, overridden, key_id)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [at, alias, kind, from, to, reason, override ? 1 : 0, by],
  );
  await setAlias(queries, alias, [{ model: to, weight: 1 }]);
}
