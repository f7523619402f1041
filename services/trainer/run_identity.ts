// What decides the numbers of a run: settings, model and rows. A checkpoint fits only the same, and where it does not,
// what differs is said. It does not know where checkpoints lie.

import { createHash } from "node:crypto";
import { z } from "zod";
import type { TokenizedRow } from "../../shared/feedback/tokenize.ts";
import { flagOf, type TrainSettings } from "./settings.ts";

/** Everything that decides the numbers of a run. */
export const runIdentitySchema = z.object({
  /** sha-256 over all of it. */
  key: z.string(),
  /** Those that decide; not paths, nor what only decides how fast it is. */
  settings: z.record(z.string(), z.unknown()),
  modelKey: z.string(),
  /** sha-256 over the rows. */
  rows: z.string(),
});

export type RunIdentity = z.infer<typeof runIdentitySchema>;

/** @param rows training rows, then held-out ones */
export function runIdentity(
  settings: TrainSettings,
  modelKey: string,
  rows: Iterable<Pick<TokenizedRow, "index" | "promptIds" | "completionIds" | "label">>,
): RunIdentity {
  const { resume: _, workers: __, out: ___, model: ____, data: _____, ...decisive } = settings;
  // As JSON.stringify([decisive, modelKey, rows]) writes it, row by row: all ids of a large file are no one string in V8.
  const whole = createHash("sha256").update(JSON.stringify([decisive, modelKey]).slice(0, -1) + ",[");
  const ofRows = createHash("sha256");
  let separator = "";
  for (const { index, promptIds, completionIds, label } of rows) {
    const text = separator + JSON.stringify([index, promptIds, completionIds, label]);
    whole.update(text);
    ofRows.update(text);
    separator = ",";
  }
  const key = whole.update("]]").digest("hex");
  // As a file gives it back.
  const kept = JSON.parse(JSON.stringify(decisive)) as Record<string, unknown>;
  return { key, settings: kept, modelKey, rows: ofRows.digest("hex") };
}

/** A setting as its flag: `--beta 0.1`, `no --max-steps`. */
function asFlag(name: string, value: unknown): string {
  if (value === undefined || value === false) return `no ${flagOf(name)}`;
  if (value === true) return flagOf(name);
  return `${flagOf(name)} ${Array.isArray(value) ? value.join(",") : String(value)}`;
}

/** How a checkpoint's run differs from the one that is asked for, in words; empty where it is the same. */
export function differences(before: RunIdentity, now: RunIdentity): string[] {
  const names = [...new Set([...Object.keys(before.settings), ...Object.keys(now.settings)])];
  const same = (name: string) => JSON.stringify(before.settings[name]) === JSON.stringify(now.settings[name]);
  const found = names.filter((name) => !same(name)).map((name) =>
    `${asFlag(name, before.settings[name])} where this one has ${asFlag(name, now.settings[name])}`
  );
  if (before.modelKey !== now.modelKey) found.push("another model, tokenizer or device");
  if (before.rows !== now.rows) found.push("other rows");
  return found.length === 0 && before.key !== now.key ? ["other settings"] : found;
}
