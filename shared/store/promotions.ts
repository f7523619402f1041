// Every promotion, as a log of which the newest entries say what is promoted now and what was before. A promotion is one
// write: after a crash in its middle the old model answers or the new one, never neither. Does not load adapters or judge
// them.

import { InputError } from "../errors.ts";
import { setAlias } from "./aliases.ts";
import { servedBase } from "./presence.ts";
import type { Queries } from "./queries.ts";
import { adapterOf, findAdapter, RegistryConflictError } from "./registry.ts";

export interface Promotion {
  at: number;
  kind: "promote" | "rollback";
  from: string;
  to: string;
  /** Of the adapter's files as they were promoted; null for the base, and where it was not noted yet. */
  version: string | null;
  reason: string | null;
  /** The gate had not passed. */
  override: boolean;
  /** Id of the API key that asked; null where none was needed. */
  by: string | null;
}

type EncodedPromotion = Omit<Promotion, "override"> & { override: number };

/** Promotions of an alias, oldest first. */
export async function listPromotions(database: Queries, alias: string): Promise<Promotion[]> {
  const rows = await database.all<EncodedPromotion>(
    `SELECT at, kind, from_model AS "from", to_model AS "to", version, reason, overridden AS "override", key_id AS "by"
     FROM promotions WHERE alias = $1 ORDER BY sequence`,
    [alias],
  );
  return rows.map((row) => ({ ...row, override: row.override === 1 }));
}

/** A model as it was promoted: a name may have other files by now. */
export type Promoted = { model: string; version: string | null };

/**
 * What is promoted, and what was before: a promotion puts a model on top, a rollback takes it off. Promoting what is on
 * top already leaves it there, so that pressing twice is not undone by half.
 *
 * @returns `previous` is undefined where nothing was promoted.
 */
export function standing(promotions: readonly Promotion[]): { current: Promoted; previous: Promoted | undefined } {
  const stack: Promoted[] = [{ model: "base", version: null }];
  for (const { kind, to: model, version } of promotions) {
    if (kind === "rollback") {
      stack.pop();
      continue;
    }
    const top = stack.at(-1)!;
    if (top.model === model && (top.version ?? version) === version) stack.pop();
    stack.push({ model, version });
  }
  return { current: stack.at(-1)!, previous: stack.at(-2) };
}

/** An adapter of one base model was to be promoted where another is served: whoever asked for the alias would get 404. */
export class UnservedBaseError extends InputError {}

/**
 * Moves an alias wholly to a model and writes it into the log; within a write.
 *
 * @param version of the files that were judged; null for the base
 * @returns What was promoted before.
 * @throws UnservedBaseError, before anything is changed.
 * @throws RegistryConflictError where the adapter was removed or replaced meanwhile
 */
export async function promote(
  queries: Queries,
  alias: string,
  model: string,
  { version, ...how }: Pick<Promotion, "version" | "reason" | "override" | "by">,
): Promise<string> {
  const { current } = standing(await listPromotions(queries, alias));
  await note(queries, alias, { at: Date.now(), kind: "promote", from: current.model, to: model, version, ...how });
  return current.model;
}

/**
 * Goes back to what was promoted before; within a write.
 *
 * @returns The model that answers now; undefined where there is nothing before.
 * @throws UnservedBaseError
 * @throws RegistryConflictError where that adapter is gone, or another has its name
 */
export async function rollback(
  queries: Queries,
  alias: string,
  how: Pick<Promotion, "reason" | "by">,
): Promise<string | undefined> {
  const { current, previous } = standing(await listPromotions(queries, alias));
  if (previous === undefined) return undefined;
  const { model: to, version } = previous;
  const from = current.model, override = false;
  await note(queries, alias, { at: Date.now(), kind: "rollback", from, to, version, override, ...how });
  return to;
}

/** @returns the version that the model has now @throws UnservedBaseError @throws RegistryConflictError */
async function checkServed(queries: Queries, { model, version }: Promoted): Promise<string | null> {
  const name = adapterOf(model);
  if (name == null) return null;
  const adapter = await findAdapter(queries, name);
  if (!adapter) {
    throw new RegistryConflictError(`${model} is not in the registry any more; promote another model.`, "changed");
  }
  if (version !== null && adapter.version !== version) {
    throw new RegistryConflictError(
      `${model} has other files by now than those that were meant; look at it again.`,
      "changed",
    );
  }
  const served = await servedBase(queries);
  if (adapter.base === served) return adapter.version;
  throw new UnservedBaseError(
    `${model} is for the base model ${adapter.base}; ` +
      (served === undefined ? "no gateway has said yet which one it serves." : `the gateway serves ${served}.`),
  );
}

async function note(queries: Queries, alias: string, promotion: Promotion): Promise<void> {
  const { at, kind, from, to, reason, override, by } = promotion;
  const version = await checkServed(queries, { model: to, version: promotion.version });
  await queries.run(
    `INSERT INTO promotions (at, alias, kind, from_model, to_model, version, reason, overridden, key_id)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [at, alias, kind, from, to, version, reason, override ? 1 : 0, by],
  );
  await setAlias(queries, alias, [{ model: to, weight: 1 }]);
}
