import {
  assert,
  assertEquals,
  assertMatch,
  assertNotMatch,
  assertNotStrictEquals,
  assertStrictEquals,
} from "@std/assert";
import { findCompletion, listCompletions } from "../../shared/store/completions.ts";
import { eventsOf, withGateway } from "./open_gateway.ts";
import { writeScriptedAdapter } from "./registered.ts";

const ask = { model: "base", messages: [{ role: "user", content: "hello" }] };
// deno-lint-ignore no-explicit-any -- chunks are looked into as clients do
const chunksOf = (text: string) => eventsOf(text).slice(0, -1) as any[];

Deno.test("a chat answer has OpenAI's shape, and is kept with the exact prompt before it is sent", async () => {
  await withGateway({}, async ({ call, gateway }) => {
    const { status, json } = await call("POST", "/v1/chat/completions", { ...ask, user: "ann", temperature: 0.5 });
    assertEquals(status, 200);
    assertEquals(json.object, "chat.completion");
    assertEquals(json.choices, [{
      index: 0,
      message: { role: "assistant", content: "Hello é😀!", refusal: null },
      logprobs: null,
      finish_reason: "stop",
    }]);
    assertStrictEquals(json.usage.total_tokens, json.usage.prompt_tokens + json.usage.completion_tokens);
    const kept = await findCompletion(gateway.database, json.id);
    assertEquals(kept?.prompt, ask.messages);
    assertEquals(kept?.choices.map(({ content, logProb }) => [content, logProb]), [["Hello é😀!", -3]]);
    assertEquals(kept?.endUser, "ann");
    assertEquals(kept?.parameters, { temperature: 0.5 });
  });
});

Deno.test("streamed chunks join to the whole answer for every choice, with usage last where asked for", async () => {
  await withGateway({}, async ({ call }) => {
    const { text, headers } = await call("POST", "/v1/chat/completions", {
      ...ask,
      n: 2,
      stream: true,
      stream_options: { include_usage: true },
    });
    assertMatch(headers.get("Content-Type")!, /^text\/event-stream/);
    assertEquals(eventsOf(text).at(-1), "[DONE]");
    const chunks = chunksOf(text);
    for (const index of [0, 1]) {
      const mine = chunks.flatMap(({ choices }) => choices).filter((choice) => choice.index === index);
      assertEquals(mine[0].delta.role, "assistant");
      assertEquals(mine.map(({ delta }) => delta.content ?? "").join(""), "Hello é😀!");
      assertEquals(mine.map(({ finish_reason }) => finish_reason).filter(Boolean), ["stop"]);
    }
    assertEquals(chunks.at(-1).choices, []);
    assertEquals(chunks.at(-1).usage.completion_tokens, 6);
    assert(chunks.slice(0, -1).every(({ usage }) => usage === null));
    assertEquals(new Set(chunks.map(({ id }) => id)).size, 1);
  });
});

Deno.test("a streamed answer is in the store before its end is sent", async () => {
  await withGateway({}, async ({ fetch, gateway }) => {
    const response = await fetch(
      new Request("http://localhost/v1/chat/completions", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ ...ask, stream: true }),
      }),
    );
    let seen = "";
    for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
      seen += text;
      if (!/"finish_reason":"stop"/.test(seen)) continue;
      const [, id] = /"id":"([^"]+)"/.exec(seen)!;
      assertEquals((await findCompletion(gateway.database, id!))?.choices[0]?.content, "Hello é😀!");
    }
    assertMatch(seen, /\[DONE\]/);
  });
});

Deno.test("a client that hangs up frees its place, and what it had read can still be judged", async () => {
  await withGateway(
    { script: { pieces: Array(60).fill("a "), beat: () => new Promise((r) => setTimeout(r, 2)) } },
    async (
      { fetch, scripted, gateway },
    ) => {
      const response = await fetch(
        new Request("http://localhost/v1/chat/completions", {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ ...ask, stream: true, max_tokens: 50 }),
        }),
      );
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
      let seen = "";
      while (!seen.includes('"a "')) seen += (await reader.read()).value;
      assertEquals(scripted.active(), 1);
      await reader.cancel();
      while (scripted.active() > 0) await new Promise((resolve) => setTimeout(resolve, 1));
      const [, id] = /"id":"([^"]+)"/.exec(seen)!;
      let kept;
      while (!(kept = await findCompletion(gateway.database, id!))) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      assertEquals(kept.choices[0]?.finishReason, "cancelled");
      assertMatch(kept.choices[0]!.content, /^(a )+$/);
    },
  );
});

Deno.test("an answer that breaks off says so in the stream, and never says [DONE]", async () => {
  await withGateway({ script: { failAfter: 1 } }, async ({ call, logged, scripted }) => {
    const { text } = await call("POST", "/v1/chat/completions", { ...ask, stream: true });
    // deno-lint-ignore no-explicit-any -- as clients read it
    const last = eventsOf(text).at(-1) as any;
    assertEquals(last.error.type, "server_error");
    assertNotMatch(text, /worker 1/);
    assert(logged.some(({ level, fields }) => level === "error" && /worker 1/.test(String(fields.error))));
    assertStrictEquals(scripted.active(), 0);
    const { status, json } = await call("POST", "/v1/chat/completions", ask);
    assertEquals(status, 500);
    assertEquals(json.error.type, "server_error");
  });
});

Deno.test("a full queue is 429 with Retry-After, before anything is computed", async () => {
  await withGateway({ script: { capacity: 2 } }, async ({ call, scripted }) => {
    const { status, headers, json } = await call("POST", "/v1/chat/completions", { ...ask, n: 3 });
    assertEquals(status, 429);
    assertEquals(headers.get("Retry-After"), "2");
    assertEquals(json.error.type, "rate_limit_error");
    assertEquals(scripted.requests.length, 0);
  });
});

Deno.test("sampling reaches the engine as it was asked for, and each choice has a seed of its own", async () => {
  await withGateway({}, async ({ call, scripted }) => {
    const sampling = { temperature: 0.3, top_p: 0.8, frequency_penalty: 0.5, presence_penalty: -0.5 };
    const body = { ...ask, ...sampling, logit_bias: { "7": -100 }, seed: 5, n: 2, stop: ["\n", "END"], max_tokens: 9 };
    await call("POST", "/v1/chat/completions", body);
    await call("POST", "/v1/chat/completions", body);
    const [one, two, again] = scripted.requests;
    assertEquals<unknown>(one?.sampling, {
      temperature: 0.3,
      topP: 0.8,
      frequencyPenalty: 0.5,
      presencePenalty: -0.5,
      logitBias: new Map([[7, -100]]),
      seed: one?.sampling.seed,
    });
    assertEquals([one?.stop, one?.maxTokens, one?.topLogProbs], [["\n", "END"], 9, undefined]);
    assertNotStrictEquals(one?.sampling.seed, two?.sampling.seed);
    assertStrictEquals(one?.sampling.seed, again?.sampling.seed);
    await call("POST", "/v1/chat/completions", ask);
    await call("POST", "/v1/chat/completions", ask);
    assertNotStrictEquals(scripted.requests.at(-1)?.sampling.seed, scripted.requests.at(-2)?.sampling.seed);
  });
});

Deno.test("log-probs come in the shape of each endpoint", async () => {
  await withGateway({}, async ({ call }) => {
    const chat = await call("POST", "/v1/chat/completions", { ...ask, logprobs: true, top_logprobs: 1 });
    assertEquals(chat.json.choices[0].logprobs.content[0], {
      token: "Hel",
      logprob: -1,
      bytes: [72, 101, 108],
      top_logprobs: [{ token: "Hel", logprob: -1, bytes: [72, 101, 108] }],
    });
    const text = { model: "base", prompt: "once", logprobs: 1 };
    const { json } = await call("POST", "/v1/completions", text);
    assertEquals(json.choices[0].logprobs.text_offset, [0, 3, 9]);
    assertEquals(json.choices[0].logprobs.top_logprobs[0], { Hel: -1 });
    const streamed = await call("POST", "/v1/completions", { ...text, stream: true });
    assertEquals(chunksOf(streamed.text).flatMap(({ choices }) => choices[0].logprobs?.text_offset ?? []), [
      0,
      3,
      9,
    ]);
  });
});

Deno.test("text completions go on from the text as it is, and keep it as a text", async () => {
  await withGateway({}, async ({ call, gateway, scripted }) => {
    const { json } = await call("POST", "/v1/completions", { model: "base", prompt: "once upon" });
    assertEquals(json.object, "text_completion");
    assertEquals(json.choices[0].text, "Hello é😀!");
    assertEquals(scripted.requests[0]?.promptIds, scripted.engine.tokenizer.encode("once upon"));
    assertEquals((await findCompletion(gateway.database, json.id))?.prompt, "once upon");
  });
});

Deno.test("a prompt that leaves no room in the context is refused with both numbers", async () => {
  await withGateway({}, async ({ call }) => {
    const long = { ...ask, messages: [{ role: "user", content: "hello ".repeat(100) }] };
    const { status, json } = await call("POST", "/v1/chat/completions", long);
    assertEquals(status, 400);
    assertEquals(json.error.code, "context_length_exceeded");
    assertMatch(json.error.message, /64 tokens/);
    const huge = { ...ask, messages: [{ role: "user", content: "a".repeat(2_000_000) }] };
    assertMatch((await call("POST", "/v1/chat/completions", huge)).json.error.message, /20000\d\d characters/);
    const much = await call("POST", "/v1/chat/completions", { ...ask, max_tokens: 64 });
    assertEquals(much.json.error.code, "context_length_exceeded");
    assertEquals((await call("POST", "/v1/completions", { model: "base", prompt: "hello ".repeat(29) })).status, 200);
  });
});

const history = [ask.messages[0], { role: "assistant", content: "hi" }, ask.messages[0]] as Record<string, unknown>[];
/** The conversation with more on the assistant's message. */
const answeredWith = (more: Record<string, unknown>) => history.map((each, i) => i === 1 ? { ...each, ...more } : each);

Deno.test("what is not built is refused by its name, and so is what OpenAI does not know", async () => {
  await withGateway({}, async ({ call }) => {
    const unsupported = "unsupported_parameter";
    const refusals: [Record<string, unknown>, string, string][] = [
      [{ tools: [{ type: "function", function: { name: "f" } }] }, "tools", unsupported],
      [{ tool_choice: "required" }, "tool_choice", unsupported],
      [{ response_format: { type: "json_object" } }, "response_format", unsupported],
      [{ response_format: { type: "json_schema", json_schema: { name: "a" } } }, "response_format", unsupported],
      [{ modalities: ["text", "audio"] }, "modalities", unsupported],
      [{ service_tier: "priority" }, "service_tier", unsupported],
      [{ reasoning_effort: "high" }, "reasoning_effort", unsupported],
      [{ prediction: { type: "content", content: "x" } }, "prediction", unsupported],
      [{ messages: answeredWith({ tool_calls: [{ id: "a" }], content: null }) }, "messages.1.tool_calls", unsupported],
      [{ messages: answeredWith({ refusal: "no", content: null }) }, "messages.1.refusal", unsupported],
      [{ colour: "red" }, "colour", "unknown_parameter"],
      [{ colour: null }, "colour", "unknown_parameter"],
      [{ stream_options: { colour: "red" } }, "stream_options.colour", "unknown_parameter"],
      [{ messages: answeredWith({ colour: "red" }) }, "messages.1.colour", "unknown_parameter"],
    ];
    for (const [more, param, code] of refusals) {
      const { status, json } = await call("POST", "/v1/chat/completions", { ...ask, ...more });
      assertEquals([status, json.error?.param, json.error?.code], [400, param, code], JSON.stringify(more));
      assert(json.error.message.includes(param), json.error.message);
    }
    for (
      const [more, param] of [[{ echo: true }, "echo"], [{ suffix: "z" }, "suffix"], [{ best_of: 3, n: 2 }, "best_of"]]
    ) {
      const { status, json } = await call("POST", "/v1/completions", { model: "base", prompt: "a", ...more as object });
      assertEquals([status, json.error?.param, json.error?.code], [400, param, unsupported]);
    }
  });
});

Deno.test("a refusal names the innermost field that is wrong", async () => {
  await withGateway({}, async ({ call }) => {
    const parts = [{ type: "text", text: "a" }, { type: "image_url", image_url: { url: "x" } }];
    const user = (content: unknown) => ({ messages: [{ role: "user", content }] });
    const refusals: [Record<string, unknown>, string, RegExp][] = [
      [{ temperature: 2.1 }, "temperature", /from 0 to 2/],
      [{ top_p: 0 }, "top_p", /above 0/],
      [{ n: 0 }, "n", /from 1 to 16/],
      [{ stop: ["a", "b", "c", "d", "e"] }, "stop", /at most 4/],
      [{ stop: 5 }, "stop", /a text, or up to 4 texts/],
      [{ stop: ["a", 5] }, "stop.1", /expected string/],
      [{ top_logprobs: 3 }, "top_logprobs", /needs logprobs/],
      [{ max_tokens: 3, max_completion_tokens: 4 }, "max_tokens", /differ/],
      [{ max_tokens: 64 }, "max_tokens", /may be \d+ at most, not 64/],
      [{ max_completion_tokens: 64 }, "max_completion_tokens", /may be \d+ at most, not 64/],
      [{ logit_bias: { seven: 1 } }, "logit_bias", /token ids/],
      [{ logit_bias: { "7": 101 } }, "logit_bias.7", /100/],
      [{ messages: [] }, "messages", /at least one/],
      [{ messages: undefined }, "messages", /missing/],
      [{ messages: null }, "messages", /expected array/],
      [{ messages: ["hello"] }, "messages.0", /expected object/],
      [{ messages: [{ role: "tool", content: "x" }] }, "messages.0.role", /must be system/],
      [{ messages: [{ content: "x" }] }, "messages.0.role", /must be system/],
      [{ messages: [{ role: "user" }] }, "messages.0.content", /must be a text/],
      [user(null), "messages.0.content", /must be a text/],
      [user(5), "messages.0.content", /must be a text/],
      [user(parts), "messages.0.content.1.type", /only text parts/],
      [user([{ type: "text" }]), "messages.0.content.0.text", /missing/],
      [user([{ type: "text", text: "a", colour: "red" }]), "messages.0.content.0.colour", /Unrecognized/],
    ];
    for (const [more, param, message] of refusals) {
      const { status, json } = await call("POST", "/v1/chat/completions", { ...ask, ...more });
      assertEquals([status, json.error?.param], [400, param], JSON.stringify(more));
      assertMatch(json.error.message, message);
      assert(json.error.message.includes(param), json.error.message);
    }
  });
});

Deno.test("what changes nothing is taken, changes nothing, and is not kept as a parameter", async () => {
  await withGateway({}, async ({ call, gateway, scripted }) => {
    const chat: Record<string, unknown>[] = [
      { tools: [], tool_choice: "none", parallel_tool_calls: true, functions: [], function_call: "auto" },
      { response_format: { type: "text" }, modalities: ["text"], service_tier: "auto", verbosity: "medium" },
      { logprobs: false, top_logprobs: 0, logit_bias: {}, stop: [] },
      { service_tier: "default", prompt_cache_key: "k", prompt_cache_retention: "24h", tool_choice: "auto" },
      { stream_options: { include_usage: null, include_obfuscation: false } },
    ];
    const text = [{ best_of: 1, echo: false, suffix: null }, { best_of: 2, n: 2, suffix: "", logprobs: null }];
    for (const more of chat) {
      const { status, json } = await call("POST", "/v1/chat/completions", { ...ask, ...more, seed: 1 });
      assertEquals(status, 200, JSON.stringify([more, json]));
      const { parameters } = (await findCompletion(gateway.database, json.id))!;
      for (const name of ["tools", "functions", "response_format"]) assert(!(name in parameters), name);
    }
    assertEquals(new Set(scripted.requests.map(({ sampling }) => JSON.stringify(sampling))).size, 1);
    for (const more of text) {
      const { status, json } = await call("POST", "/v1/completions", { model: "base", prompt: "once", ...more });
      assertEquals(status, 200, JSON.stringify([more, json]));
    }
  });
});

Deno.test("answers of this server and of others are history, and reach the prompt as the words that were said", async () => {
  await withGateway({}, async ({ call, gateway, scripted }) => {
    const plain = await call("POST", "/v1/chat/completions", { ...ask, messages: history });
    const extras: Record<string, unknown>[] = [
      { refusal: null },
      { refusal: "", tool_calls: null, function_call: null, audio: null, annotations: null, reasoning_content: null },
      { tool_calls: [], annotations: [], reasoning_content: "", parsed: null, name: null, tool_call_id: null },
      { reasoning_content: "it is a greeting" },
      { content: [{ type: "text", text: "h" }, { type: "text", text: "i" }] },
    ];
    for (const more of extras) {
      const { status, json } = await call("POST", "/v1/chat/completions", { ...ask, messages: answeredWith(more) });
      assertEquals(status, 200, JSON.stringify([more, json]));
      assertStrictEquals(json.usage.prompt_tokens, plain.json.usage.prompt_tokens);
      const { prompt } = (await findCompletion(gateway.database, json.id))!;
      const { reasoning_content } = more;
      assertEquals<unknown>(prompt, reasoning_content ? answeredWith({ reasoning_content }) : history);
    }
    assertEquals(new Set(scripted.requests.map(({ promptIds }) => promptIds.join())).size, 1);
    const { json } = await call("POST", "/v1/chat/completions", ask);
    const turns = [...ask.messages, json.choices[0].message, ...ask.messages];
    assertEquals((await call("POST", "/v1/chat/completions", { ...ask, messages: turns })).status, 200);
  });
});

Deno.test("padded chunks have lengths that are multiples of 64, and the same words", async () => {
  await withGateway({}, async ({ call }) => {
    const stream_options = { include_obfuscation: true, include_usage: true };
    const { text } = await call("POST", "/v1/chat/completions", { ...ask, stream: true, stream_options });
    const chunks = chunksOf(text), lengths = chunks.map((chunk) => JSON.stringify(chunk).length);
    assertEquals(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join(""), "Hello é😀!");
    assertEquals(new Set(lengths.map((length) => length % 64)).size, 1, lengths.join());
  });
});

Deno.test("a thumb on an answer whose stream is under way is taken, and is a row once the stream ends", async () => {
  const gate = Promise.withResolvers<void>();
  await withGateway({ script: { beat: () => gate.promise } }, async ({ fetch, call }) => {
    const response = await fetch(
      new Request("http://localhost/v1/chat/completions", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ ...ask, stream: true }),
      }),
    );
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let seen = (await reader.read()).value!;
    const [, completion_id] = /"id":"([^"]+)"/.exec(seen)!;
    const thumb = await call("POST", "/v1/feedback", { completion_id, label: false, correction: "Hello!" });
    assertEquals(thumb.status, 201, thumb.text);
    assertEquals((await call("GET", `/v1/answers/${completion_id}`)).json.choices[0].finish_reason, "in_progress");
    assertEquals((await call("GET", "/v1/answers?unlabelled=false")).json.data, []);
    assertEquals((await call("GET", "/v1/feedback/export")).text, "");
    gate.resolve();
    for (let piece; !(piece = await reader.read()).done;) seen += piece.value;
    assertMatch(seen, /\[DONE\]/);
    const rows = (await call("GET", "/v1/feedback/export")).text.trimEnd().split("\n").map((row) => JSON.parse(row));
    assertEquals(rows.map(({ completion, label }) => [completion[0].content, label]), [
      ["Hello é😀!", false],
      ["Hello!", true],
    ]);
    assertEquals((await call("GET", `/v1/feedback/${thumb.json.id}`)).json, thumb.json);
  });
});

Deno.test("a stream that breaks off before its first word, or is not kept, leaves nothing in the store", async () => {
  await withGateway({ script: { failAfter: 0 } }, async ({ call, gateway }) => {
    await call("POST", "/v1/chat/completions", { ...ask, stream: true });
    assertEquals(await gateway.database.all("SELECT id FROM completions"), []);
  });
  await withGateway({}, async ({ call, gateway }) => {
    await call("POST", "/v1/chat/completions", { ...ask, stream: true, store: false });
    assertEquals(await gateway.database.all("SELECT id FROM completions"), []);
  });
});

Deno.test("answers that are broken off count the tokens that they had, in the store and in the metrics", async () => {
  const beat = () => new Promise<void>((resolve) => setTimeout(resolve, 2));
  await withGateway({ script: { pieces: Array(60).fill("a "), beat } }, async ({ fetch, call, gateway }) => {
    const hangUp = new AbortController();
    const [streamed, whole] = [true, false].map((stream) =>
      new Request("http://localhost/v1/chat/completions", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ ...ask, stream, max_tokens: 50 }),
        signal: hangUp.signal,
      })
    );
    const reader = (await fetch(streamed!)).body!.pipeThrough(new TextDecoderStream()).getReader();
    let seen = "";
    while (!seen.includes('"a "')) seen += (await reader.read()).value;
    await reader.cancel();
    setTimeout(() => hangUp.abort(), 30);
    await fetch(whole!);
    let items: Awaited<ReturnType<typeof listCompletions>>["items"];
    do ({ items } = await listCompletions(gateway.database, { limit: 9 })); while (items.length < 2);
    for (const { choices: [choice] } of items) {
      assertEquals(choice!.finishReason, "cancelled");
      assert(choice!.tokens > 0);
      assertEquals([choice!.content.length, choice!.logProb], [choice!.tokens * 2, -choice!.tokens]);
    }
    const { text } = await call("GET", "/metrics");
    const tokens = items.reduce((sum, { choices }) => sum + choices[0]!.tokens, 0);
    assertMatch(text, new RegExp(`prospect_completion_tokens_total{model="base"} ${tokens}$`, "m"));
    assertMatch(text, /prospect_answers_total{model="base",finish_reason="cancelled"} 2$/m);
  });
});

Deno.test("a bias for a token that the model has not is refused by name", async () => {
  await withGateway({}, async ({ call, scripted }) => {
    const last = scripted.engine.vocabularySize - 1, biased = (id: number) => ({ ...ask, logit_bias: { [id]: 1 } });
    assertEquals((await call("POST", "/v1/chat/completions", biased(last))).status, 200);
    for (const id of [last + 1, 2 ** 53]) {
      const { status, json } = await call("POST", "/v1/chat/completions", biased(id));
      assertEquals([status, json.error.param, json.error.code], [400, "logit_bias", "invalid_value"]);
      assert(json.error.message.includes(`0 to ${last}`), json.error.message);
    }
  });
});

Deno.test("metadata and safety_identifier are kept with the answer, shown with it, and find it and its thumbs", async () => {
  await withGateway({}, async ({ call, gateway }) => {
    const kept = { metadata: { trace: "a b&c=1", "odd [key]": "" }, safety_identifier: "person 7" };
    const { json: { id } } = await call("POST", "/v1/chat/completions", { ...ask, ...kept });
    const streamed = await call("POST", "/v1/completions", { model: "base", prompt: "x", stream: true, ...kept });
    const others = { metadata: { trace: "other" }, safety_identifier: "person 8", user: "ann" };
    const other = await call("POST", "/v1/chat/completions", { ...ask, ...others });
    await call("POST", "/v1/chat/completions", { ...ask, metadata: {} });
    const find = (pairs: Record<string, string>) => `?${new URLSearchParams(pairs)}`;
    const both = [chunksOf(streamed.text)[0].id, id];
    const trace = find({ "metadata[trace]": "a b&c=1" }), safety = find({ safety_identifier: "person 7" });
    for (const query of [trace, safety, find({ "metadata[odd [key]]": "", "metadata[trace]": "a b&c=1" })]) {
      const { json } = await call("GET", `/v1/answers${query}`);
      assertEquals(json.data.map(({ id }: { id: string }) => id), both, query);
      for (const { metadata, safety_identifier } of json.data) assertEquals({ metadata, safety_identifier }, kept);
    }
    for (const completion_id of [id, other.json.id]) await call("POST", "/v1/feedback", { completion_id, label: true });
    for (const query of [trace, safety]) {
      const { data } = (await call("GET", `/v1/feedback${query}`)).json;
      assertEquals(data.map(({ completion_id }: { completion_id: string }) => completion_id), [id]);
      const row = JSON.parse((await call("GET", `/v1/feedback/export${query}`)).text);
      assertEquals([row.completion_id, row.metadata, row.safety_identifier], [id, ...Object.values(kept)]);
    }
    assertEquals(
      (await findCompletion(gateway.database, id))!.endUser,
      "person 7",
      "as `user`, where that is not sent",
    );
    assertEquals((await findCompletion(gateway.database, other.json.id))!.endUser, "ann");
    const forgotten = await call("DELETE", `/v1/feedback${find({ end_user: "person 7" })}`);
    assertEquals(forgotten.json.deleted.completions, 2);
    assertEquals((await call("GET", `/v1/answers${trace}`)).json.data, []);
    const refused: [Record<string, unknown>, string][] = [
      [{ metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [i, ""])) }, "metadata"],
      [{ metadata: { ["k".repeat(65)]: "" } }, "metadata"],
      [{ metadata: { k: "v".repeat(513) } }, "metadata.k"],
      [{ metadata: { k: 1 } }, "metadata.k"],
      [{ metadata: "k" }, "metadata"],
      [{ safety_identifier: "s".repeat(257) }, "safety_identifier"],
    ];
    for (const [more, param] of refused) {
      const { status, json } = await call("POST", "/v1/chat/completions", { ...ask, ...more });
      assertEquals([status, json.error.param], [400, param]);
    }
  });
});

Deno.test("store: false keeps nothing, and such an answer cannot be judged", async () => {
  await withGateway({}, async ({ call, gateway }) => {
    const { json } = await call("POST", "/v1/chat/completions", { ...ask, store: false });
    assertEquals(await findCompletion(gateway.database, json.id), undefined);
    assertEquals((await call("POST", "/v1/feedback", { completion_id: json.id, label: true })).status, 404);
  });
});

Deno.test("models are listed with their versions, loaded while answers go on, and removed unless an alias needs them", async () => {
  await withGateway({}, async ({ call, gateway, folder }) => {
    const path = await writeScriptedAdapter(folder, "somewhere");
    const spread = (model: string) =>
      call("PUT", "/v1/aliases/prospect", { arms: [{ model: "base", weight: 1 }, { model, weight: 0 }] });
    const put = await call("PUT", "/v1/adapters/new", { path });
    assertEquals(put.json.model, "base:new");
    const { json } = await call("GET", "/v1/models");
    assertEquals(json.data.map(({ id }: { id: string }) => id), ["base", "base:new", "prospect"]);
    assertEquals((await call("GET", "/v1/models/base:new")).json.id, "base:new");
    assertEquals((await call("GET", "/v1/models/base:old")).status, 404);
    const answer = await call("POST", "/v1/chat/completions", { ...ask, model: "base:new" });
    assertEquals(answer.json.choices[0].message.content, "new: Hello é😀!");
    assertStrictEquals((await findCompletion(gateway.database, answer.json.id))?.adapterVersion, put.json.version);
    assertEquals((await spread("base:new")).status, 200);
    assertEquals((await call("DELETE", "/v1/adapters/new")).status, 409);
    assertEquals(
      (await call("PUT", "/v1/aliases/prospect", { arms: [{ model: "base", weight: 1 }] })).status,
      200,
    );
    assertEquals((await call("DELETE", "/v1/adapters/new")).status, 200);
    assertEquals((await call("DELETE", "/v1/adapters/new")).status, 404);
    assertEquals((await call("POST", "/v1/chat/completions", { ...ask, model: "base:new" })).status, 404);
    assertEquals((await call("PUT", "/v1/adapters/new", { path: "nowhere" })).status, 400);
    assertEquals((await call("PUT", "/v1/adapters/a:b", { path })).status, 400);
  });
});
