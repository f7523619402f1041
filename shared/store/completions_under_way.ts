// Completions whose answers are still to come: they may be judged from their first word on. Until they end they are neither
// listed nor rows to train on. Does not know how answers come about.

import { insertCompletion, type StoredChoice, type StoredCompletion } from "./completions.ts";
import { renumberEvents } from "./labels.ts";
import type { Database, Queries, Value } from "./queries.ts";

/**
 * Stores a completion before its answers, as `storeCompletion` does; it may be judged once this resolves. A power cut may
 * take it, and the stream with it: whatever is said of it makes it durable too.
 */
export function beginCompletion(database: Database, completion: StoredCompletion, begun?: number): Promise<void> {
  const choices = completion.choices.map(({ index }) => ({
    index,
    content: "",
    finishReason: "in_progress",
    tokens: 0,
    logProb: null,
  }));
  const insert = (queries: Queries) => insertCompletion(queries, { ...completion, choices }, true, begun);
  return database.write(insert, "snapshot", "later");
}

/**
 * Adds the answers to a completion that was begun. What was said of it meanwhile counts from now on, as if it was said
 * now: a snapshot of labels has the same rows before and after.
 *
 * @returns Whether it was still there: nothing is kept of a person who was deleted meanwhile.
 */
export function endCompletion(database: Database, id: string, choices: readonly StoredChoice[]): Promise<boolean> {
  return database.write(async (queries) => {
    const sql = "UPDATE completions SET under_way = 0 WHERE id = $1 AND under_way = 1";
    if (await queries.run(sql, [id]) === 0) return false;
    for (const { index, content, finishReason, tokens, logProb } of choices) {
      await queries.run(
        `UPDATE choices SET content = $3, finish_reason = $4, tokens = $5, log_prob = $6
         WHERE completion_id = $1 AND choice = $2`,
        [id, index, JSON.stringify(content), finishReason, tokens, logProb],
      );
    }
    await renumberEvents(queries, id);
    return true;
  }, "snapshot");
}

/** Deletes a completion that was begun and came to nothing, unless somebody has judged it. */
export const dropCompletion = (database: Database, id: string): Promise<void> =>
  database.write((queries) => dropUnjudged(queries, "id = $1", [id]));

/** Deletes what was begun before that time, never ended, and was judged by nobody: its process was killed. */
export const dropAbandoned = (database: Database, before: number): Promise<void> =>
  database.write((queries) => dropUnjudged(queries, "created_at < $1", [before]));

async function dropUnjudged(queries: Queries, condition: string, values: Value[]): Promise<void> {
  const theirs = `SELECT id FROM completions c WHERE under_way = 1 AND ${condition}
    AND NOT EXISTS (SELECT 1 FROM label_events e WHERE e.completion_id = c.id)`;
  await queries.run(`DELETE FROM choices WHERE completion_id IN (${theirs})`, values);
  await queries.run(`DELETE FROM completions WHERE id IN (${theirs})`, values);
}
