// Commands that write to a place where another one is at work.

import { assertEquals } from "@std/assert";
import { lockOutputFolder, lockOutputPath } from "../../shared/output_lock.ts";
import { runTask, withFolder } from "./run_task.ts";

Deno.test("a command whose --out another one is writing to ends with 2 and one sentence, and leaves the place alone", async () => {
  await withFolder(async (cache) => {
    const out = `${cache}/out`, scores = `${cache}/scores.jsonl`, data = `${cache}/data.jsonl`;
    await Deno.mkdir(out);
    await Deno.writeTextFile(data, JSON.stringify({ prompt: "hello", completion: "hi", label: true }) + "\n");
    using _folder = await lockOutputFolder(out);
    using _file = await lockOutputPath(scores);
    const commands: [string, (string | number)[], string][] = [
      ["train", ["--out", out], out],
      ["pretrain", ["--out", out], out],
      ["score", ["--data", data, "--out", scores, "--workers", 1], scores],
    ];
    for (const [task, args, place] of commands) {
      const { code, stderr } = await runTask(task, args, { cache });
      assertEquals(code, 2, stderr);
      assertEquals(
        stderr,
        `${place}: another command is writing here; wait until it has ended, or choose another --out.\n`,
      );
    }
    assertEquals([...Deno.readDirSync(out)].map(({ name }) => name), [".writing.lock"]);
  });
});
