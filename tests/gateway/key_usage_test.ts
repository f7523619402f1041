// What a key may use in a day: requests and bytes, told in words, and counted over restarts, gateways and clocks.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { KeyUsage } from "../../services/gateway/key_usage.ts";
import { createKey, type NewKey } from "../../shared/store/keys.ts";
import { answer } from "./feedback_calls.ts";
import { type OpenGateway, withGateway } from "./open_gateway.ts";

const keysOn = { keysRequired: true, hosts: undefined };

async function keyFor({ gateway, call }: OpenGateway, key: NewKey) {
  const { id, secret } = await createKey(gateway.database, key);
  const headers = { Authorization: `Bearer ${secret}` };
  const ask: OpenGateway["call"] = (method, path, body, more) => call(method, path, body, { ...headers, ...more });
  return { id, ask };
}

const scopes = ["inference", "feedback"] as const;

Deno.test("a key's requests above its day are 429 with the limit's name and when to come again; probes are free", async () => {
  await withGateway({ options: keysOn, limits: { requests: 2, bytes: 0 } }, async (open) => {
    const usual = await keyFor(open, { scopes }), own = await keyFor(open, { scopes, requestsPerDay: 4 });
    const free = await keyFor(open, { scopes, requestsPerDay: 0 }), admin = await keyFor(open, { scopes: ["admin"] });
    const taken = async ({ ask }: typeof usual) => {
      let taken = 0;
      while (taken < 9 && (await ask("GET", "/v1/me")).status === 200) taken++;
      return taken;
    };
    assertEquals(await Promise.all([usual, own, free, admin].map(taken)), [2, 4, 9, 9]);
    const { status, json, headers } = await own.ask("GET", "/v1/models");
    assertEquals([status, json.error.code, json.error.type], [429, "quota_exceeded", "rate_limit_error"]);
    assertMatch(json.error.message, /4 requests of the day \(--requests-per-day\)/);
    const seconds = Number(headers.get("Retry-After"));
    assert(seconds > 0 && seconds <= 86_400);
    assertEquals((await own.ask("GET", "/healthz")).status, 200);
  });
});

Deno.test("a key cannot replace its thumb for ever: bodies count, whether their length is told or not", async () => {
  await withGateway({ options: keysOn }, async (open) => {
    const admin = await keyFor(open, { scopes: ["admin"] });
    const completion_id = await answer(admin.ask);
    const body = JSON.stringify({ completion_id, label: false, correction: "x".repeat(60_000) });
    for (const told of [true, false]) {
      const { ask } = await keyFor(open, { scopes, bytesPerDay: 200_000 });
      let taken = 0, refused;
      for (; taken < 9; taken++) {
        const sent = told ? body : new Blob([body]).stream();
        const length: Record<string, string> = told ? { "Content-Length": String(body.length) } : {};
        refused = await ask("POST", "/v1/feedback", sent, { "Content-Type": "application/json", ...length });
        if (refused.status === 429) break;
      }
      assertEquals(taken, 3, `told: ${told}`);
      assertMatch(refused!.json.error.message, /200000 bytes of request bodies of the day \(--bytes-per-day\)/);
      await open.call("DELETE", "/v1/feedback", undefined, {});
      const { json } = await admin.ask("GET", "/v1/feedback");
      await admin.ask("DELETE", `/v1/feedback/${json.data[0].id}`);
    }
  });
});

Deno.test("use counts over a restart and over two gateways, and a clock that is set back gives no second day", async () => {
  await withGateway({ options: keysOn }, async ({ gateway: { database } }) => {
    const { id } = await createKey(database, { scopes, requestsPerDay: 5 });
    const key = { id, scopes: [...scopes], name: null, owner: null, requestsPerDay: 5, bytesPerDay: null };
    const fail = (error: Error) => {
      throw error;
    };
    const start = () => new KeyUsage(database, { requests: 0, bytes: 0 }, fail);
    const use = async (usage: KeyUsage, times: number) => {
      let taken = 0;
      for (let i = 0; i < times; i++) if (await usage.count(key, 0) === undefined) taken++;
      return taken;
    };
    const one = start(), other = start();
    assertEquals([await use(one, 2), await use(other, 1)], [2, 1]);
    await one.close();
    await other.close();
    const again = start();
    assertEquals(await use(again, 1), 1);
    await again.close();
    const now = Date.now;
    try {
      Date.now = () => now() - 3 * 86_400_000;
      const back = start();
      assertEquals(await use(back, 9), 1);
      assert((await back.count(key, 0))!.seconds > 86_400);
      await back.close();
      Date.now = () => now() + 86_400_000;
      const tomorrow = start();
      assertEquals(await use(tomorrow, 9), 5);
      await tomorrow.close();
    } finally {
      Date.now = now;
    }
    assertEquals((await database.all("SELECT 1 AS one FROM key_usage")).length, 1, "days that are over are not kept");
  });
});

Deno.test("requests of a minute are counted by a clock that nobody sets", async () => {
  await withGateway({ options: { ...keysOn, rateLimit: 2 } }, async (open) => {
    const { ask } = await keyFor(open, { scopes });
    const now = Date.now, clock = performance.now;
    try {
      for (const expected of [200, 200, 429]) assertEquals((await ask("GET", "/v1/me")).status, expected);
      Date.now = () => now() - 3_600_000;
      const passed = clock.call(performance) + 61_000;
      performance.now = () => passed;
      assertEquals((await ask("GET", "/v1/me")).status, 200);
    } finally {
      Date.now = now;
      performance.now = clock;
    }
  });
});

Deno.test("where no key is needed nothing is counted", async () => {
  await withGateway({}, async (open) => {
    const { ask } = await keyFor(open, { scopes });
    for (let i = 0; i < 5; i++) assertEquals((await ask("GET", "/v1/me")).status, 200);
    await open.gateway.usage.close();
    assertEquals(await open.gateway.database.all("SELECT * FROM key_usage"), []);
  });
});
