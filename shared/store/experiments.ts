// How the arms of an alias do: the share of desirable labels on each one's answers. Does not know how requests are split.

import type { Database } from "./queries.ts";

/** One arm of an alias: an adapter, or the base. */
export interface DesirableRate {
  alias: string;
  base: string | null;
  /** null: the base itself. */
  adapter: string | null;
  /** Answers given. */
  answers: number;
  /** Current labels on them; two people who judge one answer are two. */
  judged: number;
  desirable: number;
  /** desirable / judged, null where nothing is judged. */
  rate: number | null;
  /** 95 % interval of the rate. */
  interval: Interval | null;
}

/** Of a fraction. */
export interface Interval {
  low: number;
  high: number;
}

/** The standard normal distribution's 97.5 % quantile. */
const z = 1.959963984540054;

/**
 * Wilson's score interval at 95 % for a share of k in n, the rates p at which |k/n − p| ≤ z·√(p(1 − p)/n):
 *
 *     (k + z²/2 ± z·√(k(n − k)/n + z²/4)) / (n + z²)
 *
 * It stays within 0 and 1 and holds for few labels too (E. B. Wilson, "Probable inference, the law of succession, and
 * statistical inference", JASA 22, 1927). It takes labels as independent.
 *
 * @param n More than 0.
 */
export function wilsonInterval(k: number, n: number): Interval {
  const middle = k + z * z / 2;
  const half = z * Math.sqrt(k * (n - k) / n + z * z / 4);
  const within = (x: number) => Math.min(1, Math.max(0, x / (n + z * z)));
  return { low: within(middle - half), high: within(middle + half) };
}

/** The arms that answered for `alias` (or for any), by alias and then base before adapters. */
export async function desirableRates(database: Database, alias?: string): Promise<DesirableRate[]> {
  const which = alias === undefined ? "alias IS NOT NULL" : "alias = $1", arm = "alias, base, adapter";
  // No joins: an answer is its completion's first choice, or one of the few beyond it.
  const rows = await database.scan<Omit<DesirableRate, "rate" | "interval">>(
    `SELECT ${arm}, CAST(SUM(answers) AS BIGINT) AS answers, CAST(SUM(judged) AS BIGINT) AS judged,
       CAST(SUM(desirable) AS BIGINT) AS desirable
     FROM (
       SELECT ${arm}, COUNT(*) AS answers, 0 AS judged, 0 AS desirable FROM completions WHERE ${which} GROUP BY ${arm}
       UNION ALL
       SELECT ${arm}, COUNT(*), 0, 0 FROM choices a CROSS JOIN completions c
         WHERE a.choice > 0 AND c.id = a.completion_id AND ${which} GROUP BY ${arm}
       UNION ALL
       SELECT ${arm}, 0, COUNT(*), SUM(label) FROM labels WHERE ${which} GROUP BY ${arm}
     ) AS counted GROUP BY ${arm}`,
    alias === undefined ? [] : [alias],
  );
  const order = ({ alias, base, adapter }: typeof rows[number]) => JSON.stringify([alias, base ?? "", adapter ?? ""]);
  return rows.sort((a, b) => order(a) < order(b) ? -1 : 1).map((row) => ({
    ...row,
    rate: row.judged > 0 ? row.desirable / row.judged : null,
    interval: row.judged > 0 ? wilsonInterval(row.desirable, row.judged) : null,
  }));
}
