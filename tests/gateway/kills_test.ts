// SIGKILL at random moments under load, over and over the same store: what was acknowledged is there afterwards.
// KILLS says how often (default 6).

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { findCompletion } from "../../shared/store/completions.ts";
import { openDatabase } from "../../shared/store/database.ts";
import { getLabel, labelHistory } from "../../shared/store/labels.ts";
import { withFolder } from "../commands/run_task.ts";
import { freePort, launchGateway, untilReady } from "./gateway_process.ts";
import { eventsOf } from "./open_gateway.ts";

const kills = Number(Deno.env.get("KILLS") ?? 6);

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** What clients were told, which the gateway may never forget. */
interface Promises {
  /** Thumbs by their id. */
  labels: Map<string, { label: boolean; version: number }>;
  /** Texts of answers whose last byte came, by their id. */
  answers: Map<string, string>;
  /** Refusals that no client should have seen: a gateway is there and well, not ready yet, or not there. */
  unexpected: string[];
}

/** Clients that press and ask without end, whatever happens to the gateway. */
function startLoad(address: string, completion: string) {
  const told: Promises = { labels: new Map(), answers: new Map(), unexpected: [] };
  let over = false, count = 0;
  const post = async (path: string, body: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(address + path, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
    if (response.ok) return response;
    const refusal = `${path}: ${response.status} ${await response.text()}`;
    if (response.status !== 503) told.unexpected.push(refusal);
    throw new Error(refusal);
  };
  const forever = async (turn: () => Promise<void>) => {
    // A connection that breaks is what this is about: the client comes again.
    while (!over) await turn().catch(() => pause(10));
  };
  /** Presses once, in as many tries as it takes; of two thumbs of one person the second replaces the first. */
  const press = async (end_user: string, label: boolean) => {
    const key = { "Idempotency-Key": `press ${count++}` };
    while (!over) {
      try {
        const response = await post("/v1/feedback", { completion_id: completion, label, end_user }, key);
        const { id, version } = await response.json();
        told.labels.set(id, { label, version });
        return;
      } catch {
        await pause(10);
      }
    }
  };
  const pressing = async (name: string) => {
    for (let i = 0; !over; i++) {
      await press(`${name} ${i}`, i % 2 === 0);
      if (i % 3 === 0) await press(`${name} ${i}`, i % 2 === 1);
    }
  };
  const ask = { model: "base", messages: [{ role: "user", content: "hello" }], max_tokens: 8 };
  const asking = () =>
    forever(async () => {
      const response = await post("/v1/chat/completions", ask);
      const { id, choices } = await response.json();
      told.answers.set(id, choices[0].message.content);
    });
  const streaming = () =>
    forever(async () => {
      const response = await post("/v1/chat/completions", { ...ask, stream: true });
      // deno-lint-ignore no-explicit-any -- chunks as clients read them
      const events = eventsOf(await response.text()) as any[];
      assertEquals(events.pop(), "[DONE]");
      told.answers.set(events[0].id, events.map(({ choices }) => choices[0].delta.content ?? "").join(""));
    });
  const clients = [...["ann", "bob", "cid", "dot"].map(pressing), asking(), asking(), streaming(), streaming()];
  return {
    told,
    async stop() {
      over = true;
      await Promise.all(clients);
    },
  };
}

Deno.test(`${kills} kills under load lose no acknowledged thumb, double none, and lose no answer whose end was sent`, async () => {
  await withFolder(async (folder) => {
    const port = freePort();
    let { address, running } = launchGateway(folder, { port });
    await untilReady(address, running);
    const first = await fetch(`${address}/v1/chat/completions`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ model: "base", messages: [{ role: "user", content: "hello" }] }),
    });
    const load = startLoad(address, (await first.json()).id);
    for (let kill = 0; kill < kills; kill++) {
      // Every other time it is killed while it starts or soon after, else in full swing.
      if (kill % 2 === 0) await untilReady(address, running);
      await pause(Math.random() * 1000);
      running.process.kill("SIGKILL");
      await running.ended;
      running = launchGateway(folder, { port }).running;
    }
    await untilReady(address, running);
    await load.stop();
    running.process.kill("SIGTERM");
    assertEquals((await running.ended).code, 0);

    const { labels, answers, unexpected } = load.told;
    assertEquals(unexpected, []);
    console.log(`${kills} kills, ${labels.size} thumbs and ${answers.size} answers acknowledged`);
    assert(labels.size > kills && answers.size > kills);
    const database = await openDatabase(`${folder}/data/prospect.sqlite`);
    for (const [id, { label, version }] of labels) {
      const kept = await getLabel(database, id);
      assert(kept, `the thumb ${id} is lost`);
      // A client that is stopped between tries may have pressed once more than it was told.
      if (kept.version === version) assertStrictEquals(kept.label, label);
      else assertStrictEquals(kept.version, version + 1);
      assert((await labelHistory(database, id)).length <= 2, "a retry was taken for a new thumb");
    }
    for (const [id, text] of answers) {
      assertStrictEquals((await findCompletion(database, id))?.choices[0]?.content, text, `the answer ${id} is lost`);
    }
    const [integrity] = await database.all<Record<string, string>>("PRAGMA integrity_check");
    assertEquals(Object.values(integrity!), ["ok"]);
    await database.close();
  });
});
