// What a checkpoint is held against, and what is said where it does not fit.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { differences, runIdentity } from "../../services/trainer/run_identity.ts";
import { parseTrainSettings } from "../../services/trainer/settings.ts";

const rows = [
  { index: 0, promptIds: [1, 2], completionIds: [3], label: true },
  { index: 4, promptIds: [1], completionIds: [5, 6], label: false },
];
const settings = parseTrainSettings({ out: "runs/x", beta: 0.1 });

Deno.test("a run's key is the one that checkpoints of before have, over settings, model and rows as one JSON text", () => {
  const { resume: _, workers: __, out: ___, model: ____, data: _____, ...decisive } = settings;
  for (const some of [rows, rows.slice(1), []]) {
    const ids = some.map(({ index, promptIds, completionIds, label }) => [index, promptIds, completionIds, label]);
    const text = JSON.stringify([decisive, "model", ids]);
    assertStrictEquals(runIdentity(settings, "model", some).key, createHash("sha256").update(text).digest("hex"));
  }
});

Deno.test("a run's key is made without a string that holds more than one row", (t) => {
  const stringify = JSON.stringify;
  let longest = 0;
  JSON.stringify = ((...args: Parameters<typeof stringify>) => {
    const text = stringify(...args);
    longest = Math.max(longest, text?.length ?? 0);
    return text;
  }) as typeof stringify;
  try {
    runIdentity(settings, "model", Array.from({ length: 2000 }, (_, index) => ({ ...rows[0]!, index })));
  } finally {
    JSON.stringify = stringify;
  }
  assert(longest < 2000, `${t.name}: ${longest} characters`);
});

Deno.test("where a checkpoint is of other settings, each is named with both values", () => {
  const before = runIdentity(settings, "model", rows);
  const other = { ...settings, beta: 0.2, maxSteps: 7, full: true, targetModules: ["q_proj", "v_proj"] };
  const now = runIdentity(other, "another", rows.slice(1));
  assertEquals(differences(before, now), [
    "--beta 0.1 where this one has --beta 0.2",
    "--target-modules all-linear where this one has --target-modules q_proj,v_proj",
    "no --full where this one has --full",
    "no --max-steps where this one has --max-steps 7",
    "another model, tokenizer or device",
    "other rows",
  ]);
  assertEquals(differences(before, before), []);
  const elsewhere = runIdentity({ ...settings, out: "elsewhere", workers: 3, resume: true }, "model", rows);
  assertStrictEquals(elsewhere.key, before.key);
  assertEquals(differences(before, elsewhere), []);
});
