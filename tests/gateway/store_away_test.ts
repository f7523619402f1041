// A gateway whose store cannot be written to for a while: clients are told to come again, and so are probes.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout } from "node:timers/promises";
import { withGateway } from "./open_gateway.ts";

Deno.test("while the store cannot be written thumbs are 503 with Retry-After and readyz says so; then all is well", async () => {
  await withGateway({}, async ({ call, folder }) => {
    const question = { model: "base", messages: [{ role: "user", content: "hello" }], max_tokens: 2 };
    const { json: { id } } = await call("POST", "/v1/chat/completions", question);
    const thumb = { completion_id: id, label: true };
    assertEquals((await call("GET", "/readyz")).status, 200);
    const other = new DatabaseSync(join(folder, "store.sqlite"));
    try {
      other.exec("BEGIN IMMEDIATE");
      const refused = call("POST", "/v1/feedback", thumb);
      await setTimeout(1100);
      assertEquals((await call("GET", "/readyz")).status, 503);
      assertEquals((await call("GET", "/healthz")).status, 200);
      const { status, headers, json } = await refused;
      assertEquals([status, json.error.code], [503, "store_unavailable"]);
      assertMatch(headers.get("Retry-After")!, /^\d+$/);
      other.exec("ROLLBACK");
    } finally {
      other.close();
    }
    assertEquals((await call("POST", "/v1/feedback", thumb)).status, 201);
    for (const end = Date.now() + 10_000; (await call("GET", "/readyz")).status !== 200; await setTimeout(100)) {
      assert(Date.now() < end, "not ready again after ten seconds");
    }
  });
});
