// Requests that are sent again are answered again and not done again. Knows nothing of what was asked: the caller says
// by a hash whether two requests are the same, and whom an answer concerns, so that it can be deleted with them.

import type { Queries } from "./queries.ts";

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
}

/** The same key came with another body. */
export class IdempotencyConflictError extends Error {
  override readonly name = "IdempotencyConflictError";

  constructor(readonly key: string) {
    super(`The idempotency key ${JSON.stringify(key)} was used for another request; take a new key for a new request.`);
  }
}

/**
 * Does `work` unless a request of the same key was answered: then that answer is given again. The answer is kept in the
 * same transaction as what `work` writes; where `work` fails nothing is kept, and the request may be tried again.
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
  const { scope, key, bodyHash } = idempotency;
  // Writes take turns, so no other request of this key is between here and its end.
  const [earlier] = await queries.all<{ bodyHash: string; answer: string }>(
    `SELECT body_hash AS "bodyHash", answer FROM idempotent_answers WHERE scope = $1 AND key = $2`,
    [scope, key],
  );
  if (earlier) {
    if (earlier.bodyHash !== bodyHash) throw new IdempotencyConflictError(key);
    return JSON.parse(earlier.answer) as Answer;
  }
  const answer = await work();
  await queries.run(
    `INSERT INTO idempotent_answers (scope, key, body_hash, answer, created_at, end_user, completion_id)
     VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [
      scope,
      key,
      bodyHash,
      JSON.stringify(answer),
      Date.now(),
      concerned.endUser ?? null,
      concerned.completionId ?? null,
    ],
  );
  return answer;
}
