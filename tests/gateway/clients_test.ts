// Clients that were written for others, unmodified: OpenAI's SDK, Vercel's AI SDK, curl as the README says it.

import { assert, assertEquals, assertNotMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, type ModelMessage, streamText } from "ai";
import OpenAI from "openai";
import { embeddedModelFolder } from "../../shared/runtime/embedded_model.ts";
import { openDatabase } from "../../shared/store/database.ts";
import { createKey } from "../../shared/store/keys.ts";
import { succeed, withFolder } from "../commands/run_task.ts";
import { type GatewayProcess, neverEnding, startGatewayProcess } from "./gateway_process.ts";

const messages = [{ role: "user" as const, content: "What is the opposite of hot?" }];
const greedy = { model: "base", messages, max_tokens: 12, temperature: 0 };

/** Hands out a running gateway and ends it after. @param args of it, or what makes them in its folder */
async function withProcess(
  args: string[] | ((folder: string) => Promise<string[]>),
  use: (gateway: GatewayProcess, folder: string) => Promise<void>,
) {
  await withFolder(async (folder) => {
    const gateway = await startGatewayProcess(folder, { args: Array.isArray(args) ? args : await args(folder) });
    try {
      await use(gateway, folder);
    } finally {
      await gateway.stop();
    }
  });
}

// The SDKs keep connections open a while after their last answer.
const lenient = { sanitizeOps: false, sanitizeResources: false };

const openai = ({ address }: GatewayProcess) =>
  new OpenAI({ baseURL: `${address}/v1`, apiKey: "not needed", maxRetries: 0 });

/** Value of a gauge or counter. */
async function metric({ address }: GatewayProcess, name: string): Promise<number> {
  const text = await (await fetch(`${address}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
}

async function chatsAndStreams(gateway: GatewayProcess): Promise<void> {
  const client = openai(gateway);
  const ids = [];
  for await (const { id } of client.models.list()) ids.push(id);
  assertEquals(ids, ["base", "prospect"]);
  assertEquals((await client.models.retrieve("prospect")).id, "prospect");

  const whole = await client.chat.completions.create(greedy);
  const text = whole.choices[0]!.message.content!;
  assert(text.length > 0);
  assertStrictEquals(whole.usage!.total_tokens, whole.usage!.prompt_tokens + whole.usage!.completion_tokens);

  let streamed = "", usage;
  for await (
    const chunk of await client.chat.completions.create({
      ...greedy,
      stream: true,
      stream_options: { include_usage: true },
    })
  ) {
    streamed += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assertStrictEquals(streamed, text);
  assertEquals(usage, whole.usage);

  const gathered = await client.chat.completions.stream({ ...greedy, logprobs: true, top_logprobs: 2 })
    .finalChatCompletion();
  assertStrictEquals(gathered.choices[0]!.message.content, text);
  const tokens = gathered.choices[0]!.logprobs!.content!;
  assertStrictEquals(new TextDecoder().decode(Uint8Array.from(tokens.flatMap(({ bytes }) => bytes!))), text);
  for (const { logprob, token, top_logprobs } of tokens) {
    assertEquals(top_logprobs.length, 2);
    assertEquals(
      [top_logprobs[0]!.token, top_logprobs[0]!.logprob],
      [token, logprob],
      "greedy takes the likeliest",
    );
    assert(logprob <= 0 && top_logprobs[1]!.logprob <= logprob);
  }

  const many = await client.chat.completions.create({ ...greedy, n: 3, temperature: 1, seed: 7 });
  const again = await client.chat.completions.create({ ...greedy, n: 3, temperature: 1, seed: 7 });
  assertEquals(many.choices.map(({ index }) => index), [0, 1, 2]);
  assertEquals(many.choices, again.choices, "the same seed gives the same answers");

  const legacy = await client.completions.create({ model: "base", prompt: "The opposite", max_tokens: 4, logprobs: 1 });
  assertEquals(legacy.object, "text_completion");
  assertEquals(legacy.choices[0]!.logprobs!.tokens!.length, legacy.usage!.completion_tokens);

  const thumb = await client.post<{ label: boolean }>("/feedback", { body: { completion_id: whole.id, label: true } });
  assertEquals(thumb.label, true);
}

/** Turn after turn, each answer sent back as the client hands it out. */
async function talks(gateway: GatewayProcess): Promise<void> {
  const client = openai(gateway), { messages: [question], ...settings } = greedy;
  const talk: OpenAI.ChatCompletionMessageParam[] = [question!];
  const nextTurn = (answer: OpenAI.ChatCompletionMessage) => {
    assert(answer.content!.length > 0);
    talk.push(answer, question!);
  };
  nextTurn((await client.chat.completions.create({ ...settings, messages: talk })).choices[0]!.message);
  nextTurn(await client.chat.completions.stream({ ...settings, messages: talk, max_tokens: 100 }).finalMessage());
  const parsed = await client.chat.completions.parse({ ...settings, messages: talk, max_tokens: 100 });
  nextTurn(parsed.choices[0]!.message);
  const runner = client.chat.completions.runTools({ ...settings, messages: talk, tools: [] });
  nextTurn((await runner.finalChatCompletion()).choices[0]!.message);
  const all = await client.chat.completions.create({
    ...settings,
    messages: talk,
    tools: [],
    tool_choice: "none",
    parallel_tool_calls: true,
    response_format: { type: "text" },
    modalities: ["text"],
    service_tier: "auto",
    reasoning_effort: null,
    prompt_cache_key: "talk",
    safety_identifier: "ann",
    metadata: { trace: "talk" },
    store: true,
    stop: null,
    logit_bias: null,
  });
  const found = await client.get<{ data: { id: string }[] }>("/answers", { query: { "metadata[trace]": "talk" } });
  assertEquals(found.data.map(({ id }) => id), [all.id]);
}

/** A thumb while the answer still comes. */
async function judgesEarly(gateway: GatewayProcess): Promise<void> {
  const client = openai(gateway);
  const stream = await client.chat.completions.create({ ...greedy, stream: true });
  let judged;
  for await (const { id } of stream) {
    judged ??= await client.post<{ id: string; label: boolean }>("/feedback", {
      body: { completion_id: id, label: false },
    });
  }
  assertEquals(judged!.label, false);
  const rows = await (await fetch(`${gateway.address}/v1/feedback/export`)).text();
  const row = rows.trimEnd().split("\n").map((line) => JSON.parse(line)).find(({ id }) => id === judged!.id);
  assert(row.completion[0].content.length > 0);
}

async function throwsByClass(gateway: GatewayProcess): Promise<void> {
  const client = openai(gateway);
  const refusals: [
    () => Promise<unknown>,
    new (...args: never[]) => InstanceType<typeof OpenAI.APIError>,
    string | null,
  ][] = [
    [() => client.chat.completions.create({ ...greedy, temperature: 3 }), OpenAI.BadRequestError, "temperature"],
    [
      () => client.chat.completions.create({ ...greedy, response_format: { type: "json_object" } }),
      OpenAI.BadRequestError,
      "response_format",
    ],
    [() => client.chat.completions.create({ ...greedy, model: "gpt-9" }), OpenAI.NotFoundError, "model"],
    [() => client.models.retrieve("gpt-9"), OpenAI.NotFoundError, "model"],
    [
      () => client.post("/feedback", { body: { completion_id: "none", label: true } }),
      OpenAI.NotFoundError,
      "completion_id",
    ],
    [
      () => client.chat.completions.create({ ...greedy, n: 16, stream: true, max_tokens: 100_000 }),
      OpenAI.BadRequestError,
      "max_tokens",
    ],
    [() => client.embeddings.create({ model: "base", input: "x" }), OpenAI.NotFoundError, null],
  ];
  for (const [refused, kind, param] of refusals) {
    const error = await refused().then(() => undefined, (error) => error);
    assert(error instanceof kind, `${param}: ${error}`);
    assertStrictEquals(error.param, param);
    assert(error.message.length > 10 && error.requestID, "it says what is wrong, and under which id");
  }
}

Deno.test({
  name: "OpenAI's SDK is told 401 without a key where keys are needed, and 403 beyond its scope",
  ...lenient,
}, () =>
  withProcess([], async (_, folder) => {
    // Another gateway over the same folder: this one asks for keys.
    const database = await openDatabase(`${folder}/data/prospect.sqlite`);
    const { secret } = await createKey(database, { scopes: ["feedback"] });
    await database.close();
    const closed = await startGatewayProcess(folder, { args: ["--require-keys"] });
    try {
      const failure = (apiKey: string) =>
        new OpenAI({ baseURL: `${closed.address}/v1`, apiKey, maxRetries: 0 }).models.list().then(
          () => undefined,
          (error) => error,
        );
      assert(await failure("wrong") instanceof OpenAI.AuthenticationError);
      assert(await failure(secret) instanceof OpenAI.PermissionDeniedError);
    } finally {
      await closed.stop();
    }
  }));

async function aborts(gateway: GatewayProcess): Promise<void> {
  const client = openai(gateway);
  const endless = {
    ...greedy,
    temperature: 1,
    max_tokens: 200,
    logit_bias: await neverEnding(),
    stream: true as const,
  };
  const stream = await client.chat.completions.create(endless);
  let pieces = 0;
  for await (const _ of stream) if (++pieces === 3) break;
  const aborted = new AbortController();
  const whole = client.chat.completions.create({ ...endless, stream: false }, { signal: aborted.signal });
  while (await metric(gateway, "prospect_sequences_active") === 0) await new Promise((r) => setTimeout(r, 2));
  aborted.abort();
  await assertRejects(() => whole, OpenAI.APIUserAbortError);
  const end = Date.now() + 5000;
  while (await metric(gateway, "prospect_sequences_active") > 0) {
    assert(Date.now() < end, "an aborted answer still has its place");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert((await client.chat.completions.create(greedy)).choices[0]);
}

Deno.test(
  { name: "a full queue makes OpenAI's SDK wait as Retry-After says, and then its answer comes", ...lenient },
  () =>
    withProcess(["--queue", "1"], async (gateway) => {
      const patient = new OpenAI({ baseURL: `${gateway.address}/v1`, apiKey: "-", maxRetries: 10 });
      const many = Array.from(
        { length: 4 },
        () => patient.chat.completions.create({ ...greedy, n: 8, max_tokens: 60 }),
      );
      const hasty = await Promise.allSettled(
        Array.from({ length: 4 }, () => openai(gateway).chat.completions.create({ ...greedy, n: 8, max_tokens: 60 })),
      );
      const refused = hasty.filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
      assert(refused.length > 0 && refused.every(({ reason }) => reason instanceof OpenAI.RateLimitError));
      assert(Number(refused[0]!.reason.headers.get("Retry-After")) >= 1);
      for (const { choices } of await Promise.all(many)) assertEquals(choices.length, 8);
    }),
);

async function vercel(gateway: GatewayProcess): Promise<void> {
  const provider = createOpenAICompatible({ name: "prospect", baseURL: `${gateway.address}/v1`, includeUsage: true });
  const settings = {
    model: provider("base"),
    system: "Be kind.",
    prompt: messages[0]!.content,
    temperature: 0,
    maxOutputTokens: 12,
    maxRetries: 0,
  };
  const { text, usage, finishReason, response } = await generateText(settings);
  assert(text.length > 0);
  assertStrictEquals(usage.totalTokens, usage.inputTokens! + usage.outputTokens!);
  assert(["stop", "length"].includes(finishReason));
  const streamed = streamText(settings);
  let joined = "";
  for await (const piece of streamed.textStream) joined += piece;
  assertStrictEquals(joined, text);
  assertStrictEquals((await streamed.usage).totalTokens, usage.totalTokens);
  const thumb = await fetch(`${gateway.address}/v1/feedback`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ completion_id: response.id, label: -1 }),
  });
  assertEquals((await thumb.json()).label, false);
  const { prompt, ...others } = settings, talk: ModelMessage[] = [{ role: "user", content: prompt }];
  for (let turn = 0; turn < 3; turn++) {
    const { response } = await generateText({ ...others, messages: talk });
    talk.push(...response.messages, { role: "user", content: prompt });
  }
  assertEquals(talk.length, 7);
  const error = await assertRejects(() => generateText({ ...settings, model: provider("none") }), Error);
  assert(APICallError.isInstance(error) && error.statusCode === 404 && /does not exist/.test(error.message));
}

const readme = () => Deno.readTextFileSync(new URL("../../README.md", import.meta.url));

/** The `curl` commands of the README's shell blocks, their continued lines joined. */
function curlLines(): string[] {
  const blocks = [...readme().matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block!);
  return blocks.flatMap((block) => block.replaceAll("\\\n", " ").split("\n")).filter((line) => /\bcurl /.test(line));
}

/** Trains an adapter of the embedded model, which the README calls new. */
async function withAdapter(folder: string): Promise<string[]> {
  const rows = Deno.readTextFileSync(join(embeddedModelFolder, "feedback.jsonl")).split("\n").slice(0, 32);
  await Deno.writeTextFile(join(folder, "few.jsonl"), rows.join("\n"));
  const out = join(folder, "run"), options = { cache: join(folder, "cache") };
  await succeed("train", ["--data", join(folder, "few.jsonl"), "--out", out, "--max-steps", 2], options);
  return ["--adapter", `new=${join(out, "adapter")}`];
}

Deno.test("every curl line of the README does what it is there for", () =>
  withProcess(withAdapter, async (gateway, folder) => {
    if (spawnSync("curl", ["--version"]).status !== 0) return console.log("skipped: no curl");
    const lines = curlLines();
    assert(lines.length >= 6, `${lines.length} lines with curl`);
    // One shell for all: what a line keeps in a variable, the next uses.
    const script = lines.map((line) => `${line.replaceAll("http://127.0.0.1:8000", gateway.address)}\necho; echo ----`);
    const { code, stdout, stderr } = await new Deno.Command("sh", { args: ["-ec", script.join("\n")], cwd: folder })
      .output();
    assertStrictEquals(code, 0, new TextDecoder().decode(stderr));
    const answers = new TextDecoder().decode(stdout).split("----\n");
    answers.forEach((said, i) => assertNotMatch(said, /"error"/, `${lines[i]}\n${said}`));
    const rows = Deno.readTextFileSync(`${folder}/thumbs.jsonl`).split("\n").filter((row) => row !== "");
    assertEquals(rows.map((row) => JSON.parse(row).label).sort(), [false, true, true]);
  }));

Deno.test(
  { name: "clients that were written for others work against a gateway as it is started", ...lenient },
  (test) =>
    withProcess([], async (gateway) => {
      await test.step({
        name: "OpenAI's SDK chats, streams, lists models, reads log-probs and several choices",
        ...lenient,
        fn: () => chatsAndStreams(gateway),
      });
      await test.step({
        name: "OpenAI's SDK talks on, each answer sent back as it was handed out",
        ...lenient,
        fn: () => talks(gateway),
      });
      await test.step({
        name: "OpenAI's SDK puts a thumb on an answer that still comes",
        ...lenient,
        fn: () => judgesEarly(gateway),
      });
      await test.step({
        name: "OpenAI's SDK throws the class that each refusal is made for",
        ...lenient,
        fn: () => throwsByClass(gateway),
      });
      await test.step({
        name: "a stream that OpenAI's SDK aborts frees its place, and the client is not told of an error",
        ...lenient,
        fn: () => aborts(gateway),
      });
      await test.step({
        name: "Vercel's AI SDK generates, streams and reads refusals through its OpenAI-compatible provider",
        ...lenient,
        fn: () => vercel(gateway),
      });
    }),
);
