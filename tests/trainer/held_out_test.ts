// What a run left behind for the next: none is not the same as none that can be read.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { readCheckpoint } from "../../services/trainer/checkpoint.ts";
import { PromptSet, readTrainedPrompts, writeTrainedPrompts } from "../../services/trainer/held_out.ts";
import { InputError } from "../../shared/errors.ts";
import { withFolder } from "../commands/run_task.ts";

Deno.test("an adapter's list of trained prompts that cannot be read is refused, not taken for an adapter that saw nothing", async () => {
  await withFolder(async (folder) => {
    assertEquals((await readTrainedPrompts(folder)).toJSON(), []);
    const key = "0123456789abcdef";
    await writeTrainedPrompts(folder, new PromptSet([key]));
    assert((await readTrainedPrompts(folder)).has(key));
    const path = join(folder, "trained_prompts.json");
    await Deno.remove(path);
    await Deno.mkdir(path);
    await assertRejects(() => readTrainedPrompts(folder), InputError, "trained_prompts.json");
  });
});

Deno.test("a checkpoint that cannot be looked at is refused, not taken for a run that has not begun", async () => {
  await withFolder(async (folder) => {
    const run = { key: "a", parts: {} } as unknown as Parameters<typeof readCheckpoint>[1];
    assertEquals(await readCheckpoint(folder, run, 1), undefined);
    await Deno.writeTextFile(join(folder, "checkpoint"), "");
    await assertRejects(() => readCheckpoint(folder, run, 1), InputError, "state.safetensors");
  });
});
