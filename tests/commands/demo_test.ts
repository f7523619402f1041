// `deno task demo` in small: the whole loop, a page, and one line of JSON at the end.

import { assert, assertEquals, assertMatch, assertNotMatch, assertStrictEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { parseLines, runTask, startTask, withFolder } from "./run_task.ts";

Deno.test("the demo asks, trains, judges and asks again, leaves a page, and its last line is the result", () =>
  withFolder(async (folder) => {
    const args = ["--json", "--questions", 120, "--exam", 24, "--out", `${folder}/out`];
    const { code, stdout, stderr } = await runTask("demo", args, { cache: `${folder}/cache` });
    assertStrictEquals(code, 0, stderr);
    const result = parseLines(stdout).at(-1)!;
    assertEquals(Object.keys(result).sort(), ["after", "before", "gate", "seconds"]);
    for (const rate of [result.before, result.after]) assert(Number(rate) >= 0 && Number(rate) <= 1, `${rate}`);
    const { passed, auc, findings } = result.gate as Record<string, unknown>;
    assertEquals(typeof passed, "boolean");
    assertEquals(Object.keys(auc as object).sort(), ["high", "low", "value"]);
    assertEquals((findings as unknown[]).length, 7);
    const page = Deno.readTextFileSync(`${folder}/out/demo.html`);
    assertMatch(page, /A crowd tunes the embedded world/);
    assertNotMatch(page, /src="https?:|@import/, "it needs nobody else's server");
    assert(existsSync(`${folder}/out/data/prospect.sqlite`));
  }));

Deno.test("a demo that is kept tells its result before it says that its server runs on", () =>
  withFolder(async (folder) => {
    const args = ["--keep", "--questions", 40, "--exam", 8, "--out", `${folder}/out`];
    const { process, sees, ended } = startTask("demo", args, { cache: `${folder}/cache` });
    await sees("to look around", 1);
    process.kill("SIGTERM");
    const { code, stdout, stderr } = await ended;
    assertStrictEquals(code, 0, stderr);
    assertMatch(stdout, /desirable answers .*\n.*held-out AUC[^]*to look around/);
  }));

Deno.test("a demo that cannot keep its data says so in a sentence, and leaves no server behind", () =>
  withFolder(async (folder) => {
    Deno.writeTextFileSync(`${folder}/file`, "");
    const args = ["--json", "--out", `${folder}/file/out`];
    const { code, stderr } = await runTask("demo", args, { cache: `${folder}/cache` });
    assert(code !== 0 && code !== 130, `${code}`);
    assertMatch(stderr.trim().split("\n").at(-1)!, /file\/out/);
  }));
