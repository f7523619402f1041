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
