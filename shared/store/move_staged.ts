// Makes completions and labels of the staged rows of an import. A row that came out of an export keeps its ids: what is
// here already is left, what is older here is replaced, and an id that is something else here is refused by its line.
// Does not know how rows are staged.

import { isDeepStrictEqual } from "node:util";
import { setImmediate } from "node:timers/promises";
import { InputError } from "../errors.ts";
import type { Caller } from "./keys.ts";
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

/** Rows that are moved before others in this process get a turn. */
const rowsPerMove = 1000;

/** Rows of one page of an import: `$1` is the import, `$2` and `$3` the positions. */
const page = "s.import_id = $1 AND s.position >= $2 AND s.position < $3";
/** Of those, what came out of an export. */
const owned = `${page} AND s.own = 1`;

async function* pagesOf(queries: Queries, importId: string): AsyncGenerator<[string, number, number]> {
  const sql = "SELECT MAX(position) AS last FROM staged_rows WHERE import_id = $1";
  const last = (await queries.all<{ last: number | null }>(sql, [importId]))[0]?.last ?? -1;
  for (let start = 0; start <= last; start += rowsPerMove) yield [importId, start, start + rowsPerMove];
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
  const pages = await Array.fromAsync(pagesOf(database, importId));
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

/**
 * Moves all rows; within a write.
 *
 * @throws InputError naming the line of a row whose ids are something else here
 */
export async function moveStaged(queries: Queries, importId: string, caller: Caller): Promise<MovedLabels> {
  const moved = { added: 0, replaced: 0, unchanged: 0, different: 0 };
  for await (const place of pagesOf(queries, importId)) {
    await refuseForeignIds(queries, place);
    const values = [...place, caller.writer];
    await queries.run(
      `INSERT INTO completions (id, created_at, source, model, base, adapter, adapter_version, prompt, parameters,
         end_user, prompt_tokens, writer)
       SELECT s.completion_id, s.at, s.source, s.model, s.base, s.adapter, s.adapter_version, s.prompt, s.parameters,
         s.asked_by, 0, CAST($4 AS TEXT) FROM staged_rows s WHERE ${page} ORDER BY s.position ON CONFLICT DO NOTHING`,
      values,
    );
    await queries.run(
      `INSERT INTO choices (completion_id, choice, content, messages, finish_reason, tokens, log_prob)
       SELECT s.completion_id, s.choice, s.content, s.messages, 'stop', s.tokens, s.log_prob
       FROM staged_rows s WHERE ${page} ORDER BY s.position ON CONFLICT DO NOTHING`,
      place,
    );
    await refuseOtherTexts(queries, place);
    await leaveOlder(queries, place, moved);
    await moveLabels(queries, place, caller, moved);
    await queries.run(`DELETE FROM staged_rows AS s WHERE ${page}`, place);
    await setImmediate();
  }
  return moved;
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
async function leaveOlder(queries: Queries, place: Value[], moved: MovedLabels): Promise<void> {
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
  moved.unchanged += counts?.unchanged ?? 0;
  moved.different += counts?.different ?? 0;
  await queries.run(`DELETE FROM staged_rows AS s WHERE ${owned} AND (${newer} OR ${same})`, place);
}

async function moveLabels(queries: Queries, place: Value[], caller: Caller, moved: MovedLabels): Promise<void> {
  const stands = "s.own = 1 AND EXISTS (SELECT 1 FROM labels l WHERE l.id = s.label_id)";
  const [counts] = await queries.all<{ rows: number; replaced: number }>(
    `SELECT COUNT(*) AS rows, CAST(COALESCE(SUM(CASE WHEN ${stands} THEN 1 ELSE 0 END), 0) AS BIGINT) AS replaced
     FROM staged_rows s WHERE ${page}`,
    place,
  );
  const { rows, replaced } = counts as { rows: number; replaced: number };
  if (rows === 0) return;
  moved.added += rows - replaced;
  moved.replaced += replaced;
  await queries.run(
    `INSERT INTO label_events (label_id, kind, at, version, completion_id, choice, end_user, label, reason, tags,
       correction, key_id, writer)
     SELECT s.label_id, CASE WHEN ${stands} THEN 'replaced' ELSE 'set' END, s.at,
       CASE s.own WHEN 1 THEN
         1 + COALESCE((SELECT MAX(e.version) FROM label_events e WHERE e.label_id = s.label_id), 0)
       ELSE 1 END,
       s.completion_id, s.choice, s.end_user, s.label, s.reason, s.tags, s.correction, CAST($4 AS TEXT),
       CASE WHEN ${stands} THEN (SELECT l.writer FROM labels l WHERE l.id = s.label_id) ELSE CAST($5 AS TEXT) END
     FROM staged_rows s WHERE ${page} ORDER BY s.position`,
    [...place, caller.keyId, caller.writer],
  );
  const staged = `FROM staged_rows s JOIN label_events e ON e.label_id = s.label_id
    AND e.sequence = (SELECT MAX(n.sequence) FROM label_events n WHERE n.label_id = s.label_id) WHERE ${page}`;
  await queries.run(
    `INSERT INTO labels (id, completion_id, choice, end_user, created_at, sequence, writer)
     SELECT s.label_id, s.completion_id, s.choice, s.end_user, e.at, e.sequence, e.writer ${staged}
     ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence`,
    place,
  );
  const tagged = await queries.all<{ sequence: number; tags: string }>(
    `SELECT e.sequence, s.tags ${staged} AND s.tags <> '[]'`,
    place,
  );
  for (const { sequence, tags } of tagged) {
    for (const tag of JSON.parse(tags) as string[]) {
      await queries.run("INSERT INTO label_tags (tag, sequence) VALUES ($1, $2)", [tag, sequence]);
    }
  }
}
