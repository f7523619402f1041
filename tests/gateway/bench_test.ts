// `bench gateway` as a user runs it, with tiny settings: that it measures what it says and says so. How fast anything is,
// no test asks.

import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { Connection, withConnections } from "../../services/gateway/bench/connection.ts";
import { quantile, slope } from "../../services/gateway/bench/statistics.ts";
import { runTask, withFolder } from "../commands/run_task.ts";

async function bench(...args: string[]) {
  let ended: Awaited<ReturnType<typeof runTask>> | undefined;
  await withFolder(async (cache) => {
    ended = await runTask("bench", ["gateway", ...args], { cache });
  });
  return ended!;
}

Deno.test("bench gateway prints all four measures, with their peer or bound", async () => {
  const { code, stdout, stderr } = await bench("--quick");
  assertStrictEquals(code, 0, stderr);
  assertMatch(stdout, /^prospect-world fp32, \d+ cores; load of the machine before: [\d.]+\.$/m);
  for (const name of ["transformers.js, 1 thread", "gateway, whole", "gateway, whole, not kept", "gateway, streamed"]) {
    assertMatch(stdout, new RegExp(`^${name}( +[\\d.,]+ ms){3}( +[+−][\\d.,]+%){2}$`, "m"));
  }
  assertMatch(stdout, /^transformers.js, its own threads .* \+0% +\+0%$/m, "the peer is not measured by itself");
  assertMatch(stdout, /^1 +[\d.,]+ +[\d.,]+ +1×$/m);
  assertMatch(stdout, /^2 +[\d.,]+ +[\d.,]+ +[\d.]+×$/m);
  assertMatch(stdout, /^gateway +[\d,.]+( +[\d.,]+ ms){3}$/m);
  assertMatch(stdout, /^store alone +[\d,.]+( +[\d.,]+ ms){2}$/m);
  assertMatch(
    stdout,
    /^Resident memory: \d+ MB at the start, \d+ MB after 40 requests, \d+ MB after 80 more: -?[\d,]+ bytes a request\.$/m,
  );
  assertMatch(stderr, /memory: 120\/120 requests/);
});

Deno.test("with --json the result of the measures asked for, and of no others, is one event", async () => {
  const { code, stdout, stderr } = await bench("concurrency", "labels", "--quick", "--json", "--workers", "1");
  assertStrictEquals(code, 0, stderr);
  const events = stdout.trim().split("\n").map((line) => JSON.parse(line));
  const results = events.filter(({ event }) => event === "bench");
  assertEquals(results.length, 1);
  const [{ concurrency, labels, overhead, memory, workers, tokens }] = results;
  assertEquals({ overhead, memory, workers, tokens }, {
    overhead: undefined,
    memory: undefined,
    workers: 1,
    tokens: 4,
  });
  assertEquals(concurrency.map(({ clients }: { clients: number }) => clients), [1, 2]);
  assertEquals(concurrency[0].ratio, 1);
  assert(labels.gateway.p50_milliseconds <= labels.gateway.p99_milliseconds);
  assertStrictEquals(labels.ratio, labels.gateway.per_second / labels.store.per_second);
});

Deno.test("a measure that there is not, or a model that is not there, ends with code 2", async () => {
  const unknown = await bench("speed");
  assertEquals(unknown.code, 2);
  assertMatch(unknown.stderr, /does not measure "speed", but any of overhead, concurrency, labels, memory/);
  const missing = await bench("labels", "--model", "/no/such/model");
  assertEquals(missing.code, 2);
  assertMatch(missing.stderr, /\/no\/such\/model/);
});

Deno.test("a connection reads answers that come in pieces or are longer than its room, one after another", async () => {
  const text = "é".repeat(100_000), bodies = [{ text }, { text: "short" }, { text }];
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    const asked = request.method === "POST" ? await request.json() : undefined;
    const path = new URL(request.url).pathname;
    return Response.json({ ...bodies[Number(path.slice(1))], asked }, { status: 201 });
  });
  try {
    await withConnections(`http://127.0.0.1:${server.addr.port}`, 1, async ([connection]) => {
      for (const [at, body] of bodies.entries()) {
        const answer = await (connection as Connection).send("POST", `/${at}`, { at });
        assertEquals(answer, { status: 201, body: { ...body, asked: { at } } });
      }
    });
  } finally {
    await server.shutdown();
  }
});

Deno.test("the line through points has their slope, and quantiles are of the sorted sample", () => {
  assertEquals(slope([{ x: 0, y: 7 }, { x: 10, y: 27 }, { x: 20, y: 47 }]), 2);
  assert(Math.abs(slope([{ x: 0, y: 1 }, { x: 1, y: 0 }, { x: 2, y: 1 }, { x: 3, y: 0 }]) + 0.2) < 1e-12);
  const sample = Array.from({ length: 100 }, (_, i) => 99 - i);
  assertEquals([quantile(sample, 0.5), quantile(sample, 0.99), quantile([3], 0.99)], [50, 99, 3]);
});
