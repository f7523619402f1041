// Privacy: all that is kept of a person is deleted when asked for. Knows every table that can hold their words; reports
// of runs are marked here, and job_reports.ts takes their samples out.

import { InputError } from "../errors.ts";
import { markForgetting } from "./job_reports.ts";
import type { Database } from "./queries.ts";

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
 * @throws InputError for an end user without a name: that would be everybody who gave none.
 */
export function deleteEndUser(database: Database, endUser: string): Promise<DeletedEndUser> {
  if (endUser === "") return Promise.reject(new InputError("end_user: name the person whose data is to be deleted."));
  return database.write(async (queries) => {
    const remove = (table: string, condition: string) =>
      queries.run(`DELETE FROM ${table} WHERE ${condition}`, [endUser]);
    const theirs = "completion_id IN (SELECT id FROM completions WHERE end_user = $1)";
    const [first] = await queries.all<{ sequence: number | null }>(
      `SELECT MIN(sequence) AS sequence FROM label_events WHERE end_user = $1 OR ${theirs}`,
      [endUser],
    );
    if (first && first.sequence !== null) await markForgetting(queries, first.sequence);
    const labels = await remove("labels", `end_user = $1 OR ${theirs}`);
    const events = await remove("label_events", `end_user = $1 OR ${theirs}`);
    const answers = await remove("idempotent_answers", `end_user = $1 OR ${theirs}`);
    await remove("choices", theirs);
    const completions = await remove("completions", "end_user = $1");
    await remove("staged_rows", "end_user = $1");
    return { labels, events, completions, answers };
  });
}
