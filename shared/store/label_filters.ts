// Which labels are meant: filters as conditions over `e` (label_events) and `c` (completions). Does not know what is
// asked of the labels that are left.

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

type Rules = { [Name in Exclude<keyof LabelFilters, "metadata">]-?: (placeholder: string) => string };

const rules: Rules = {
  label: (value) => `e.label = ${value}`,
  model: (value) => `c.model = ${value}`,
  adapter: (value) => `c.adapter = ${value}`,
  tag: (value) => `EXISTS (SELECT 1 FROM label_tags t WHERE t.tag = ${value} AND t.sequence = e.sequence)`,
  endUser: (value) => `e.end_user = ${value}`,
  completionId: (value) => `e.completion_id = ${value}`,
  source: (value) => `c.source = ${value}`,
  safetyIdentifier: (value) => `c.safety_identifier = ${value}`,
  since: (value) => `e.at >= ${value}`,
  until: (value) => `e.at < ${value}`,
};

/**
 * @param values Where the filters' values are added; the conditions name their places.
 * @returns Conditions to be joined by AND; at least one.
 */
export async function labelConditions(queries: Queries, filters: LabelFilters, values: Value[]): Promise<string[]> {
  const conditions = ["1 = 1"];
  for (const [name, rule] of Object.entries(rules)) {
    const value = filters[name as keyof Rules];
    if (value === undefined) continue;
    if (value === null) conditions.push("c.adapter IS NULL");
    else conditions.push(rule(`$${values.push(typeof value === "boolean" ? Number(value) : value)}`));
  }
  const pairs = await rarestFirst(queries, filters.metadata);
  return [...conditions, ...pairs.map((pair) => hasPair(pair, "e.completion_id", values))];
}
