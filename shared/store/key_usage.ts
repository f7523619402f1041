// What API keys have used, day by day. Does not know what they may use.

import type { Database } from "./queries.ts";

/** Counts of one day. */
export interface Used {
  /** Days since 1970. */
  day: number;
  requests: number;
  /** Of request bodies. */
  bytes: number;
}

/** What a key has used on a day, or on the newest day after it that something was noted on. */
export async function usedBy(database: Database, keyId: string, day: number): Promise<Used> {
  const row = await database.get<Used>(
    `SELECT day, requests, bytes FROM key_usage WHERE key_id = $1 AND day >= $2 ORDER BY day DESC LIMIT 1`,
    [keyId, day],
  );
  return row ?? { day, requests: 0, bytes: 0 };
}

/** Adds to what keys have used. @returns what they have used by then, by key */
export async function addUsage(
  database: Database,
  added: readonly (Used & { keyId: string })[],
): Promise<Map<string, Used>> {
  return await database.write(async (queries) => {
    const totals = new Map<string, Used>();
    for (const { keyId, day, requests, bytes } of added) {
      const [total] = await queries.all<Used>(
        `INSERT INTO key_usage (key_id, day, requests, bytes) VALUES ($1, $2, $3, $4)
         ON CONFLICT (key_id, day) DO UPDATE SET requests = key_usage.requests + excluded.requests,
           bytes = key_usage.bytes + excluded.bytes
         RETURNING day, requests, bytes`,
        [keyId, day, requests, bytes],
      );
      totals.set(keyId, total!);
      await queries.run("DELETE FROM key_usage WHERE key_id = $1 AND day < $2", [keyId, day]);
    }
    return totals;
  });
}
