// Ten thousand requests, valid and malformed, out of the gateway's own OpenAPI document: none may be answered with a 5xx,
// and every refusal has the shape of an error. FUZZ_SEED tries another ten thousand.

import { assert, assertEquals, assertNotMatch } from "@std/assert";
import * as fc from "fast-check";
import { withFolder } from "../commands/run_task.ts";
import { startGatewayProcess } from "./gateway_process.ts";
import { withGateway } from "./open_gateway.ts";
import { type Document, type FuzzRequest, type Known, requestsOf } from "./openapi_arbitraries.ts";

const seed = Number(Deno.env.get("FUZZ_SEED") ?? 20261125);
/** A thread of its own for each request. */
const costly = ["/v1/feedback/hygiene"];
/** Requests that are under way together. */
const together = 50;

type Send = (request: Request) => Promise<Response>;

const toRequest = (address: string, { method, path, headers, body }: FuzzRequest): Request =>
  new Request(address + path, { method, headers, ...(body === undefined ? {} : { body: body as BodyInit }) });

/** Values that lead somewhere. */
async function knownValues(address: string, send: Send): Promise<Known> {
  const post = async (path: string, body: unknown) => {
    const headers = { "Content-Type": "application/json" };
    return await (await send(new Request(address + path, { method: "POST", headers, body: JSON.stringify(body) })))
      .json();
  };
  const messages = [{ role: "user", content: "hello" }], metadata = { trace: "1" };
  const ask = { model: "base", messages, n: 2, max_tokens: 4, metadata };
  const completions = await Promise.all([1, 2, 3].map(() => post("/v1/chat/completions", ask)));
  const thumbs = await Promise.all(
    completions.map(({ id }) => post("/v1/feedback", { completion_id: id, label: true })),
  );
  const form = new FormData();
  form.set("purpose", "fine-tune");
  form.set("file", new File(['{"prompt":"a","completion":"b","label":true}\n'], "a.jsonl"));
  const file = await (await send(new Request(`${address}/v1/files`, { method: "POST", body: form }))).json();
  const job = await post("/v1/fine_tuning/jobs", { training_file: file.id, model: "base" });
  return {
    training_file: [file.id, "labels"],
    model: ["base", "prospect"],
    completion_id: completions.map(({ id }) => id),
    choice: [0, 1],
    id: [...thumbs, ...completions, file, job].map(({ id }) => id),
    max_tokens: [1, 4],
    max_completion_tokens: [null, 4],
    top_logprobs: [null],
    n: [1, 2],
    best_of: [null],
    logit_bias: [null, { 7: 1 }],
    metadata: [{ trace: "1" }],
    store: [true],
    name: ["new", "other"],
    path: ["/somewhere"],
    cursor: [btoa('["label-1"]')],
    correction: [null],
  };
}

/** Statuses that the document promises for a request; undefined where it names no such route. */
function promised({ paths }: Document, { method, path }: FuzzRequest): string[] | undefined {
  const plain = new URL(`http://localhost${path}`).pathname;
  const route =
    Object.keys(paths).filter((route) => new RegExp(`^${route.replace(/\{\w+\}/g, "[^/]+")}$`).test(plain)).sort((
      a,
      b,
    ) => a.split("{").length - b.split("{").length)[0];
  const operation = route === undefined ? undefined : paths[route]![method === "HEAD" ? "get" : method.toLowerCase()];
  return operation && Object.keys(operation.responses);
}

/** What is wrong with the answer to a request, if anything. */
async function faultOf(request: FuzzRequest, response: Response, document: Document): Promise<string | undefined> {
  const { status } = response, text = await response.text();
  if (status >= 500) return `${status}: ${text}`;
  if (!response.headers.get("X-Request-Id")) return `${status} without a request id`;
  // Whatever is asked, a body that is packed is not unpacked.
  if (status === 415 && text.includes("unsupported_encoding")) return undefined;
  const statuses = promised(document, request);
  if (statuses && !statuses.includes(String(status))) {
    return `${status} is not among ${statuses}: ${text.slice(0, 200)}`;
  }
  if (status < 400 || request.method === "HEAD") return undefined;
  try {
    const { message, type, param, code } = JSON.parse(text).error;
    const told = [param, code].every((each) => each === null || typeof each === "string");
    if (typeof message === "string" && message.length > 5 && typeof type === "string" && told) return undefined;
  } catch {
    // Said below.
  }
  return `${status} without the shape of an error: ${text.slice(0, 200)}`;
}

/** Sends `count` requests. @returns How many were answered with each hundred of statuses */
async function fuzz(address: string, send: Send, count: number): Promise<Record<string, number>> {
  const document: Document = await (await send(new Request(`${address}/openapi.json`))).json();
  const requests = fc.sample(requestsOf(document, await knownValues(address, send), costly), { numRuns: count, seed });
  const seen: Record<string, number> = {};
  const next = requests.entries();
  const client = async () => {
    for (const [number, request] of next) {
      const response = await send(toRequest(address, request));
      const fault = await faultOf(request, response, document);
      const { method, path, headers } = request, body = String(request.body).slice(0, 500);
      const what = `FUZZ_SEED=${seed}, request ${number}: ${method} ${path} ${
        JSON.stringify(headers)
      } ${body}\n${fault}`;
      assertEquals(fault, undefined, what);
      const hundred = `${Math.floor(response.status / 100)}xx`;
      seen[hundred] = (seen[hundred] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: together }, client));
  return seen;
}

Deno.test("ten thousand mixed valid and malformed requests give no 5xx, and every refusal is an error as promised", async () => {
  await withGateway({ script: { capacity: 4000 } }, async ({ fetch, call, logged }) => {
    const seen = await fuzz("http://localhost", fetch, 10_000);
    console.log(seen);
    // Were all of them refused at the door, nothing would have been tried.
    assert(seen["2xx"]! > 2000 && seen["4xx"]! > 2000);
    assertEquals(logged.filter(({ level }) => level === "error"), []);
    assertEquals((await call("GET", "/readyz")).status, 200);
    const { text } = await call("GET", "/v1/feedback/export");
    for (const line of text.trimEnd().split("\n")) JSON.parse(line);
  });
});

Deno.test("hundreds of them over real HTTP leave the process and its model well", async () => {
  await withFolder(async (folder) => {
    const gateway = await startGatewayProcess(folder, { args: ["--queue", 1000] });
    const seen = await fuzz(gateway.address, fetch, 300);
    assert(seen["2xx"]! > 50 && seen["4xx"]! > 50);
    for (const words of malformed) {
      const answer = await sendRaw(gateway.address, words);
      // 505 is what another version of HTTP is told.
      assertNotMatch(answer, /^HTTP\/1\.1 5(?!05)/, words.slice(0, 80));
    }
    const { choices } = await (await fetch(`${gateway.address}/v1/chat/completions`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ model: "base", messages: [{ role: "user", content: "hello" }], max_tokens: 4 }),
    })).json();
    assert(choices[0].message.content.length > 0);
    await gateway.stop();
  });
});

const chunked = "POST /v1/feedback/import HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";

/** What no client library sends. */
const malformed = [
  "\r\n\r\n",
  "GET / HTTP/9.9\r\n\r\n",
  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
  ...["", "[", "a b", "localhost:99999", "\xff", "localhost, evil", "//", "user@localhost"].map((host) =>
    `GET /v1/models HTTP/1.1\r\nHost: ${host}\r\n\r\n`
  ),
  "GET /v1/models HTTP/1.1\r\n\r\n",
  "GET http://localhost/v1/models HTTP/1.1\r\nHost: other\r\n\r\n",
  "GET http://[/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
  `GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Long: ${"x".repeat(200_000)}\r\n\r\n`,
  `GET /${"x".repeat(100_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
  "POST /v1/feedback HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}",
  "POST /v1/feedback HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
  "POST /v1/feedback HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
  `${chunked}zz\r\n{}\r\n0\r\n\r\n`,
  `${chunked}5\r\n{`,
];

/** Says something to the port, ends its own side, and gives what came back. */
async function sendRaw(address: string, words: string): Promise<string> {
  const { hostname, port } = new URL(address);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  try {
    const bytes = Uint8Array.from(words, (letter) => letter.charCodeAt(0));
    for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    await connection.closeWrite();
    const buffer = new Uint8Array(4096), read = await connection.read(buffer);
    return new TextDecoder("latin1").decode(buffer.subarray(0, read ?? 0));
  } catch {
    // It hung up on us, which is an answer.
    return "";
  }
}
