// What a sandboxed worker may do, and what becomes of one that loops, throws or dies.

import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import process from "node:process";
import { InputError } from "../../shared/errors.ts";
import { DeadlineError, SandboxedWorker, type SandboxOptions } from "../../workers/sandboxed_worker.ts";
import type { LooseWorker } from "./loose_worker.ts";

const deadline = 20_000;

async function withWorker(
  options: SandboxOptions<LooseWorker>,
  use: (worker: SandboxedWorker<LooseWorker>) => Promise<void>,
): Promise<void> {
  const worker = new SandboxedWorker<LooseWorker>(new URL("./loose_worker.ts", import.meta.url), "loose", options);
  try {
    await use(worker);
  } finally {
    worker.end();
  }
}

/** Processor time of this process in seconds, of all its threads. */
function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

Deno.test("a sandboxed worker may read, write, listen, run, ask, call and know nothing", async () => {
  await withWorker({}, async (worker) => assertEquals(await worker.call("tryAll", [], deadline), []));
});

Deno.test("a sandboxed worker that is given one file reads that one and none beside it", async () => {
  const folder = await Deno.makeTempDir();
  const given = `${folder}/given, with a comma.txt`, other = `${folder}/other.txt`;
  for (const path of [given, other]) await Deno.writeTextFile(path, "text");
  try {
    await withWorker({ permissions: { read: [given] } }, async (worker) => {
      assertEquals(await worker.call("readText", [given], deadline), "text");
      const refused = await assertRejects(() => worker.call("readText", [other], deadline), Error);
      assertEquals(refused.name, "NotCapable");
      assertEquals(await worker.call("tryAll", [], deadline), []);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

for (const where of ["code", "caught", "pattern", "sort"] as const) {
  Deno.test(`a worker that loops in ${where} ends at its deadline, uses no processor after it, and the next call works`, async () => {
    await withWorker({}, async (worker) => {
      await worker.call("mark", [7], deadline);
      const looping = worker.call("loop", [where], 300), waiting = worker.call("marked", [], deadline);
      assertEquals((await assertRejects(() => looping, DeadlineError)).message, "it took longer than 300 ms");
      assertStrictEquals(await waiting, 0, "what the loop left behind is gone");
      const before = processorTime();
      await new Promise((resolve) => setTimeout(resolve, 1000));
      assert(processorTime() - before < 0.5, "the loop goes on");
    });
  });
}

Deno.test("a fresh worker is set up before its next call", async () => {
  await withWorker({ setUp: (call) => call("mark", [3], deadline) }, async (worker) => {
    assertEquals(await worker.call("marked", [], deadline), 3);
    await worker.call("mark", [4], deadline);
    await assertRejects(() => worker.call("loop", ["code"], 100), DeadlineError);
    assertEquals(await worker.call("marked", [], deadline), 3);
  });
});

Deno.test("errors of a worker's functions arrive as they are, and the worker stays", async () => {
  await withWorker({}, async (worker) => {
    await worker.call("mark", [5], deadline);
    assertEquals(
      (await assertRejects(() => worker.call("refuse", [], deadline), InputError)).message,
      "Not this; try that.",
    );
    const broken = await assertRejects(() => worker.call("break", [], deadline), Error);
    assertEquals([broken.name, broken.message], ["RangeError", "broken"]);
    await assertRejects(() => worker.call("later", [], deadline), Error, "later is not synchronous");
    assertEquals(await worker.call("marked", [], deadline), 5);
  });
});

Deno.test("a worker that dies or cannot be set up fails its call, not the next", async () => {
  let broken = true;
  const setUp = async () => {
    if (broken) throw new InputError("no tokenizer");
    await Promise.resolve();
  };
  await withWorker({ setUp }, async (worker) => {
    assertEquals((await assertRejects(() => worker.call("marked", [], deadline), InputError)).message, "no tokenizer");
    broken = false;
    await worker.call("die", [], deadline);
    assertMatch(
      String(await assertRejects(() => worker.call("loop", ["code"], 1000))),
      /loose failed: .*no more|longer than/,
    );
    assertStrictEquals(await worker.call("marked", [], deadline), 0);
  });
});

Deno.test("calls after the end fail", async () => {
  await withWorker({}, async (worker) => {
    await worker.call("marked", [], deadline);
    worker.end();
    await assertRejects(() => worker.call("marked", [], deadline), Error, "loose has ended");
  });
});
