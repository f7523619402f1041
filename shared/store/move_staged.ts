// Makes completions and labels of the staged rows of an import, a slice at a time, for imports.ts to publish. A row that
// came out of an export keeps its ids: what is here already is left, what is older here is replaced, and an id that is
// something else here is refused by its line. Does not know how rows are staged.

import { isDeepStrictEqual } from "node:util";
import { setTimeout } from "node:timers/promises";
import { InputError } from "../errors.ts";
import { beginImport, noteMoved, publish, rowsPerSlice, slice } from "./imports.ts";
import type { Caller } from "./keys.ts";
import { clusterOf } from "./label_clusters.ts";
import type { Database, Queries, Value } from "./queries.ts";

/** What became of the rows, as labels. */
export interface MovedLabels {
  added: number;
  replaced: number;
  /** Here already, as new as in the file or newer. */
  unchanged: number;
  /** Of those: the label here says something else, or was taken back. */
  different: number;
}

/** Of a slice's rows, what came out of an export. */
const owned = `${slice} AND s.own = 1`;

type Place = [importId: string, from: number, to: number];

async function slicesOf(queries: Queries, importId: string): Promise<Place[]> {
  const sql = "SELECT MAX(position) AS last FROM staged_rows WHERE import_id = $1";
  const last = (await queries.all<{ last: number | null }>(sql, [importId]))[0]?.last ?? -1;
  const places: Place[] = [];
  for (let start = 0; start <= last; start += rowsPerSlice) places.push([importId, start, start + rowsPerSlice]);
  return places;
}

/** Whose label on which answer a row is. */
const samePlace = (a: string, b: string) =>
  `${a}.completion_id = ${b}.completion_id AND ${a}.choice = ${b}.choice AND ${a}.end_user = ${b}.end_user`;

/**
 * Puts rows of an export together before they are moved: a correction goes to the label that it corrects, and of several
 * rows of one label the newest stays. In many small writes.
 *
 * @returns labels that need nothing more
 * @throws InputError for a label's id that is on two answers
 */
export async function joinStaged(database: Database, importId: string): Promise<number> {
  let unchanged = 0;
  const pages = await slicesOf(database, importId);
  const inPages = async (sql: string) => {
    let rows = 0;
    for (const place of pages) rows += await database.run(sql, place);
    return rows;
  };
  const beside = "o.import_id = s.import_id AND o.completion_id = s.completion_id AND o.label_id = s.label_id";
  await inPages(
    `UPDATE staged_rows AS s SET correction =
       (SELECT MAX(o.content) FROM staged_rows o WHERE ${beside} AND o.is_correction = 1)
     WHERE ${owned} AND s.is_correction = 0
       AND EXISTS (SELECT 1 FROM staged_rows o WHERE ${beside} AND o.is_correction = 1)`,
  );
  const correction = `${owned} AND s.is_correction = 1`;
  await inPages(
    `DELETE FROM staged_rows AS s WHERE ${correction}
       AND EXISTS (SELECT 1 FROM staged_rows o WHERE ${beside} AND o.is_correction = 0)`,
  );
  // A file of desirable rows has corrections without what they correct.
  unchanged += await inPages(
    `DELETE FROM staged_rows AS s WHERE ${correction}
       AND EXISTS (SELECT 1 FROM label_events e WHERE e.label_id = s.label_id)`,
  );
  await inPages(
    `UPDATE staged_rows AS s SET label_id = s.label_id || '-correction',
       completion_id = s.completion_id || '-correction', is_correction = 0 WHERE ${correction}`,
  );
  await inPages(
    `DELETE FROM staged_rows AS s WHERE ${owned} AND EXISTS (
       SELECT 1 FROM staged_rows o WHERE o.import_id = s.import_id AND ${samePlace("o", "s")}
         AND (o.at > s.at OR (o.at = s.at AND o.position > s.position)))`,
  );
  const [twice] = await database.all<{ line: number; id: string }>(
    `SELECT MAX(s.line) AS line, s.label_id AS id FROM staged_rows s WHERE s.import_id = $1 AND s.own = 1
     GROUP BY s.label_id HAVING COUNT(*) > 1 LIMIT 1`,
    [importId],
  );
  if (twice) throw refusal(twice.line, `the id ${twice.id} is on another answer in an earlier line`);
  return unchanged;
}

/** Rows of which all is in the tables but what only the write that publishes them may change. */
export interface MovedRows {
  labels: MovedLabels;
  /** Slices with rows that replace labels. */
  replacing: Place[];
}

/**
 * Moves all rows, in small writes, unseen by others.
 *
 * @throws InputError naming the line of a row whose ids are something else here
 */
export async function moveStaged(database: Database, importId: string, caller: Caller): Promise<MovedRows> {
  const labels = { added: 0, replaced: 0, unchanged: 0, different: 0 }, replacing: Place[] = [];
  await beginImport(database, importId);
  for (const place of await slicesOf(database, importId)) {
    const moved = await database.write((queries) => moveSlice(queries, place, caller));
    labels.added += moved.added;
    labels.unchanged += moved.unchanged;
    labels.different += moved.different;
    if (moved.replaces) replacing.push(place);
  }
  return { labels, replacing };
}

async function moveSlice(queries: Queries, place: Place, caller: Caller) {
  await refuseForeignIds(queries, place);
  await queries.run(
    `INSERT INTO completions (id, created_at, source, model, base, adapter, adapter_version, prompt, parameters,
       end_user, prompt_tokens, writer, import_id)
     SELECT s.completion_id, s.at, s.source, s.model, s.base, s.adapter, s.adapter_version, s.prompt, s.parameters,
       s.asked_by, 0, CAST($4 AS TEXT), s.import_id FROM staged_rows s WHERE ${slice} ORDER BY s.position
     ON CONFLICT DO NOTHING`,
    [...place, caller.writer],
  );
  await queries.run(
    `INSERT INTO choices (completion_id, choice, content, messages, finish_reason, tokens, log_prob, import_id)
     SELECT s.completion_id, s.choice, s.content, s.messages, 'stop', s.tokens, s.log_prob, s.import_id
     FROM staged_rows s WHERE ${slice} ORDER BY s.position ON CONFLICT DO NOTHING`,
    place,
  );
  await refuseOtherTexts(queries, place);
  const left = await leaveOlder(queries, place);
  const added = await addLabels(queries, place, caller);
  await noteMoved(queries, place[0], added);
  const [standing] = await queries.all(`SELECT 1 FROM staged_rows s WHERE ${slice} AND ${stands} LIMIT 1`, place);
  return { ...left, added, replaces: standing !== undefined };
}

/** Shows what was moved, and replaces labels; within one write. */
export async function publishMoved(
  queries: Queries,
  importId: string,
  { labels, replacing }: MovedRows,
  caller: Caller,
): Promise<MovedLabels> {
  let replaced = 0;
  for (const place of replacing) {
    replaced += await replaceLabels(queries, place, caller);
    // Without a rest the runtime would hardly look at the network meanwhile (group_commit.ts).
    await setTimeout(1);
  }
  await publish(queries, importId);
  return { ...labels, replaced };
}

function refusal(line: number, what: string): InputError {
  return new InputError(`body:${line}: ${what}; leave out id and completion_id to take the row in as a new one.`);
}

/** A label's id stands for one person's word on one answer. */
async function refuseForeignIds(queries: Queries, place: Value[]): Promise<void> {
  const [foreign] = await queries.all<{ line: number; id: string }>(
    `SELECT s.line, s.label_id AS id FROM staged_rows s JOIN label_events e ON e.label_id = s.label_id
     WHERE ${owned} AND NOT (${samePlace("e", "s")}) ORDER BY s.position LIMIT 1`,
    place,
  );
  if (foreign) throw refusal(foreign.line, `the id ${foreign.id} is here for another answer or another person`);
}

/** A completion's id stands for one prompt and its answers. */
async function refuseOtherTexts(queries: Queries, place: Value[]): Promise<void> {
  interface Texts {
    line: number;
    id: string;
    prompt: string;
    storedPrompt: string;
    answer: string;
    storedAnswer: string;
  }
  const others = await queries.all<Texts>(
    `SELECT s.line, s.completion_id AS id, s.prompt, c.prompt AS "storedPrompt",
       COALESCE(s.messages, s.content) AS answer, COALESCE(a.messages, a.content) AS "storedAnswer"
     FROM staged_rows s JOIN completions c ON c.id = s.completion_id
     JOIN choices a ON a.completion_id = s.completion_id AND a.choice = s.choice
     WHERE ${owned} AND (c.prompt <> s.prompt OR COALESCE(a.messages, a.content) <> COALESCE(s.messages, s.content))
     ORDER BY s.position`,
    place,
  );
  for (const { line, id, prompt, storedPrompt, answer, storedAnswer } of others) {
    // The same fields may stand in another order.
    const same = isDeepStrictEqual(JSON.parse(prompt), JSON.parse(storedPrompt)) &&
      isDeepStrictEqual(JSON.parse(answer), JSON.parse(storedAnswer));
    if (!same) throw refusal(line, `the completion_id ${id} is here with another prompt or answer`);
  }
}

/** Takes rows away that say what is here, or are not newer than it, also where that was taken back. */
async function leaveOlder(queries: Queries, place: Value[]): Promise<Pick<MovedLabels, "unchanged" | "different">> {
  // The person's label on that answer may have another id here, where it was taken back and set again.
  const here = `SELECT l.id FROM labels l WHERE ${samePlace("l", "s")}`;
  await queries.run(
    `UPDATE staged_rows AS s SET label_id = (${here}) WHERE ${owned} AND EXISTS (${here} AND l.id <> s.label_id)`,
    place,
  );
  const newer = "EXISTS (SELECT 1 FROM label_events e WHERE e.label_id = s.label_id AND e.at >= s.at)";
  const same = `EXISTS (SELECT 1 FROM labels l JOIN label_events e ON e.sequence = l.sequence
    WHERE l.id = s.label_id AND e.label = s.label AND e.tags = s.tags AND COALESCE(e.reason, '') = COALESCE(s.reason, '')
      AND COALESCE(e.correction, '') = COALESCE(s.correction, ''))`;
  const [counts] = await queries.all<{ unchanged: number; different: number }>(
    `SELECT COUNT(*) AS unchanged, CAST(COALESCE(SUM(CASE WHEN ${same} THEN 0 ELSE 1 END), 0) AS BIGINT) AS different
     FROM staged_rows s WHERE ${owned} AND (${newer} OR ${same})`,
    place,
  );
  await queries.run(`DELETE FROM staged_rows AS s WHERE ${owned} AND (${newer} OR ${same})`, place);
  return counts!;
}

/** A row whose label is here, by this or another import or by nobody's; those of this import stand for their own rows. */
const stands = `s.own = 1 AND EXISTS (SELECT 1 FROM labels l WHERE l.id = s.label_id
  AND (l.import_id IS NULL OR l.import_id <> s.import_id))`;

/** Adds the labels of rows that replace none. @returns how many */
async function addLabels(queries: Queries, place: Place, caller: Caller): Promise<number> {
  const fresh = `${slice} AND NOT (${stands})`;
  const added = await addEvents(queries, "set", fresh, place, caller);
  const made = `FROM staged_rows s JOIN label_events e ON e.label_id = s.label_id AND e.import_id = s.import_id
    WHERE ${fresh}`;
  await queries.run(
    `INSERT INTO labels (id, completion_id, choice, end_user, created_at, updated_at, sequence, writer, label, source,
       model, base, adapter, adapter_version, alias, cluster, import_id)
     SELECT s.label_id, s.completion_id, s.choice, s.end_user, e.at, e.at, e.sequence, e.writer, s.label, c.source,
       c.model, c.base, c.adapter, c.adapter_version, c.alias, ${clusterOf("s.end_user", "c")}, s.import_id
     ${made.replace("WHERE", "JOIN completions c ON c.id = s.completion_id WHERE")}`,
    place,
  );
  await addTags(queries, made.replace(fresh, slice), place);
  return added;
}

/** Replaces the labels that rows stand for. @returns how many */
async function replaceLabels(queries: Queries, place: Place, caller: Caller): Promise<number> {
  const replaced = await addEvents(queries, "replaced", `${slice} AND ${stands}`, place, caller);
  const newest = `FROM staged_rows s JOIN label_events e ON e.label_id = s.label_id
    AND e.sequence = (SELECT MAX(n.sequence) FROM label_events n WHERE n.label_id = s.label_id)
    WHERE ${slice} AND ${stands}`;
  await queries.run(
    `UPDATE labels SET sequence = made.sequence, label = made.label, updated_at = made.at
     FROM (SELECT e.label_id, e.sequence, e.label, e.at ${newest}) AS made WHERE made.label_id = labels.id`,
    place,
  );
  await addTags(queries, newest, place);
  return replaced;
}

/** Adds an event for each staged row of a kind. @returns how many */
async function addEvents(
  queries: Queries,
  kind: "set" | "replaced",
  which: string,
  place: Place,
  caller: Caller,
): Promise<number> {
  const replaces = kind === "replaced";
  return await queries.run(
    `INSERT INTO label_events (label_id, kind, at, version, completion_id, choice, end_user, label, reason, tags,
       correction, key_id, writer, import_id)
     SELECT s.label_id, '${kind}', s.at,
       CASE s.own WHEN 1 THEN
         1 + COALESCE((SELECT MAX(e.version) FROM label_events e WHERE e.label_id = s.label_id), 0)
       ELSE 1 END,
       s.completion_id, s.choice, s.end_user, s.label, s.reason, s.tags, s.correction, CAST($4 AS TEXT),
       ${replaces ? "(SELECT l.writer FROM labels l WHERE l.id = s.label_id)" : "CAST($5 AS TEXT)"},
       ${replaces ? "NULL" : "s.import_id"}
     FROM staged_rows s WHERE ${which} ORDER BY s.position`,
    replaces ? [...place, caller.keyId] : [...place, caller.keyId, caller.writer],
  );
}

async function addTags(queries: Queries, events: string, place: Place): Promise<void> {
  const tagged = await queries.all<{ sequence: number; tags: string }>(
    `SELECT e.sequence, s.tags ${events} AND s.tags <> '[]'`,
    place,
  );
  for (const { sequence, tags } of tagged) {
    for (const tag of JSON.parse(tags) as string[]) {
      await queries.run("INSERT INTO label_tags (tag, sequence) VALUES ($1, $2)", [tag, sequence]);
    }
  }
}
