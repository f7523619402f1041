// What is trained on and what is held out, on the embedded model's tokenizer.

import { assert, assertEquals } from "@std/assert";
import { prepareData } from "../../services/trainer/data.ts";
import { PromptSet } from "../../services/trainer/held_out.ts";
import { parseTrainSettings } from "../../services/trainer/settings.ts";
import { silent } from "../../shared/progress.ts";
import { embeddedModelFolder } from "../../shared/runtime/embedded_model.ts";
import { findModel, openModel } from "../../shared/runtime/open_model.ts";
import { withFolder } from "../commands/run_task.ts";

/** Prepares so many rows of a prompt each, of which an earlier adapter has seen the first ones. */
async function prepare(count: number, seen: number, settings = {}) {
  const model = openModel(await findModel(embeddedModelFolder, "auto", silent), "auto");
  let prepared: Awaited<ReturnType<typeof prepareData>>;
  await withFolder(async (folder) => {
    const path = `${folder}/rows.jsonl`;
    const row = (i: number) => ({ prompt: `question ${i}`, completion: ` answer ${i}`, label: i % 2 === 0 });
    await Deno.writeTextFile(path, Array.from({ length: count }, (_, i) => JSON.stringify(row(i)) + "\n").join(""));
    const parsed = parseTrainSettings({ out: folder, workers: 1, ...settings });
    const read = (before: PromptSet) => prepareData(path, model, parsed, before, silent);
    const { train, heldOut } = await read(new PromptSet());
    const keys = [...train, ...heldOut].filter(({ index }) => index < seen).map(({ promptKey }) => promptKey);
    prepared = await read(new PromptSet(keys));
  });
  return prepared!;
}

Deno.test("going on from an adapter that has seen most rows trains on at least half of the new ones", async () => {
  const { train, heldOut, notes } = await prepare(220, 200);
  assert(heldOut.every(({ index }) => index >= 200), "a row that the adapter knows is held out");
  assert(heldOut.length >= 8 && heldOut.length <= 10, `${heldOut.length} of 20 new rows are held out`);
  assertEquals(train.length, 220 - heldOut.length);
  const said = `of the other 20, ${heldOut.length} are held out and ${20 - heldOut.length} trained on`;
  assert(notes.some((note) => note.startsWith("200 of 220 rows") && note.includes(said)), notes.join("\n"));
});

Deno.test("where the adapter to go on from has seen every prompt, it is said that there is no fair measure", async () => {
  const { train, heldOut, warnings } = await prepare(30, 30);
  assertEquals([train.length, heldOut.length], [30, 0]);
  assert(warnings.some((warning) => /trained on every prompt here/.test(warning)), warnings.join("\n"));
});

Deno.test("a tenth is held out where nothing was seen before, and nobody is told of an earlier adapter", async () => {
  const { heldOut, notes } = await prepare(200, 0);
  assertEquals(heldOut.length, 20);
  assert(!notes.some((note) => /this run starts from/.test(note)));
});
