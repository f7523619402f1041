// An evaluation of the model itself: nothing was trained, so nothing can be told apart.

import { assertEquals, assertStrictEquals } from "@std/assert";
import { evaluate } from "../../services/trainer/evaluate.ts";
import { silent } from "../../shared/progress.ts";
import { embeddedModelFolder } from "../../shared/runtime/embedded_model.ts";
import { withFolder } from "../commands/run_task.ts";

Deno.test("without an adapter the AUC is a half and every reward 0, by definition and not by measuring", async () => {
  await withFolder(async (folder) => {
    const data = `${folder}/rows.jsonl`;
    const row = (i: number) => ({ prompt: `hello ${i}`, completion: ` yes ${i}`, label: i % 3 === 0 });
    await Deno.writeTextFile(data, Array.from({ length: 9 }, (_, i) => JSON.stringify(row(i)) + "\n").join(""));
    const { auc, margin, rewards, counts } = await evaluate({
      model: embeddedModelFolder,
      adapter: undefined,
      data,
      dtype: "auto",
      device: "cpu",
      workers: 1,
      maxLength: 64,
      beta: 0.1,
      seed: 1,
    }, silent);
    assertEquals(auc, { value: 0.5, low: 0.5, high: 0.5 });
    assertStrictEquals(margin, 0);
    assertEquals(rewards, { chosen: 0, rejected: 0 });
    assertEquals(counts, { desirable: 3, undesirable: 6 });
  });
});
