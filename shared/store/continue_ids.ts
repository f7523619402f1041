// Identifiers go on where the store's end: what is listed by them shows the newest first, also once the clock was set back
// and the process began anew.

import { continueAfter } from "./ids.ts";
import type { Queries } from "./queries.ts";

/** What is listed by its identifiers, and how those begin. */
const listed = { labels: "label-", files: "file-", api_keys: "key-" };

/** Identifiers that are made in this process from now on sort after all that are there. */
export async function continueIds(queries: Queries): Promise<void> {
  for (const [table, prefix] of Object.entries(listed)) {
    // Up to the year 2527: one that somebody's export brought may say any time.
    const row = await queries.get<{ id: string | null }>(
      `SELECT MAX(id) AS id FROM ${table} WHERE id >= $1 AND id < $2`,
      [`${prefix}0`, `${prefix}1`],
    );
    const time = Number.parseInt(row?.id?.slice(prefix.length, prefix.length + 12) ?? "", 16);
    if (!Number.isNaN(time)) continueAfter(time);
  }
}
