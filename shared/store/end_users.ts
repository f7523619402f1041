// Privacy: all that is kept of a person is deleted when asked for. Knows every table that can hold their words; reports
// of runs are marked here, and job_reports.ts takes their samples out.

import { InputError } from "../errors.ts";
import { noteUnjudged } from "./completions.ts";
import { noteForgotten } from "./forgotten.ts";
import { markForgetting } from "./job_reports.ts";
import { type Caller, withoutKey } from "./keys.ts";
import type { Database, Queries } from "./queries.ts";

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

/**
 * Deletes a person's labels and their history, their completions with whatever was said of those, and kept answers that
 * hold any of it. Jobs that may have seen them are marked, for `forgetSamples`. On SQLite the bytes are overwritten too;
 * PostgreSQL does so with its next VACUUM.
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
  const values = everyones ? [endUser] : [endUser, writer];
  const said = everyones ? "end_user = $1" : "end_user = $1 AND writer = $2";
  const asked = everyones ? "(end_user = $1 OR safety_identifier = $1)" : `${said} AND NOT EXISTS (
    SELECT 1 FROM label_events o WHERE o.completion_id = completions.id AND (o.writer IS NULL OR o.writer <> $2))`;
  const remove = async (queries: Queries): Promise<DeletedEndUser> => {
    const from = (table: string, condition: string) => queries.run(`DELETE FROM ${table} WHERE ${condition}`, values);
    const theirs = `completion_id IN (SELECT id FROM completions WHERE ${asked})`;
    const [first] = await queries.all<{ sequence: number | null }>(
      `SELECT MIN(sequence) AS sequence FROM label_events WHERE ${said} OR ${theirs}`,
      values,
    );
    if (first && first.sequence !== null) await markForgetting(queries, first.sequence);
    const labels = await from("labels", `${said} OR ${theirs}`);
    const judged = `c.id IN (SELECT completion_id FROM label_events WHERE ${said})`;
    await noteUnjudged(queries, judged, values);
    const events = await from("label_events", `${said} OR ${theirs}`);
    const answers = await from("idempotent_answers", `${said} OR ${theirs}`);
    await from("choices", theirs);
    const completions = await from("completions", asked);
    if (everyones) await from("staged_rows", `${said} OR asked_by = $1`);
    return { labels, events, completions, answers };
  };
  const deleted = await database.write(async (queries) => {
    await noteForgotten(queries, endUser, everyones ? null : writer);
    return await remove(queries);
  });
  // Writes that had begun do not know of the deletion, nor it of them, where writes do not take turns.
  for (const table of ["completions", "label_events", "staged_rows"]) await database.settled(table);
  if (database.kind === "sqlite") return deleted;
  const late = await database.write(remove);
  return {
    labels: deleted.labels + late.labels,
    events: deleted.events + late.events,
    completions: deleted.completions + late.completions,
    answers: deleted.answers + late.answers,
  };
}
