// Every promotion, as a log of which the newest entries say what is promoted now and what was before. A promotion is one
// write: after a crash in its middle the old model answers or the new one, never neither. Does not load adapters or judge
// them.

import { InputError } from "../errors.ts";
import { setAlias } from "./aliases.ts";
import { servedBase } from "./presence.ts";
import type { Queries } from "./queries.ts";
import { adapterOf, findAdapter } from "./registry.ts";

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
 * Goes back to what was promoted before; within a write.
 *
 * @returns The model that answers now; undefined where there is nothing before.
 * @throws UnservedBaseError
 */
export async function rollback(
  queries: Queries,
  alias: string,
  { reason, by }: Pick<Promotion, "reason" | "by">,
): Promise<string | undefined> {
  const { current, previous } = standing(await listPromotions(queries, alias));
  if (previous === undefined) return undefined;
  const override = false;
  await note(queries, alias, { at: Date.now(), kind: "rollback", from: current, to: previous, reason, override, by });
  return previous;
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
