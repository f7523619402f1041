// Judgements of answers: one current label per completion, choice and end user, and every event that led to it. An event
// holds what was said from then on (or, where it is a deletion, until then), and its sequence number orders all events
// as they were committed. Knows nothing of HTTP or of training.

import { z } from "zod";
import { InputError } from "../errors.ts";
import { answerOnce, type Idempotency } from "./idempotency.ts";
import { timeOrderedId } from "./ids.ts";
import { type Caller, withoutKey } from "./keys.ts";
import { published } from "./imports.ts";
import { clusterOf } from "./label_clusters.ts";
import { labelConditions, type LabelFilters, passOnlySome } from "./label_filters.ts";
import { noteUnjudged } from "./completions.ts";
import { type Page, pageOf, type PageRequest, readCursor } from "./pages.ts";
import type { Database, Queries, Value } from "./queries.ts";

/** What a person says of an answer. */
export interface Judgement {
  completionId: string;
  choice: number;
  /** "" where nobody is named. */
  endUser: string;
  /** true = desirable. */
  label: boolean;
  reason?: string | null | undefined;
  tags?: readonly string[] | undefined;
  /** What should have been answered; becomes a desirable row of its own. */
  correction?: string | null | undefined;
}

/** A label as it stands. */
export interface StoredLabel {
  id: string;
  completionId: string;
  choice: number;
  endUser: string;
  label: boolean;
  reason: string | null;
  tags: string[];
  correction: string | null;
  /** Milliseconds since 1970. */
  createdAt: number;
  updatedAt: number;
  /** 1, and one more with each replacement. */
  version: number;
  /** Number of the event that made it what it is. */
  sequence: number;
  /** Id of the API key that made it what it is; null where none was needed. */
  keyId: string | null;
  /** Whose it is, as `Caller.writer` says: its first writer's, also where an admin key replaced it. */
  writer: string | null;
}

/** Something that happened to a label. */
export interface LabelEvent extends Omit<StoredLabel, "id" | "createdAt" | "updatedAt"> {
  labelId: string;
  kind: "set" | "replaced" | "deleted";
  /** Milliseconds since 1970. */
  at: number;
}

/** The judged completion is not in the store. */
export class UnknownCompletionError extends Error {
  override readonly name = "UnknownCompletionError";

  constructor(readonly completionId: string) {
    super(`There is no completion ${JSON.stringify(completionId)}.`);
  }
}

/** The completion has no choice of that number. */
export class UnknownChoiceError extends Error {
  override readonly name = "UnknownChoiceError";

  constructor(readonly completionId: string, readonly choice: number) {
    super(`Completion ${JSON.stringify(completionId)} has no choice ${choice}.`);
  }
}

/** The label is another writer's. */
export class ForeignLabelError extends Error {
  override readonly name = "ForeignLabelError";

  constructor(readonly endUser: string) {
    const whose = endUser === "" ? "A thumb that names no end_user" : `The thumb of ${JSON.stringify(endUser)}`;
    super(
      `${whose} was put on this answer with another API key; send an end_user of your own, or use a key of the same ` +
        `owner or with the scope "admin".`,
    );
  }
}

/**
 * Sets or replaces the label of an end user on a choice; resolves once it is durable.
 *
 * @throws UnknownCompletionError, UnknownChoiceError, ForeignLabelError, IdempotencyConflictError.
 * @throws InputError for a correction of a desirable answer.
 */
export function putLabel(
  database: Database,
  judgement: Judgement,
  idempotency?: Idempotency,
  caller: Caller = withoutKey,
): Promise<StoredLabel> {
  const { completionId, endUser } = judgement, { writer } = caller;
  return database.write(
    (queries) =>
      answerOnce(queries, idempotency, () => putLabelIn(queries, judgement, caller), { completionId, endUser, writer }),
    "snapshot",
  );
}

/** No completion has more: the largest integer of 32 bits. */
const mostChoices = 0x7fffffff;

/** As `putLabel`, within a write. */
export async function putLabelIn(
  queries: Queries,
  judgement: Judgement,
  caller: Caller = withoutKey,
): Promise<StoredLabel> {
  const { completionId, choice, endUser, label } = judgement;
  const reason = judgement.reason ?? null, correction = judgement.correction ?? null;
  const tags = [...new Set(judgement.tags)];
  if (correction !== null && label) {
    throw new InputError("correction: an answer that is corrected is not desirable: set label to false.");
  }
  // PostgreSQL would stumble over a number that no column holds.
  if (!Number.isInteger(choice) || choice < 0 || choice > mostChoices) {
    throw new UnknownChoiceError(completionId, choice);
  }
  const [place] = await queries.all<
    {
      choice: number | null;
      id: string | null;
      createdAt: number | null;
      version: number | null;
      writer: string | null;
      underWay: number;
    }
  >(
    `SELECT c.under_way AS "underWay", a.choice, l.id, l.created_at AS "createdAt", e.version, l.writer
     FROM completions c
     LEFT JOIN choices a ON a.completion_id = c.id AND a.choice = $2
     LEFT JOIN labels l ON l.completion_id = c.id AND l.choice = $2 AND l.end_user = $3
     LEFT JOIN label_events e ON e.sequence = l.sequence
     WHERE c.id = $1 AND ${published("c")}`,
    [completionId, choice, endUser],
  );
  if (!place) throw new UnknownCompletionError(completionId);
  if (place.choice === null) throw new UnknownChoiceError(completionId, choice);
  if (place.underWay === 1) await holdUnderWay(queries, completionId);
  const at = Date.now();
  const replaced = place.id !== null;
  if (replaced && !caller.everyones && place.writer !== caller.writer) throw new ForeignLabelError(endUser);
  const { keyId } = caller, writer = replaced ? place.writer : caller.writer;
  const id = place.id ?? timeOrderedId("label-");
  const version = (place.version ?? 0) + 1;
  const kind = replaced ? "replaced" as const : "set" as const;
  const about = { completionId, choice, endUser, label, reason, tags, correction, version, keyId, writer };
  const sequence = await addEvent(queries, { ...about, labelId: id, kind, at });
  const createdAt = place.createdAt ?? at;
  if (replaced) {
    const sql = "UPDATE labels SET sequence = $1, label = $2, updated_at = $3, import_id = NULL WHERE id = $4";
    await queries.run(sql, [sequence, Number(label), at, id]);
  } else {
    await queries.run(
      `INSERT INTO labels (id, completion_id, choice, end_user, created_at, updated_at, sequence, writer, label, source,
         model, base, adapter, adapter_version, alias, cluster)
       SELECT CAST($1 AS TEXT), c.id, CAST($3 AS INTEGER), CAST($4 AS TEXT), CAST($5 AS BIGINT), CAST($5 AS BIGINT),
         CAST($6 AS BIGINT), CAST($7 AS TEXT), CAST($8 AS INTEGER), c.source, c.model, c.base, c.adapter,
         c.adapter_version, c.alias, ${clusterOf("CAST($4 AS TEXT)", "c")}
       FROM completions c WHERE c.id = $2`,
      [id, completionId, choice, endUser, at, sequence, writer, Number(label)],
    );
  }
  return { id, ...about, createdAt, updatedAt: at, sequence };
}

const insertedColumns = `label_id, kind, at, version, completion_id, choice, end_user, label, reason, tags, correction,
  key_id, writer`;

/** @returns The event's sequence number. */
async function addEvent(queries: Queries, event: Omit<LabelEvent, "sequence">): Promise<number> {
  const [added] = await queries.all<{ sequence: number }>(
    `INSERT INTO label_events (${insertedColumns})
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING sequence`,
    [
      event.labelId,
      event.kind,
      event.at,
      event.version,
      event.completionId,
      event.choice,
      event.endUser,
      Number(event.label),
      toJson(event.reason),
      JSON.stringify(event.tags),
      toJson(event.correction),
      event.keyId,
      event.writer,
    ],
  );
  const sequence = (added as { sequence: number }).sequence;
  for (const tag of event.tags) {
    await queries.run("INSERT INTO label_tags (tag, sequence) VALUES ($1, $2)", [tag, sequence]);
  }
  return sequence;
}

/** Of what is said of a completion under way and its end, which numbers anew what was said, one comes after the other. */
async function holdUnderWay(queries: Queries, completionId: string): Promise<void> {
  await queries.run("UPDATE completions SET under_way = 1 WHERE id = $1 AND under_way = 1", [completionId]);
}

/** Gives what was said of a completion new numbers, in the same order: it counts as said now. */
export async function renumberEvents(queries: Queries, completionId: string): Promise<void> {
  const events = await queries.all<{ sequence: number }>(
    "SELECT sequence FROM label_events WHERE completion_id = $1 ORDER BY sequence",
    [completionId],
  );
  for (const { sequence } of events) {
    const [added] = await queries.all<{ sequence: number }>(
      `INSERT INTO label_events (${insertedColumns}) SELECT ${insertedColumns} FROM label_events WHERE sequence = $1
       RETURNING sequence`,
      [sequence],
    );
    const numbers = [(added as { sequence: number }).sequence, sequence];
    for (const table of ["label_tags", "labels"]) {
      await queries.run(`UPDATE ${table} SET sequence = $1 WHERE sequence = $2`, numbers);
    }
    await queries.run("DELETE FROM label_events WHERE sequence = $1", [sequence]);
  }
}

/** The condition that what has a `writer` may be seen and changed by the caller. */
function mayTouch({ everyones, writer }: Caller, values: Value[], table: "l" | "e"): string {
  return everyones ? "1 = 1" : `${table}.writer = $${values.push(writer)}`;
}

/** The label of that id, or undefined where there is none of the caller's. */
export async function getLabel(
  queries: Queries,
  id: string,
  caller: Caller = withoutKey,
): Promise<StoredLabel | undefined> {
  const values: Value[] = [id];
  const sql = `${selectLabels} WHERE l.id = $1 AND ${published("l")} AND ${mayTouch(caller, values, "l")}`;
  const row = await queries.get<LabelRow>(sql, values);
  return row && labelOf(row);
}

/**
 * The caller's labels, newest first (by when they were first set), in pages that new labels and replacements do not move.
 *
 * @throws InputError for a cursor that is none.
 */
export async function listLabels(
  database: Database,
  filters: LabelFilters,
  { cursor, limit }: PageRequest,
  caller: Caller = withoutKey,
): Promise<Page<StoredLabel>> {
  const values: Value[] = [];
  const conditions = [
    ...await labelConditions(database, filters, values, "labels"),
    published("l"),
    mayTouch(caller, values, "l"),
  ];
  if (cursor !== undefined) {
    const [id] = readCursor(cursor, z.tuple([z.string()]));
    conditions.push(`l.id < $${values.push(id)}`);
  }
  const passFew = passOnlySome(filters) || !caller.everyones;
  const rows = await (passFew ? database.scan : database.all)<LabelRow>(
    // Those of the page are found in one index, whatever the filters.
    `${selectLabels} WHERE l.id IN
       (SELECT l.id FROM labels l WHERE ${conditions.join(" AND ")} ORDER BY l.id DESC LIMIT $${values.push(limit + 1)})
     ORDER BY l.id DESC`,
    values,
  );
  return pageOf(rows.map(labelOf), limit, ({ id }) => [id]);
}

/** All that happened to a label, oldest first, also where it was deleted; empty where the caller never had one. */
export async function labelHistory(
  database: Database,
  id: string,
  caller: Caller = withoutKey,
): Promise<LabelEvent[]> {
  type EventRow = Encoded<LabelEvent>;
  const values: Value[] = [id];
  const rows = await database.all<EventRow>(
    `SELECT e.label_id AS "labelId", e.kind, e.at, ${eventColumns} FROM label_events e
     WHERE e.label_id = $1 AND ${published("e")} AND ${mayTouch(caller, values, "e")} ORDER BY e.sequence`,
    values,
  );
  return rows.map((row) => ({ ...row, ...decoded(row) }));
}

/** Takes a label back; its history keeps it. @returns Whether there was one of the caller's. */
export function deleteLabel(database: Database, id: string, caller: Caller = withoutKey): Promise<boolean> {
  return database.write(async (queries) => {
    const label = await getLabel(queries, id, caller);
    if (!label) return false;
    const { createdAt: _, updatedAt: __, id: labelId, ...was } = label;
    await holdUnderWay(queries, label.completionId);
    await queries.run("DELETE FROM labels WHERE id = $1", [id]);
    await noteUnjudged(queries, "c.id = $1", [was.completionId]);
    await addEvent(queries, { ...was, labelId, kind: "deleted", at: Date.now(), keyId: caller.keyId });
    return true;
  });
}

/** A number that no event is beyond: a snapshot of all labels until it stays what it is. 0 where there is none. */
export async function currentWatermark(database: Database): Promise<number> {
  const [row] = await database.all<{ watermark: number }>(
    `SELECT COALESCE(MAX(number), 0) AS watermark FROM (
       SELECT MAX(sequence) AS number FROM label_events UNION ALL SELECT MAX(published) FROM imports) AS numbers`,
  );
  // A smaller number may belong to a write that is under way: its rows would come into the snapshot later.
  await database.settled("label_events");
  return row?.watermark ?? 0;
}

/** As it is stored: JSON as text, a boolean as 0 or 1. */
type Encoded<Label extends { label: boolean; tags: string[] }> = Omit<Label, "label" | "tags"> & {
  label: number;
  tags: string;
};
type LabelRow = Encoded<StoredLabel>;

const eventColumns = `e.completion_id AS "completionId", e.choice, e.end_user AS "endUser", e.label, e.reason, e.tags,
  e.correction, e.version, e.sequence, e.key_id AS "keyId", e.writer`;
const selectLabels = `SELECT l.id, l.created_at AS "createdAt", e.at AS "updatedAt", ${eventColumns}
  FROM labels l JOIN label_events e ON e.sequence = l.sequence`;

function labelOf(row: LabelRow): StoredLabel {
  return { ...row, ...decoded(row) };
}

function decoded(row: Pick<LabelRow, "label" | "reason" | "tags" | "correction">) {
  return {
    label: row.label === 1,
    reason: fromJson(row.reason),
    tags: JSON.parse(row.tags) as string[],
    correction: fromJson(row.correction),
  };
}

/** Free text is kept as JSON, which holds any character. */
function toJson(text: string | null): string | null {
  return text === null ? null : JSON.stringify(text);
}

function fromJson(text: string | null): string | null {
  return text === null ? null : JSON.parse(text) as string;
}

/** How many current labels were set or replaced after the event of that number. */
export async function labelsSince(database: Database, sequence: number): Promise<number> {
  const sql = `SELECT CAST(COUNT(*) - (SELECT COALESCE(SUM(moved), 0) FROM imports WHERE published IS NULL) AS BIGINT)
    AS count FROM labels WHERE sequence > $1`;
  // An import under way may have begun before that event.
  return Math.max(0, (await database.all<{ count: number }>(sql, [sequence]))[0]?.count ?? 0);
}
