// Which rows are old, on the embedded model.

import assert from "node:assert/strict";
import { measureStaleness } from "../../../services/trainer/service/measure_staleness.ts";
import type { LabelRow } from "../../../services/trainer/service/training_file.ts";
import { withoutStale } from "../../../shared/feedback/hygiene.ts";
import { silent } from "../../../shared/progress.ts";
import { trainerSettings } from "./trainer_settings.ts";

/** An answer of one token that was as good as certain when it was given, or about as likely as it is now. */
const answered = (row: string, log_prob: number) => ({
  row,
  prompt: "hello",
  completion: " yes",
  label: true,
  log_prob,
  completion_tokens: 1,
} as LabelRow);

Deno.test("dropping stale rows drops each of several that say the same, and no other", async () => {
  const stale = [answered("a", 90), answered("b", 90), answered("c", 90)];
  const settings = trainerSettings({ workers: 1 });
  const measured = await measureStaleness(settings, stale, true, silent, () => false);
  assert.equal(measured.measured, 3);
  const rows = stale.map(({ row }) => ({ id: row }));
  assert.deepEqual(withoutStale(rows, measured, 50), []);
  assert.deepEqual(withoutStale(rows, measured, 1000), rows);
});
