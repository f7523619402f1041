// Promotion against a real gateway: streams go on, nothing is mixed, and whatever a crash cuts short is old or new.
// KILLS says how often the gateway is killed (default 5).

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { openDatabase } from "../../../shared/store/database.ts";
import { withFolder } from "../../commands/run_task.ts";
import { freePort, type GatewayProcess, neverEnding, startGatewayProcess } from "../../gateway/gateway_process.ts";
import { eventsOf } from "../../gateway/open_gateway.ts";
import { type Body, type Client, clientOf, crash, modelFlags, pause } from "./service_processes.ts";
import { registerSmallAdapters } from "./small_adapters.ts";

const kills = Number(Deno.env.get("KILLS") ?? 5);

/** Hands out a folder whose store has the adapters a and b. */
const withAdapters = (use: (folder: string) => Promise<void>) =>
  withFolder(async (folder) => {
    const database = await openDatabase(`${folder}/data/prospect.sqlite`);
    await registerSmallAdapters(database, `${folder}/data`, ["a", "b"]);
    await database.close();
    await use(folder);
  });

/** Greedy answers that go on to their last token, so that each model has one text for each question. */
const question = (i: number, logit_bias: Record<string, number>, max_tokens: number) => ({
  messages: [{ role: "user", content: `question ${i}` }],
  temperature: 0,
  max_tokens,
  logit_bias,
});

const promote = ({ ask }: Client, model: string) => ask("POST", "/v1/registry/promote", { model });

Deno.test("promotion and rollback under 16 streams drop none and mix none, and the next answer is the new model's", () =>
  withAdapters(async (folder) => {
    const gateway = await startGatewayProcess(folder, { args: modelFlags });
    const client = clientOf(gateway.address), bias = await neverEnding(), tokens = 240;
    try {
      const models = ["base", "base:a", "base:b"];
      const textOf = async (model: string, i: number, length = tokens) =>
        (await client.ask("POST", "/v1/chat/completions", { model, ...question(i, bias, length) })).choices[0].message
          .content as string;
      const expected = new Map<string, string[]>();
      for (const model of models) {
        expected.set(model, await Promise.all(Array.from({ length: 16 }, (_, i) => textOf(model, i))));
      }
      for (let i = 0; i < 16; i++) assertEquals(new Set(models.map((model) => expected.get(model)![i])).size, 3);

      const moves: [string, () => Promise<Body>, string][] = [
        ["base", () => promote(client, "base:a"), "base:a"],
        ["base:a", () => promote(client, "base:b"), "base:b"],
        ["base:b", () => client.ask("POST", "/v1/registry/rollback", {}), "base:a"],
        ["base:a", () => client.ask("POST", "/v1/registry/rollback", {}), "base"],
      ];
      for (const [before, move, after] of moves) {
        const streams = await startStreams(gateway, (i) => question(i, bias, tokens));
        assertStrictEquals((await move()).current, after);
        assertStrictEquals(streams.ended(), 0, "they must have been under way");
        const next = await textOf("prospect", 3, 12);
        assert(expected.get(after)![3]!.startsWith(next), `${before} to ${after}: the next answer is another's`);
        const texts = await streams.all;
        texts.forEach((text, i) =>
          assertStrictEquals(text, expected.get(before)![i], `${before} to ${after}: stream ${i}`)
        );
      }
    } finally {
      await gateway.stop();
    }
  }));

/** 16 streams of the alias, all begun when this resolves; `all` are their texts. */
async function startStreams({ address }: GatewayProcess, body: (i: number) => Record<string, unknown>) {
  let ended = 0;
  const begun: Promise<void>[] = [];
  const read = async (i: number, begin: () => void) => {
    const response = await fetch(`${address}/v1/chat/completions`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ model: "prospect", stream: true, ...body(i) }),
    });
    assertEquals(response.status, 200);
    let text = "";
    for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
      text += piece;
      if (/"content":"[^"]/.test(text)) begin();
    }
    ended++;
    const events = eventsOf(text) as Body[];
    assertEquals(events.pop(), "[DONE]");
    return events.map(({ choices }) => choices[0].delta.content ?? "").join("");
  };
  const all = Promise.all(Array.from({ length: 16 }, (_, i) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    begun.push(promise);
    return read(i, resolve);
  }));
  await Promise.race([Promise.all(begun), all]);
  return { all, ended: () => ended };
}

Deno.test(`${kills} kills of a gateway that promotes without end leave the old model or the new one, log and alias as one`, () =>
  withAdapters(async (folder) => {
    const port = freePort(), start = () => startGatewayProcess(folder, { args: modelFlags, port });
    let gateway = await start();
    const client = clientOf(gateway.address);
    let told = "base", acknowledged = 0;
    for (let kill = 0; kill < kills; kill++) {
      let asked = told, over = false;
      const before = acknowledged;
      const promoting = (async () => {
        for (let i = kill; !over; i++) {
          asked = ["base:a", "base:b", "base"][i % 3]!;
          told = (await promote(client, asked)).current;
          assertStrictEquals(told, asked);
          acknowledged++;
        }
      })().catch((error) => {
        if (!over) throw error;
      });
      while (acknowledged - before < 2) await pause(10);
      await pause(Math.random() * 300);
      over = true;
      await crash(gateway.running);
      await promoting;
      gateway = await start();
      const { current, promotions } = await client.ask("GET", "/v1/registry");
      assert([told, asked].includes(current), `${current} is neither ${told} nor ${asked}`);
      assertStrictEquals(promotions.at(-1)?.to ?? "base", current);
      const { data } = await client.ask("GET", "/v1/aliases");
      assertEquals(data, [{ name: "prospect", arms: [{ model: current, weight: 1 }] }]);
      const said = (model: string) =>
        client.ask("POST", "/v1/chat/completions", { model, ...question(1, {}, 8) })
          .then(({ choices }) => choices[0].message.content);
      assertStrictEquals(await said("prospect"), await said(current));
      told = current;
    }
    assert(acknowledged > kills, `${acknowledged} promotions`);
    await gateway.stop();
  }));
