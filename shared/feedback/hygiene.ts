// What is the matter with a set of labels before it is trained on: duplicates, contradictions, empty answers, the balance
// of the classes, and answers of a policy that is far from the reference. It reports and filters; it changes no label and
// knows nothing of stores, tokens or models.

import { createHash } from "node:crypto";
import { classWeights } from "./batches.ts";
import { nearDuplicates } from "./near_duplicates.ts";
import { type FeedbackRow, isEmptyCompletion } from "./row.ts";

/** A label with what is known of the answer that it judges. */
export interface LabelledAnswer extends Pick<FeedbackRow, "prompt" | "completion" | "label"> {
  id: string;
}

/** A row and the earlier row that it repeats. */
export interface Repetition {
  id: string;
  of: string;
}

export interface Hygiene {
  /** Rows given. */
  rows: number;
  /** Rows that training would use, by class: without empty ones and exact duplicates. */
  desirable: number;
  undesirable: number;
  /** λ that KTO would choose for those counts. */
  weights: { desirable: number; undesirable: number };
  /** Same prompt, completion and label as an earlier row; training drops them. */
  exactDuplicates: Repetition[];
  /** Nearly the same prompt and completion as an earlier row of the same label, without the exact ones. */
  nearDuplicates: Repetition[];
  /** All rows whose prompt and completion carry both labels, which cancel each other (KTO, Prop. 4.3). */
  contradictions: string[];
  /** Nothing was said, so there is nothing to judge; training drops them. */
  empty: string[];
}

/** Looks through labels; near to linear in their number. */
export function inspectLabels(rows: readonly LabelledAnswer[]): Hygiene {
  const said = rows.filter(({ completion }) => !isEmptyCompletion(completion));
  const keys = said.map(({ prompt, completion }) => hash(prompt, completion));
  const first = new Map<string, string>();
  const labels = new Map<string, Set<boolean>>();
  const exactDuplicates: Repetition[] = [];
  const distinct = said.filter(({ id, label }, i) => {
    const key = keys[i]!, labelled = `${key} ${label}`, of = first.get(labelled);
    labels.set(key, (labels.get(key) ?? new Set()).add(label));
    if (of === undefined) first.set(labelled, id);
    else exactDuplicates.push({ id, of });
    return of === undefined;
  });
  const desirable = distinct.filter(({ label }) => label).length, undesirable = distinct.length - desirable;
  const { reason: _, ...weights } = classWeights({ desirable, undesirable }, {
    desirable: "auto",
    undesirable: "auto",
  });
  return {
    rows: rows.length,
    desirable,
    undesirable,
    weights,
    exactDuplicates,
    nearDuplicates: [true, false].flatMap((label) => repetitions(distinct.filter((row) => row.label === label))),
    contradictions: said.flatMap(({ id }, i) => labels.get(keys[i]!)!.size > 1 ? [id] : []),
    empty: rows.filter(({ completion }) => isEmptyCompletion(completion)).map(({ id }) => id),
  };
}

/** The rows without those that contradict each other. */
export function withoutContradictions<Row extends { id: string }>(rows: readonly Row[], hygiene: Hygiene): Row[] {
  const contradictory = new Set(hygiene.contradictions);
  return rows.filter(({ id }) => !contradictory.has(id));
}

function repetitions(rows: readonly LabelledAnswer[]): Repetition[] {
  const near = nearDuplicates(rows.map(({ prompt, completion }) => [textOf(prompt), textOf(completion)]));
  return near.flatMap((of, i) => of < 0 ? [] : [{ id: rows[i]!.id, of: rows[of]!.id }]);
}

/** What was said, with who said it. */
function textOf(said: FeedbackRow["prompt"]): string {
  return typeof said === "string" ? said : said.map(({ role, content }) => `${role}: ${content}`).join("\n");
}

function hash(...said: unknown[]): string {
  return createHash("sha256").update(JSON.stringify(said)).digest("base64");
}

/** An answer as it was given, and as the reference sees it now. */
export interface ScoredAnswer {
  id: string;
  /** Σ log π over the answer's tokens under the policy that gave it; null where nobody wrote it down. */
  answeredLogProb: number | null;
  /** Tokens of that sum: the answer, without the token that ended it. */
  answeredTokens: number;
  /** Per token under the current reference, the ending token included or not; null where it was not scored. */
  referenceLogProbs: ArrayLike<number> | null;
}

export interface Staleness {
  /** Rows whose log-probs are known on both sides. */
  measured: number;
  /** By id of a measured row: |Σ log π_ref − Σ log π_then| per token, in nats. */
  moved: Map<string, number>;
  /** How many rows moved further than each threshold. */
  beyond: { moved: number; rows: number }[];
}

/** Nats a token: a third more or less likely per token, twice, and beyond what one run of training does. */
const thresholds = [0.1, 0.25, 0.5, 1, 2];

/**
 * How far each answer is from the reference that it would be trained against. KTO takes any (prompt, answer, thumb), but
 * an answer that the reference would hardly give says little about what the reference gives.
 *
 * Rows are not measured where a log-prob is unknown or not finite, or where the answer's text is other tokens now than
 * it was then (fewer than were counted).
 */
export function staleness(rows: readonly ScoredAnswer[]): Staleness {
  const moved = new Map<string, number>();
  for (const { id, answeredLogProb, answeredTokens, referenceLogProbs } of rows) {
    if (answeredLogProb === null || referenceLogProbs === null) continue;
    if (answeredTokens < 1 || referenceLogProbs.length < answeredTokens) continue;
    let sum = 0;
    for (let i = 0; i < answeredTokens; i++) sum += referenceLogProbs[i]!;
    const distance = Math.abs(sum - answeredLogProb) / answeredTokens;
    if (Number.isFinite(distance)) moved.set(id, distance);
  }
  const distances = [...moved.values()];
  const beyond = thresholds.map((threshold) => ({
    moved: threshold,
    rows: distances.filter((distance) => distance > threshold).length,
  }));
  return { measured: moved.size, moved, beyond };
}

/** The rows that did not move further than `most` nats a token. A row that was not measured stays: nothing is known against it. */
export function withoutStale<Row extends { id: string }>(
  rows: readonly Row[],
  { moved }: Staleness,
  most: number,
): Row[] {
  return rows.filter(({ id }) => (moved.get(id) ?? 0) <= most);
}

/** Ids that a report shows of each kind; the counts are of all. */
const mostExamples = 20;

/** Hygiene as it goes over HTTP (`GET /v1/feedback/hygiene`). */
export function hygieneReport(hygiene: Hygiene, stale?: Staleness) {
  const { exactDuplicates, nearDuplicates, contradictions, empty, ...counts } = hygiene;
  return {
    ...counts,
    exact_duplicates: exactDuplicates.length,
    near_duplicates: nearDuplicates.length,
    contradictions: contradictions.length,
    empty: empty.length,
    stale: { measured: stale?.measured ?? 0, beyond: stale?.beyond ?? [] },
    examples: {
      contradictions: contradictions.slice(0, mostExamples),
      // Both of a pair, one after the other.
      near_duplicates: [...new Set(nearDuplicates.flatMap(({ id, of }) => [of, id]))].slice(0, mostExamples),
    },
  };
}
