// Finding completions by the pairs that clients keep with them. Does not know what is asked of those that are found.

import type { Queries, Value } from "./queries.ts";

/** A pair to be found. */
export interface Pair {
  name: string;
  value: string;
  /** Whether so few completions have it that going through them is quicker than asking one after another. */
  rare: boolean;
}

/** Completions that are counted before a pair is taken as common. */
const mostRare = 1000;

/** The pairs, those that the fewest completions have first. */
export async function rarestFirst(queries: Queries, metadata: Record<string, string> = {}): Promise<Pair[]> {
  const counted = await Promise.all(
    Object.entries(metadata).map(async ([name, value]) => {
      const [row] = await queries.all<{ count: number }>(
        `SELECT COUNT(*) AS count FROM
           (SELECT 1 FROM completion_metadata WHERE name = $1 AND value = $2 LIMIT ${mostRare}) AS few`,
        [name, value],
      );
      return { name, value, count: row?.count ?? 0 };
    }),
  );
  return counted.sort((a, b) => a.count - b.count).map(({ name, value, count }) => ({
    name,
    value,
    rare: count < mostRare,
  }));
}

/**
 * The condition that a completion has a pair.
 *
 * @param id where its id stands in the query
 * @param values where the pair is added
 */
export function hasPair({ name, value, rare }: Pair, id: string, values: Value[]): string {
  const from = "completion_metadata p", has = `p.name = $${values.push(name)} AND p.value = $${values.push(value)}`;
  return rare
    ? `${id} IN (SELECT p.completion_id FROM ${from} WHERE ${has})`
    : `EXISTS (SELECT 1 FROM ${from} WHERE p.completion_id = ${id} AND ${has})`;
}
