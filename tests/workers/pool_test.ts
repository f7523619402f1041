// The pool's promises, on workers that fail when told to: order, names, one more try, and an end that says why.

import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { WorkerFailure, WorkerPool } from "../../workers/pool.ts";
import { behaviour } from "./scripted_worker.ts";

const url = new URL("./scripted_worker.ts", import.meta.url);

interface Share {
  value: number;
  what?: keyof typeof behaviour;
  /** Numbers of the workers that misbehave. */
  workers?: number[];
}

async function withPool(size: number, use: (pool: WorkerPool, warnings: string[]) => Promise<void>): Promise<void> {
  const warnings: string[] = [];
  const pool = await WorkerPool.start(size, (sentence) => warnings.push(sentence), url);
  try {
    await use(pool, warnings);
  } finally {
    await pool.stop();
  }
}

/** Runs shares and returns the answers: value, worker number, setups. */
const run = (pool: WorkerPool, shares: Share[], onDone?: (share: Share) => void): Promise<number[][]> =>
  pool.map(shares, async (worker, { value, what = "answer", workers = [] }) => {
    return [...await worker.scoreStock({ promptIds: [behaviour[what], value], completionIds: workers })];
  }, onDone);

const values = (answers: number[][]) => answers.map(([value]) => value);
const upTo = (count: number) => Array.from({ length: count }, (_, value) => ({ value }));
const setUp = (pool: WorkerPool, mark: number) =>
  pool.prepare(async (worker) => await worker.openStock({ folder: "", dtype: `${mark}`, device: "cpu" }));

Deno.test("results come in the order of the shares, whoever was first, and every worker takes part", async () => {
  await withPool(3, async (pool, warnings) => {
    const done: number[] = [];
    const answers = await run(pool, upTo(12), ({ value }) => done.push(value));
    assertEquals(values(answers), upTo(12).map(({ value }) => value));
    assertNotEquals(done, values(answers), "the slow first share was not overtaken");
    assertEquals([...done].sort((a, b) => a - b), values(answers));
    assertEquals(new Set(answers.map(([, worker]) => worker)), new Set([1, 2, 3]));
    assertEquals(warnings, []);
  });
});

Deno.test("fewer shares than workers, or none, are no problem", async () => {
  await withPool(2, async (pool) => {
    assertEquals(await run(pool, []), []);
    assertEquals(values(await run(pool, [{ value: 7 }])), [7]);
  });
});

const failures = {
  throw: { verb: "throws", reason: /thrown over 2/ },
  die: { verb: "dies outside a call", reason: /died of 2/ },
  close: { verb: "closes itself", reason: /ended without a word/ },
  exit: { verb: "exits", reason: /ended without a word/ },
} as const;

for (const what of ["throw", "die", "close", "exit"] as const) {
  const { verb, reason } = failures[what];

  Deno.test(`a worker that ${verb} is named, its share is tried once more on a fresh one, and the run goes on`, async () => {
    await withPool(2, async (pool, warnings) => {
      await setUp(pool, 41);
      await setUp(pool, 42);
      const shares: Share[] = upTo(8);
      shares[2] = { value: 2, what, workers: [1, 2] };
      const answers = await run(pool, shares);
      assertEquals(values(answers), upTo(8).map(({ value }) => value));
      assertEquals(warnings.length, 1);
      assertMatch(warnings[0]!, /^worker [12] failed \(.*\); its share is tried once more on a fresh worker\.$/);
      assertMatch(warnings[0]!, reason);
      assertEquals(answers[2]![1], 3, "the share was not tried on a fresh worker");
      for (const answer of answers) assertEquals(answer.slice(2), [41, 42], "setups differ between workers");
      assertEquals(values(await run(pool, upTo(4))), [0, 1, 2, 3], "the pool is of no more use");
    });
  });

  Deno.test(`a share whose second worker ${verb} too ends the run with both names and reasons`, async () => {
    await withPool(2, async (pool, warnings) => {
      const shares: Share[] = upTo(1000);
      shares[2] = { value: 2, what, workers: [1, 2, 3] };
      const started: number[] = [];
      const error = await assertRejects(() => run(pool, shares, ({ value }) => started.push(value)), WorkerFailure);
      assertMatch(error.message, /^worker [12] failed \(.*\), then worker 3 failed too \(.*\)\.$/);
      assertEquals(error.message.match(new RegExp(reason, "g"))?.length, 2);
      assertEquals(warnings.length, 1);
      assert(started.length < 999, "the shares that were left were done all the same");
    });
  });
}

Deno.test("a replacement that cannot be set up counts as the second failure", async () => {
  await withPool(1, async (pool) => {
    let times = 0;
    await pool.prepare(async (worker) => {
      if (++times > 1) throw new Error("no memory left");
      await worker.openStock({ folder: "", dtype: "1", device: "cpu" });
    });
    await assertRejects(
      () => run(pool, [{ value: 1, what: "throw", workers: [1] }]),
      Error,
      "worker 1 failed (thrown over 1), then worker 2 failed too (no memory left)",
    );
  });
});

const prepareExcept = (pool: WorkerPool, workers: number[], how = "7") =>
  pool.prepare(async (worker) => await worker.openStock({ folder: workers.join(" "), dtype: how, device: "cpu" }));

for (
  const [verb, how, reason] of [["throws in", "7", /no set-up for 2/], ["ends in", "close", /ended without a word/]]
) {
  Deno.test(`a worker that ${verb} its first set-up is named and replaced, and the others are set up once`, async () => {
    await withPool(3, async (pool, warnings) => {
      await prepareExcept(pool, [2], how as string);
      assertEquals(warnings.length, 1);
      assertMatch(warnings[0]!, /^worker 2 failed \(.*\); its set-up is tried once more on a fresh worker\.$/);
      assertMatch(warnings[0]!, reason as RegExp);
      const answers = await run(pool, upTo(12));
      assertEquals(new Set(answers.map(([, worker]) => worker)), new Set([1, 3, 4]));
      for (const answer of answers) assertEquals(answer.length, 3, "a worker was set up twice, or not at all");
    });
  });
}

Deno.test("a first set-up that fails on a worker and on its replacement ends the run with both names", async () => {
  await withPool(2, async (pool) => {
    assertMatch(
      (await assertRejects(() => prepareExcept(pool, [2, 3]), WorkerFailure)).message,
      /^worker 2 failed \(no set-up for 2\), then worker 3 failed too \(no set-up for 3\)\.$/,
    );
  });
});
