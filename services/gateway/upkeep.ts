// What a gateway tidies while it runs: once at its start, then every minute. It knows no routes, and nothing that is asked
// waits for it.

import { join } from "node:path";
import { dropAbandoned } from "../../shared/store/completions_under_way.ts";
import type { Database } from "../../shared/store/database.ts";
import { dropJudged } from "../../shared/store/completions.ts";
import { forgetInRuns } from "../../shared/store/forget_in_runs.ts";
import { dropOldForgotten, forgottenMark } from "../../shared/store/forgotten.ts";
import { deleteExpiredAnswers } from "../../shared/store/idempotency.ts";
import { endKilledImports } from "../../shared/store/imports.ts";
import { compactEvents, deleteJobEvents, deleteUnjudged, finishedTraces } from "../../shared/store/retention.ts";
import { removeUnnamedFiles } from "./adapters_by_hand.ts";
import { removeLeftovers } from "./data_folder.ts";
import type { Gateway } from "./gateway.ts";

/** In milliseconds. */
const interval = 60_000;

/** No answer is under way for longer, in milliseconds: its gateway was killed. */
const longestAnswer = 24 * 60 * 60 * 1000;

/** Begins. @returns what ends it, once what it is at is done */
export function startUpkeep({ database, dataFolder, log, options: { keepDays } }: Gateway): () => Promise<void> {
  let stopped = false, judged = 0, overwritten = 0, running: Promise<void> | undefined;
  const chores: (() => Promise<void>)[] = [
    () => removeLeftovers(dataFolder),
    () => removeUnnamedFiles(database, dataFolder),
    () => forgetInRuns(database, dataFolder),
    async () => void (overwritten = await overwrite(database, overwritten)),
    () => dropAbandoned(database, Date.now() - longestAnswer),
    () => dropOldForgotten(database),
    () => untilNone(() => deleteExpiredAnswers(database), () => stopped),
    () => untilNone(() => compactEvents(database), () => stopped),
    () => letGo(database, dataFolder, keepDays, () => stopped),
    () => endKilled(database),
    async () => void (judged = await dropJudged(database, judged)),
  ];
  const round = async () => {
    for (const chore of chores) {
      await chore().catch((error) => log.error("upkeep failed", { error: String(error) }));
    }
  };
  const begin = () => {
    running ??= round().finally(() => running = undefined);
  };
  const timer = setInterval(begin, interval);
  begin();
  return async () => {
    stopped = true;
    clearInterval(timer);
    await running;
  };
}

/** Empties the log after deletions. @returns the last that this is done for */
async function overwrite(database: Database, last: number): Promise<number> {
  const mark = await forgottenMark(database);
  return mark > last && await database.emptyLog() ? mark : last;
}

/** Imports that are under way hold the lock. */
async function endKilled(database: Database): Promise<void> {
  const lock = await database.lock("import");
  if (lock) await endKilledImports(database).finally(() => lock.release());
}

/** In many small writes: others get their turn between them. */
async function untilNone(deleteSome: () => Promise<number>, stopped: () => boolean): Promise<void> {
  while (await deleteSome() > 0 && !stopped());
}

/** Deletes what is older than it is to be kept: answers that nobody judged, and traces of jobs that left nothing. */
async function letGo(database: Database, dataFolder: string, keepDays: number, stopped: () => boolean): Promise<void> {
  if (keepDays === 0) return;
  const before = Date.now() - keepDays * 24 * 60 * 60 * 1000;
  await untilNone(() => deleteUnjudged(database, before), stopped);
  for (const id of await finishedTraces(database, before)) {
    await Deno.remove(join(dataFolder, "runs", id), { recursive: true }).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
    await deleteJobEvents(database, id);
  }
}
