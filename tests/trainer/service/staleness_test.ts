// Which rows are old, on the embedded model.

import { assertEquals, assertNotStrictEquals } from "@std/assert";
import { cp } from "node:fs/promises";
import { measureStaleness } from "../../../services/trainer/service/measure_staleness.ts";
import type { LabelRow } from "../../../services/trainer/service/training_file.ts";
import { withoutStale } from "../../../shared/feedback/hygiene.ts";
import { silent } from "../../../shared/progress.ts";
import { embeddedModelFolder } from "../../../shared/runtime/embedded_model.ts";
import { withFolder } from "../../commands/run_task.ts";
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
  assertEquals(measured.measured, 3);
  const rows = stale.map(({ row }) => ({ id: row }));
  assertEquals(withoutStale(rows, measured, 50), []);
  assertEquals(withoutStale(rows, measured, 1000), rows);
});

Deno.test("the age of an answer is measured after the prompt that its row's template arguments make", async () => {
  await withFolder(async (folder) => {
    await cp(embeddedModelFolder, folder, { recursive: true });
    await Deno.writeTextFile(
      `${folder}/chat_template.jinja`,
      "{{ mood }} {% for m in messages %}{{ m.content }} {% endfor %}",
    );
    const settings = trainerSettings({ workers: 1, model: folder });
    const said = (role: string, content: string) => [{ role, content }];
    const rows = [{}, { mood: "good" }].map((chat_template_kwargs, i): LabelRow => ({
      ...answered(`${i}`, -1),
      prompt: said("user", "hello"),
      completion: said("assistant", "yes"),
      chat_template_kwargs,
    }));
    const { moved } = await measureStaleness(settings, rows, true, silent, () => false);
    assertEquals(moved.size, 2);
    assertNotStrictEquals(moved.get("0"), moved.get("1"));
  });
});
