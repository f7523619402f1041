// Which labels are meant: filters as conditions over labels as they stand, or over their events and completions. Does not
// know what is asked of the labels that are left.

import type { StoredCompletion } from "./completions.ts";
import { hasPair, rarestFirst } from "./metadata.ts";
import type { Queries, Value } from "./queries.ts";

/** Filters that all must hold; those that are left out hold. */
export interface LabelFilters {
  label?: boolean | undefined;
  /** The model as it was asked for. */
  model?: string | undefined;
  /** null: the base answered. */
  adapter?: string | null | undefined;
  tag?: string | undefined;
  endUser?: string | undefined;
  completionId?: string | undefined;
  source?: StoredCompletion["source"] | undefined;
  safetyIdentifier?: string | undefined;
  /** Pairs that the completion must have. */
  metadata?: Record<string, string> | undefined;
  /** Judged at that time or later; milliseconds since 1970. */
  since?: number | undefined;
  /** Judged before that time. */
  until?: number | undefined;
}

/** Where a label's fields are: those of the judgement, of the answer, and when it was judged. */
interface Fields {
  judged: string;
  answered: string;
  at: string;
}

const places = {
  /** `l` (labels). */
  labels: { judged: "l", answered: "l", at: "l.updated_at" },
  /** `e` (label_events) and `c` (completions). */
  events: { judged: "e", answered: "c", at: "e.at" },
} satisfies Record<string, Fields>;

/** Whether many rows may have to be looked at for few. */
export const passOnlySome = (filters: object): boolean => Object.values(filters).some((value) => value !== undefined);

type Rules = { [Name in Exclude<keyof LabelFilters, "metadata">]-?: (placeholder: string, fields: Fields) => string };

const rules: Rules = {
  label: (value, { judged }) => `${judged}.label = ${value}`,
  model: (value, { answered }) => `${answered}.model = ${value}`,
  adapter: (value, { answered }) => `${answered}.adapter = ${value}`,
  tag: (value, { judged }) => `${judged}.sequence IN (SELECT t.sequence FROM label_tags t WHERE t.tag = ${value})`,
  endUser: (value, { judged }) => `${judged}.end_user = ${value}`,
  completionId: (value, { judged }) => `${judged}.completion_id = ${value}`,
  source: (value, { answered }) => `${answered}.source = ${value}`,
  safetyIdentifier: (value, { judged }) =>
    `${judged}.completion_id IN (SELECT s.id FROM completions s WHERE s.safety_identifier = ${value})`,
  since: (value, { at }) => `${at} >= ${value}`,
  until: (value, { at }) => `${at} < ${value}`,
};

/**
 * @param values Where the filters' values are added; the conditions name their places.
 * @param of Which tables the query is over.
 * @returns Conditions to be joined by AND; at least one.
 */
export async function labelConditions(
  queries: Queries,
  filters: LabelFilters,
  values: Value[],
  of: keyof typeof places,
): Promise<string[]> {
  const conditions = ["1 = 1"], fields = places[of];
  for (const [name, rule] of Object.entries(rules)) {
    const value = filters[name as keyof Rules];
    if (value === undefined) continue;
    if (value === null) conditions.push(`${fields.answered}.adapter IS NULL`);
    else conditions.push(rule(`$${values.push(typeof value === "boolean" ? Number(value) : value)}`, fields));
  }
  const pairs = await rarestFirst(queries, filters.metadata);
  return [...conditions, ...pairs.map((pair) => hasPair(pair, `${fields.judged}.completion_id`, values))];
}
