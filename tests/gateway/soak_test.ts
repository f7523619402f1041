// `bench soak` as a user runs it, for a few seconds, and what it makes of what it sees.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { Diary } from "../../services/gateway/bench/soak/honest.ts";
import { faults } from "../../services/gateway/bench/soak/soak.ts";
import { runTask, withFolder } from "../commands/run_task.ts";

Deno.test("errors of the server and broken connections are faults, 503 and refusals are none", () => {
  const diary = new Diary();
  for (const status of [200, 201, 400, 404, 429, 503] as const) diary.note("answer", status, 5);
  assertEquals(faults(diary.outcomes()), []);
  diary.note("answer", 500, 5);
  diary.note("list", "none", 5);
  diary.note("list", "none", 5);
  assertEquals(faults(diary.outcomes()), ["answer: 1 × 500", "list: 2 × no answer"]);
});

Deno.test("times are those of requests that succeeded", () => {
  const diary = new Diary();
  for (let milliseconds = 1; milliseconds <= 100; milliseconds++) diary.note("probe", 200, milliseconds);
  diary.note("probe", 503, 9999);
  const { requests, p50, p99, slowest, others } = diary.outcomes()["probe"]!;
  assertEquals({ requests, p50, p99, slowest, others }, {
    requests: 101,
    p50: 51,
    p99: 100,
    slowest: 100,
    others: { "503": 1 },
  });
});

Deno.test("bench soak tells of every kind of honest request, every hostile way, and memory", async () => {
  await withFolder(async (cache) => {
    const { code, stdout, stderr } = await runTask("bench", ["soak", "0.1", "--hostile", "1", "--json"], { cache });
    assertStrictEquals(code, 0, stderr);
    const result = stdout.trim().split("\n").map((line) => JSON.parse(line)).find(({ event }) => event === "soak");
    const kinds = ["answer", "export", "list", "probe", "statistics", "streamed answer", "thumb"];
    assertEquals(Object.keys(result.outcomes).sort(), kinds);
    assertEquals(result.memory.length, 12);
    assert(result.memory.every(({ residentBytes }: { residentBytes: number }) => residentBytes > 0));
    assert(Object.keys(result.attempts).length > 10);
    assert(Object.values<number>(result.attempts).every((count) => count > 0));
  });
});
