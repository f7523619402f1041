// Requests that are sent again within a day are answered again and not done again. Knows nothing of what was asked: the
// caller says by a hash whether two requests are the same, and whom an answer concerns, so that it can be deleted with
// them.

import type { Database, Queries } from "./queries.ts";

/** How long an answer is given again, in milliseconds. */
const life = 24 * 60 * 60 * 1000;

/** Answers that are deleted in one write. */
const mostDeleted = 1000;

/** How a client names a request that it may send again. */
export interface Idempotency {
  /** Whose keys, and of which route: keys of different scopes are different. */
  scope: string;
  /** The client's `Idempotency-Key`. */
  key: string;
  /** A hash of the request's body. */
  bodyHash: string;
}

/** Whose data an answer holds. */
export interface Concerned {
  endUser?: string;
  completionId?: string;
  /** Whose request it was, as `Caller.writer` says. */
  writer?: string | null;
}

/** The same key came with another body. */
export class IdempotencyConflictError extends Error {
  override readonly name = "IdempotencyConflictError";

  constructor(readonly key: string) {
    super(`The idempotency key ${JSON.stringify(key)} was used for another request; take a new key for a new request.`);
  }
}

/**
 * What a request of this key was answered within the last day, so that nothing needs to be looked at again.
 *
 * @throws IdempotencyConflictError
 */
export async function findAnswer<Answer>(
  queries: Queries,
  idempotency: Idempotency | undefined,
): Promise<Answer | undefined> {
  if (!idempotency) return undefined;
  const { scope, key, bodyHash } = idempotency;
  const earlier = await queries.get<{ bodyHash: string; answer: string }>(
    `SELECT body_hash AS "bodyHash", answer FROM idempotent_answers
     WHERE scope = $1 AND key = $2 AND created_at > $3`,
    [scope, key, Date.now() - life],
  );
  if (!earlier) return undefined;
  if (earlier.bodyHash !== bodyHash) throw new IdempotencyConflictError(key);
  return JSON.parse(earlier.answer) as Answer;
}

/**
 * Does `work` unless a request of the same key was answered within the last day: then that answer is given again. The
 * answer is kept in the same transaction as what `work` writes; where `work` fails nothing is kept, and the request may be tried again.
 *
 * @param queries Those of `Database.write`.
 * @param idempotency undefined: `work` is simply done.
 * @param work Gives what JSON can hold.
 * @throws IdempotencyConflictError
 */
export async function answerOnce<Answer>(
  queries: Queries,
  idempotency: Idempotency | undefined,
  work: () => Promise<Answer>,
  concerned: Concerned = {},
): Promise<Answer> {
  if (!idempotency) return await work();
  // Where another request of this key is between here and its end, one of them is run again.
  const earlier = await findAnswer<Answer>(queries, idempotency);
  if (earlier !== undefined) return earlier;
  const { scope, key, bodyHash } = idempotency;
  const answer = await work();
  // One that has had its day may still be there.
  await queries.run(
    `INSERT INTO idempotent_answers (scope, key, body_hash, answer, created_at, end_user, completion_id, writer)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
     ON CONFLICT (scope, key) DO UPDATE SET body_hash = excluded.body_hash, answer = excluded.answer,
       created_at = excluded.created_at, end_user = excluded.end_user, completion_id = excluded.completion_id,
       writer = excluded.writer`,
    [
      scope,
      key,
      bodyHash,
      JSON.stringify(answer),
      Date.now(),
      concerned.endUser ?? null,
      concerned.completionId ?? null,
      concerned.writer ?? null,
    ],
  );
  return answer;
}

/** Deletes answers that have had their day, some at a time. @returns how many; 0 where none is left */
export function deleteExpiredAnswers(database: Database): Promise<number> {
  return database.run(
    `DELETE FROM idempotent_answers WHERE (scope, key) IN
       (SELECT scope, key FROM idempotent_answers WHERE created_at <= $1 LIMIT ${mostDeleted})`,
    [Date.now() - life],
  );
}
