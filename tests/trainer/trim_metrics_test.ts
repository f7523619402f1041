// metrics.jsonl where a run is gone on with.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { trimMetrics } from "../../services/trainer/loop.ts";
import { InputError } from "../../shared/errors.ts";
import { withFolder } from "../commands/run_task.ts";

Deno.test("a run is not gone on with where metrics.jsonl has lost lines or is damaged, and the file stays as it is", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/metrics.jsonl`;
    const refused = async (words: string) => {
      const error = await assertRejects(() => trimMetrics(path, 2), InputError);
      assert(error.message.startsWith(`${path} ${words}, and the checkpoint is after step 2: `), error.message);
    };
    await refused("is missing or empty");
    await Deno.writeTextFile(path, '{"step":1}\n');
    await refused("has only 1 of 2 lines");
    await Deno.writeTextFile(path, '{"step":1}\n{"ste\n');
    await refused("is damaged");
    assertEquals(await Deno.readTextFile(path), '{"step":1}\n{"ste\n');
  });
});

Deno.test("lines beyond the checkpoint's step go, also a half one", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/metrics.jsonl`;
    await Deno.writeTextFile(path, '{"step":1}\n{"step":2}\n{"step":3}\n{"st');
    assertEquals<unknown>(await trimMetrics(path, 2), [{ step: 1 }, { step: 2 }]);
    assertEquals(await Deno.readTextFile(path), '{"step":1}\n{"step":2}\n');
    assertEquals(await trimMetrics(path, 0), []);
  });
});
