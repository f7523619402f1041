// Privacy: all that is kept of a person is deleted when asked for. Knows every table that can hold their words; runs
// of jobs are marked here, and forget_in_runs.ts takes their words out.

import { InputError } from "../errors.ts";
import { noteUnjudged } from "./completions.ts";
import { noteForgotten } from "./forgotten.ts";
import { markForgetting } from "./forget_in_runs.ts";
import { type Caller, withoutKey } from "./keys.ts";
import type { Database, Queries, Value } from "./queries.ts";

/** Labels, answers or rows that are looked at in one write: others wait for it. */
const rowsPerWrite = 100;

/** How many were deleted of each. */
export interface DeletedEndUser {
  /** The person's labels, and those of others on the person's completions. */
  labels: number;
  /** Events of those labels' history. */
  events: number;
  completions: number;
  /** Answers that were kept for requests sent again. */
  answers: number;
}

/** Which rows of a table, with the values of its placeholders from `$1` on. */
interface Condition {
  sql: string;
  values: Value[];
}

/**
 * Deletes a person's labels and their history, their completions with whatever was said of those, and kept answers that
 * hold any of it. Jobs that may have seen them are marked, for `forgetInRuns`. On SQLite the bytes are overwritten too;
 * PostgreSQL does so with its next VACUUM.
 *
 * The deletion is noted in one write, so that nothing comes which was under way; what is here goes in slices. Where it
 * fails between them it is asked for again.
 *
 * A caller that sees only what it wrote deletes only that: its labels of the person, and answers that it asked for in
 * their name unless others have judged them.
 *
 * @throws InputError for an end user without a name: that would be everybody who gave none.
 */
export async function deleteEndUser(
  database: Database,
  endUser: string,
  caller: Caller = withoutKey,
): Promise<DeletedEndUser> {
  if (endUser === "") throw new InputError("end_user: name the person whose data is to be deleted.");
  const { everyones, writer } = caller;
  const said = everyones
    ? { sql: "end_user = $1", values: [endUser] }
    : { sql: "writer = $1 AND end_user = $2", values: [writer, endUser] };
  // What may yet change before a write that deletes what was found.
  const deletable = everyones ? anything : {
    sql: `NOT EXISTS (
      SELECT 1 FROM label_events o WHERE o.completion_id = completions.id AND (o.writer IS NULL OR o.writer <> $1))`,
    values: [writer],
  };
  const asked = everyones
    ? { sql: "end_user = $1 OR safety_identifier = $1", values: [endUser] }
    : { ...said, sql: `${said.sql} AND ${deletable.sql}` };
  await database.write((queries) => noteForgotten(queries, endUser, everyones ? null : writer));
  // Writes that had begun do not know of the deletion, nor it of them, where writes do not take turns.
  await database.settled("staged_rows");
  if (everyones) await deleteStaged(database, endUser);
  for (const table of ["completions", "label_events"]) await database.settled(table);
  const ofLabels = await deleteLabels(database, said);
  const answers = await deleteAnswers(database, said);
  const ofCompletions = await deleteCompletions(database, asked, deletable);
  // Where somebody reads for too long, upkeep does it.
  await database.emptyLog();
  return added({ ...nothing, ...ofLabels, answers }, ofCompletions);
}

const nothing: DeletedEndUser = { labels: 0, events: 0, completions: 0, answers: 0 };

const added = (a: DeletedEndUser, b: DeletedEndUser): DeletedEndUser => ({
  labels: a.labels + b.labels,
  events: a.events + b.events,
  completions: a.completions + b.completions,
  answers: a.answers + b.answers,
});

const anything: Condition = { sql: "1 = 1", values: [] };

/** The condition, and that a column has one of some values. */
function among({ sql, values }: Condition, column: string, some: readonly Value[]): Condition {
  const places = some.map((_, i) => `$${values.length + 1 + i}`);
  return { sql: `(${sql}) AND ${column} IN (${places.join(", ")})`, values: [...values, ...some] };
}

/** Deletes labels with all that led to them, each whole in one write: no older event of it is left to stand for it. */
async function deleteLabels(database: Database, which: Condition): Promise<Pick<DeletedEndUser, "labels" | "events">> {
  let labels = 0, events = 0;
  for (;;) {
    const found = await database.all<{ labelId: string; completionId: string }>(
      `SELECT label_id AS "labelId", completion_id AS "completionId" FROM label_events WHERE ${which.sql}
       LIMIT ${rowsPerWrite}`,
      which.values,
    );
    if (found.length === 0) return { labels, events };
    const ids = [...new Set(found.map(({ labelId }) => labelId))];
    const completions = [...new Set(found.map(({ completionId }) => completionId))];
    const gone = await database.write(async (queries) => {
      // By their ids alone: with more conditions SQLite would look through all of the person's for each slice.
      const deleted = await deleteJudgements(queries, among(anything, "id", ids), among(anything, "label_id", ids));
      const judged = among(anything, "c.id", completions);
      await noteUnjudged(queries, judged.sql, judged.values);
      return deleted;
    });
    labels += gone.labels;
    events += gone.events;
  }
}

async function deleteJudgements(queries: Queries, ofLabels: Condition, ofEvents: Condition) {
  const [first] = await queries.all<{ sequence: number | null }>(
    `SELECT MIN(sequence) AS sequence FROM label_events WHERE ${ofEvents.sql}`,
    ofEvents.values,
  );
  if (first && first.sequence !== null) await markForgetting(queries, first.sequence);
  return {
    labels: await queries.run(`DELETE FROM labels WHERE ${ofLabels.sql}`, ofLabels.values),
    events: await queries.run(`DELETE FROM label_events WHERE ${ofEvents.sql}`, ofEvents.values),
  };
}

async function deleteAnswers(database: Database, { sql, values }: Condition): Promise<number> {
  let answers = 0;
  for (;;) {
    const gone = await database.run(
      `DELETE FROM idempotent_answers WHERE (scope, key) IN
         (SELECT scope, key FROM idempotent_answers WHERE ${sql} LIMIT ${rowsPerWrite})`,
      values,
    );
    answers += gone;
    if (gone < rowsPerWrite) return answers;
  }
}

/** Deletes completions with all that was said of them, where they are deletable still. */
async function deleteCompletions(database: Database, which: Condition, deletable: Condition): Promise<DeletedEndUser> {
  let deleted = nothing;
  for (;;) {
    const found = await database.all<{ id: string }>(
      `SELECT id FROM completions WHERE ${which.sql} LIMIT ${rowsPerWrite}`,
      which.values,
    );
    if (found.length === 0) return deleted;
    const these = among(deletable, "id", found.map(({ id }) => id));
    const theirs = { ...these, sql: `completion_id IN (SELECT id FROM completions WHERE ${these.sql})` };
    // Much may have been said of one.
    const ofLabels = await deleteLabels(database, theirs), answers = await deleteAnswers(database, theirs);
    deleted = added(deleted, { ...nothing, ...ofLabels, answers });
    const last = await database.write(async (queries) => {
      const from = (table: string, sql: string) => queries.run(`DELETE FROM ${table} WHERE ${sql}`, theirs.values);
      const judgements = await deleteJudgements(queries, theirs, theirs);
      const answers = await from("idempotent_answers", theirs.sql);
      await from("choices", theirs.sql);
      return { ...judgements, answers, completions: await from("completions", these.sql) };
    });
    deleted = added(deleted, last);
  }
}

/** Deletes rows of imports under way that the person judged or asked for. */
async function deleteStaged(database: Database, endUser: string): Promise<void> {
  let after: [importId: string, position: number] = ["", 0];
  for (;;) {
    const found = await database.scan<{ importId: string; position: number }>(
      `SELECT import_id AS "importId", position FROM staged_rows
       WHERE (end_user = $1 OR asked_by = $1) AND (import_id, position) > ($2, $3)
       ORDER BY import_id, position LIMIT ${rowsPerWrite}`,
      [endUser, ...after],
    );
    const last = found.at(-1);
    if (!last) return;
    await database.write(async (queries) => {
      for (const { importId, position } of found) {
        await queries.run("DELETE FROM staged_rows WHERE import_id = $1 AND position = $2", [importId, position]);
      }
    });
    after = [last.importId, last.position];
  }
}
