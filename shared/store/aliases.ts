// What each alias points to, as it was set last. Does not know whether anything answers there, or who promotes.

import type { Queries } from "./queries.ts";

/** The alias that clients ask for, so that promotion needs no change on their side. */
export const servedAlias = "prospect";

/** A model that an alias sends requests to. */
export interface Arm {
  /** `base` or `base:ADAPTER`. */
  model: string;
  /** Share of the alias's requests, in any unit; 0 gets none. */
  weight: number;
}

/** What an alias points to. */
export interface Alias {
  /** None: it was deleted. */
  arms: Arm[];
  /** Counts the alias's changes, its deletion too: what came later is told by it, whatever clocks say. */
  revision: number;
}

/** Every alias that was ever set, also those that were deleted. */
export async function listAliases(database: Queries): Promise<Map<string, Alias>> {
  const rows = await database.all<{ name: string; arms: string; revision: number }>(
    "SELECT name, arms, revision FROM aliases ORDER BY name",
  );
  return new Map(rows.map(({ name, arms, revision }) => [name, { arms: JSON.parse(arms), revision }]));
}

/** The first alias that names a model, whatever its weight; undefined where none does. */
export async function aliasNaming(queries: Queries, model: string): Promise<string | undefined> {
  return [...await listAliases(queries)].find(([, { arms }]) => arms.some((arm) => arm.model === model))?.[0];
}

/** Points an alias to arms; to none, it is deleted. */
export async function setAlias(queries: Queries, name: string, arms: readonly Arm[]): Promise<void> {
  await queries.run(
    `INSERT INTO aliases (name, arms, updated_at, revision) VALUES ($1, $2, $3, 1)
     ON CONFLICT (name) DO UPDATE SET arms = excluded.arms, updated_at = excluded.updated_at,
       revision = aliases.revision + 1`,
    [name, JSON.stringify(arms), Date.now()],
  );
}
