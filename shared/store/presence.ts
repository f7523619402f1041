// What gateway and trainer let each other know: which base model is served, and when a trainer was last at work. Does not
// know what either does with it.

import type { Database, Queries } from "./queries.ts";

/** How often a trainer says that it is there, in milliseconds. */
export const trainerInterval = 5000;

/**
 * A trainer that was not seen for so long is not at work, in milliseconds. Compiling a large model keeps one from saying
 * anything for some seconds.
 */
const longestSilence = 30_000;

/** Notes which base model is served from now on, as `name@sha-256`. */
export async function noteServedBase(database: Database, base: string): Promise<void> {
  await note(database, "gateway", base);
}

/** The base model that is served; undefined where no gateway has said so yet. */
export async function servedBase(queries: Queries): Promise<string | undefined> {
  return (await find(queries, "gateway"))?.base ?? undefined;
}

/** Notes that a trainer is at work. */
export async function noteTrainer(database: Database): Promise<void> {
  await note(database, "trainer", null);
}

/** Whether a trainer is at work. */
export interface TrainerPresence {
  /** When it was last seen, in milliseconds since 1970; null where none ever was. */
  seenAt: number | null;
  /** How long ago that is, in milliseconds; negative where the clock was set back since. */
  silence: number | null;
  atWork: boolean;
}

export async function trainerPresence(queries: Queries): Promise<TrainerPresence> {
  const seenAt = (await find(queries, "trainer"))?.seenAt ?? null;
  const silence = seenAt === null ? null : Date.now() - seenAt;
  // From a time to come: the clock was set back, and the trainer has said nothing since.
  return { seenAt, silence, atWork: silence !== null && Math.abs(silence) < longestSilence };
}

/** What those who wait for a trainer should know: a sentence where none is at work, null where one is. */
export async function trainerNotice(queries: Queries): Promise<string | null> {
  const { silence, atWork } = await trainerPresence(queries);
  if (atWork) return null;
  const since = silence === null
    ? "yet"
    : silence < 0
    ? "since the clock was set back"
    : `for ${Math.floor(silence / 1000)} s`;
  return `No trainer has been seen ${since}: the job waits until one is at work (deno task trainer, or serve).`;
}

async function note(database: Database, service: string, base: string | null): Promise<void> {
  await database.run(
    `INSERT INTO presence (service, seen_at, base) VALUES ($1, $2, $3)
     ON CONFLICT (service) DO UPDATE SET seen_at = excluded.seen_at, base = excluded.base`,
    [service, Date.now(), base],
  );
}

interface Presence {
  /** Milliseconds since 1970. */
  seenAt: number;
  base: string | null;
}

async function find(queries: Queries, service: string): Promise<Presence | undefined> {
  const sql = 'SELECT seen_at AS "seenAt", base FROM presence WHERE service = $1';
  return await queries.get<Presence>(sql, [service]);
}
