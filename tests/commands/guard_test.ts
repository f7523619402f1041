// `bench guard` as a user runs it, with tiny settings, against the commit that is checked out.

import { assert, assertEquals, assertMatch, assertNotMatch, assertStrictEquals } from "@std/assert";
import { runTask, withFolder } from "./run_task.ts";

const noRepository = !(await Deno.stat(new URL("../../.git", import.meta.url)).catch(() => undefined));

Deno.test({
  name: "bench guard reads every measure of both trees and leaves no tree behind",
  ignore: noRepository,
  fn: () =>
    withFolder(async (cache) => {
      const { code, stdout, stderr } = await runTask("bench", ["guard", "HEAD", "--quick", "--rounds", "1", "--json"], {
        cache,
      });
      assertStrictEquals(code, 0, stderr);
      const { measures } = stdout.trim().split("\n").map((line) => JSON.parse(line)).find(({ event }) =>
        event === "guard"
      );
      const names = measures.map(({ name }: { name: string }) => name.replace(/^.*: /, ""));
      assertEquals(names, [
        "first token",
        "decode, 1 at a time",
        "decode, 4 at a time",
        "decode, 16 at a time",
        "durable thumbs",
        "score 40 rows",
        "train 2 steps",
      ]);
      for (const { readings } of measures) {
        assert(readings.before[0] > 0 && readings.now[0] > 0);
      }
      const trees = await new Deno.Command("git", { args: ["worktree", "list"] }).output();
      assertNotMatch(new TextDecoder().decode(trees.stdout), /prospect-guard-/);
    }),
});

Deno.test({
  name: "bench guard refuses what is no commit in one sentence",
  ignore: noRepository,
  fn: () =>
    withFolder(async (cache) => {
      const { code, stderr } = await runTask("bench", ["guard", "no-such-commit"], { cache });
      assertEquals(code, 2);
      assertMatch(stderr, /There is no commit "no-such-commit" here/);
    }),
});
