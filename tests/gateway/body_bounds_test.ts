// Bodies made to be slow: nothing that a client can send holds the process for long.

import { assert, assertEquals } from "@std/assert";
import { type OpenGateway, withGateway } from "./open_gateway.ts";

const chat = (content: string) => `{"model":"base","messages":[{"role":"user","content":${content}}]}`;
const many = (count: number, element: string) => new Array(count).fill(element).join();

/** Bodies of up to 4 MiB, by what is too much about them. */
const hostile: Record<string, [path: string, body: string]> = {
  "a million empty parts": ["/v1/chat/completions", chat(`[${many(1_000_000, "{}")}]`)],
  "as many bad parts as may be": ["/v1/chat/completions", chat(`[${many(4000, "{}")}]`)],
  "many lists of bad parts": [
    "/v1/chat/completions",
    `{"model":"base","messages":[${many(4, `{"role":"user","content":[${many(4000, "{}")}]}`)}]}`,
  ],
  "as many bad messages as may be": ["/v1/chat/completions", `{"model":"base","messages":[${many(4000, "{}")}]}`],
  "a million levels": ["/v1/chat/completions", chat("[".repeat(1_000_000) + "]".repeat(1_000_000))],
  "a million stop texts": ["/v1/completions", `{"model":"base","prompt":"a","stop":[${many(1_000_000, '"a"')}]}`],
  "a bias for 300,000 tokens": [
    "/v1/completions",
    `{"model":"base","prompt":"a","logit_bias":{${Array.from({ length: 300_000 }, (_, i) => `"${i}":1`)}}}`,
  ],
  "as many bad biases as may be": [
    "/v1/completions",
    `{"model":"base","prompt":"a","logit_bias":{${Array.from({ length: 4000 }, (_, i) => `"x${i}":"a"`)}}}`,
  ],
  "texts that are escaped throughout": ["/v1/completions", `{"model":"base","prompt":"${"\\u0041".repeat(600_000)}"}`],
  "a million tags": ["/v1/feedback", `{"completion_id":"a","label":true,"tags":[${many(1_000_000, "1")}]}`],
  "as many unknown fields as may be": ["/v1/feedback", `{${Array.from({ length: 4000 }, (_, i) => `"x${i}":1`)}}`],
  "hyperparameters without end": [
    "/v1/fine_tuning/jobs",
    `{"model":"base","method":{"type":"kto","kto":{"hyperparameters":{${
      Array.from({ length: 300_000 }, (_, i) => `"x${i}":1`)
    }}}}}`,
  ],
  "a name of four million letters": ["/v1/completions", `{"model":"base","prompt":"a","${"a".repeat(4_000_000)}":1}`],
  "four million spaces": ["/v1/completions", " ".repeat(4_000_000)],
  "two million escaped quotes": ["/v1/feedback", `{"completion_id":"${'\\"'.repeat(2_000_000)}","label":true}`],
};

/** The longest that the event loop was held while something was awaited, in milliseconds. */
async function longestHold(work: Promise<unknown>): Promise<number> {
  let longest = 0, last = performance.now();
  const beat = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 1);
  await work.finally(() => clearInterval(beat));
  return Math.max(longest, performance.now() - last);
}

Deno.test("no body holds the process, whatever it is made of, and each is refused in words", async () => {
  await withGateway({}, async (open) => {
    for (const [what, [path, body]] of Object.entries(hostile)) {
      assert(body.length < 4 * 2 ** 20, what);
      let refused: Awaited<ReturnType<OpenGateway["call"]>> | undefined;
      const held = await longestHold(open.call("POST", path, body).then((answer) => refused = answer));
      assert([400, 404].includes(refused!.status), `${what}: ${refused!.status} ${refused!.text.slice(0, 300)}`);
      assert(refused!.json.error.message.length < 5000, `${what}: an answer of ${refused!.text.length} characters`);
      // The promise is 100 ms; a busy machine takes its time for a tenth of the work that these bodies were before.
      assert(held < 1000, `${what} held the process for ${held} ms`);
    }
  });
});

Deno.test("what is as large as routes have use for is read", async () => {
  await withGateway({}, async ({ call }) => {
    const parts = Array.from({ length: 2000 }, () => ({ type: "text", text: "" }));
    const messages = [{ role: "user", content: [...parts, { type: "text", text: "hi" }] }];
    assertEquals((await call("POST", "/v1/chat/completions", { model: "base", messages })).status, 200);
    const logit_bias = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [i, 1]));
    assertEquals((await call("POST", "/v1/completions", { model: "base", prompt: "hi", logit_bias })).status, 200);
  });
});

Deno.test("the first bad element of a long list is the one that is named", async () => {
  await withGateway({}, async ({ call }) => {
    const messages = Array.from({ length: 1000 }, (_, i) => ({ role: i < 700 ? "user" : "judge", content: "a" }));
    const { status, json } = await call("POST", "/v1/chat/completions", { model: "base", messages });
    assertEquals(status, 400);
    assertEquals(json.error.param, "messages.700.role");
  });
});

Deno.test("a packed body is refused before it is unpacked", async () => {
  await withGateway({}, async ({ call }) => {
    for (const path of ["/v1/completions", "/v1/feedback/import", "/v1/files"]) {
      const { status, json } = await call("POST", path, new Uint8Array(10), { "Content-Encoding": "gzip" });
      assertEquals(status, 415, path);
      assertEquals(json.error.code, "unsupported_encoding");
    }
  });
});
