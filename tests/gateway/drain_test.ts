// The gateway's end: what is under way is finished, what is new is refused, nobody can hold it up for ever.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { findCompletion } from "../../shared/store/completions.ts";
import { openDatabase } from "../../shared/store/database.ts";
import { withFolder } from "../commands/run_task.ts";
import { type GatewayProcess, neverEnding, startGatewayProcess } from "./gateway_process.ts";
import { eventsOf } from "./open_gateway.ts";

interface Stream {
  /** Resolves with the first text. */
  begun: Promise<void>;
  /** Everything that came, also where the connection broke. */
  all: Promise<string>;
}

/** Answers that go on until their last token, all under way when this resolves. */
async function startStreams({ address }: GatewayProcess, count: number, maxTokens: number): Promise<Stream[]> {
  const logit_bias = await neverEnding();
  const streams = Array.from({ length: count }, (_, i): Stream => {
    const begun = Promise.withResolvers<void>();
    const read = async () => {
      let text = "";
      try {
        const response = await fetch(`${address}/v1/chat/completions`, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({
            model: "base",
            messages: [{ role: "user", content: `question ${i}` }],
            max_tokens: maxTokens,
            logit_bias,
            stream: true,
          }),
        });
        for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
          text += piece;
          if (/"content":"[^"]/.test(text)) begun.resolve();
        }
      } catch {
        // The connection broke: what came is all there is.
      }
      begun.resolve();
      return text;
    };
    return { begun: begun.promise, all: read() };
  });
  await Promise.all(streams.map(({ begun }) => begun));
  return streams;
}

Deno.test("SIGTERM lets streams under way finish whole and in the store, refuses new requests, and ends with 0", async () => {
  await withFolder(async (folder) => {
    const gateway = await startGatewayProcess(folder);
    const streams = await startStreams(gateway, 8, 400);
    gateway.running.process.kill("SIGTERM");
    let refused = false;
    while (!refused) {
      const status = await fetch(`${gateway.address}/v1/models`).then(async (response) => {
        await response.body?.cancel();
        return response.status;
      }, () => "no connection");
      assert([200, 503, "no connection"].includes(status), `${status}`);
      refused = status !== 200;
    }
    const answers = await Promise.all(streams.map(({ all }) => all));
    const { code, stderr } = await gateway.running.ended;
    assertStrictEquals(code, 0, stderr);
    const database = await openDatabase(`${folder}/data/prospect.sqlite`);
    for (const answer of answers) {
      // deno-lint-ignore no-explicit-any -- chunks as clients read them
      const events = eventsOf(answer) as any[];
      assertEquals(events.at(-1), "[DONE]");
      assertEquals(events.at(-2).choices[0].finish_reason, "length");
      const text = events.slice(0, -1).map(({ choices }) => choices[0].delta.content ?? "").join("");
      assertStrictEquals((await findCompletion(database, events[0].id))?.choices[0]?.content, text);
    }
    await database.close();
  });
});

Deno.test("a second signal ends the gateway at once, in the midst of its streams", async () => {
  await withFolder(async (folder) => {
    const gateway = await startGatewayProcess(folder);
    const streams = await startStreams(gateway, 16, 480);
    gateway.running.process.kill("SIGTERM");
    // Sooner it would be the same press.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    gateway.running.process.kill("SIGTERM");
    const { code } = await gateway.running.ended;
    assertEquals(code, 130);
    const answers = await Promise.all(streams.map(({ all }) => all));
    assert(answers.some((answer) => !answer.includes("[DONE]")), "every stream was finished all the same");
  });
});

Deno.test("clients that do not finish their request, or do not read their answer, cannot keep the gateway from ending", async () => {
  await withFolder(async (folder) => {
    const gateway = await startGatewayProcess(folder);
    const port = Number(new URL(gateway.address).port);
    const row = `{"prompt":"a","completion":"${"b".repeat(4 * 2 ** 20)}","label":true}\n`;
    const imported = await fetch(`${gateway.address}/v1/feedback/import`, { method: "POST", body: row.repeat(4) });
    assertEquals((await imported.json()).rows, 4);
    const say = async (words: string) => {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port });
      await connection.write(new TextEncoder().encode(words));
      return connection;
    };
    using _unread = await say("GET /v1/feedback/export HTTP/1.1\r\nHost: localhost\r\n\r\n");
    using _half = await say("POST /v1/feedback/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{");
    using _silent = await say("GET /v1/mod");
    await fetch(`${gateway.address}/healthz`).then((response) => response.body?.cancel());
    await gateway.stop();
  });
});
