// Thumbs over the app: set, replaced, taken back, corrected, listed, exported, forgotten.

import { assert, assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { startUpkeep } from "../../services/gateway/upkeep.ts";
import { renderReport } from "../../services/trainer/report.ts";
import { findCompletion } from "../../shared/store/completions.ts";
import { deleteEndUser } from "../../shared/store/end_users.ts";
import { addFile } from "../../shared/store/files.ts";
import { addJob, finishJob } from "../../shared/store/jobs.ts";
import { currentWatermark } from "../../shared/store/labels.ts";
import { answer, ask, exported, press, take } from "./feedback_calls.ts";
import { withGateway } from "./open_gateway.ts";
import { registerScripted } from "./registered.ts";
import { jobRequest } from "./registered.ts";

Deno.test("a label may be spelt in six ways, and in no other", async () => {
  await withGateway({}, async ({ call }) => {
    const completion_id = await answer(call);
    for (const label of [true, "desirable", 1]) {
      assertEquals((await press(call, { completion_id, label, end_user: `up ${label}` })).label, true);
    }
    for (const label of [false, "undesirable", -1]) {
      assertEquals((await press(call, { completion_id, label, end_user: `down ${label}` })).label, false);
    }
    for (const label of ["up", "true", 0, 2, null, "", [], {}, "Desirable"]) {
      const { status, json } = await call("POST", "/v1/feedback", { completion_id, label });
      assertEquals([status, json.error.param], [400, "label"], JSON.stringify(label));
    }
    const rows = await exported(call);
    assertEquals(rows.map(({ label }) => label), [true, true, true, false, false, false]);
  });
});

Deno.test("a second thumb of the same person on the same choice replaces the first, and history keeps both", async () => {
  await withGateway({}, async ({ call }) => {
    const completion_id = await answer(call, { n: 2 });
    const first = await press(call, { completion_id, label: true, end_user: "ann", reason: "short", tags: ["tone"] });
    const second = await press(call, { completion_id, label: false, end_user: "ann" });
    assertStrictEquals(second.id, first.id);
    assertEquals([first.version, second.version], [1, 2]);
    assertEquals([second.reason, second.tags], [null, []], "what was said of the old thumb is not said of the new");
    await press(call, { completion_id, label: true, end_user: "bob" });
    await press(call, { completion_id, label: true });
    await press(call, { completion_id, label: true, end_user: "ann", choice: 1 });
    const rows = await exported(call);
    assertEquals(
      rows.map(({ end_user, choice, label }) => [end_user, choice, label]),
      [["ann", 0, false], ["bob", 0, true], ["", 0, true], ["ann", 1, true]],
    );
    const { data } = (await call("GET", `/v1/feedback/${first.id}/history`)).json;
    assertEquals(
      data.map((event: Record<string, unknown>) => [event.kind, event.version, event.label, event.reason]),
      [["set", 1, true, "short"], ["replaced", 2, false, null]],
    );
  });
});

Deno.test("a thumb that was taken back is in no list and no export, but in its history; pressed again it is new", async () => {
  await withGateway({}, async ({ call }) => {
    const completion_id = await answer(call);
    const { id } = await press(call, { completion_id, label: true });
    assertEquals((await call("DELETE", `/v1/feedback/${id}`)).json, { id, object: "feedback", deleted: true });
    assertEquals((await call("GET", `/v1/feedback/${id}`)).status, 404);
    assertEquals((await call("DELETE", `/v1/feedback/${id}`)).status, 404);
    assertEquals((await call("GET", "/v1/feedback")).json.data, []);
    assertEquals(await exported(call), []);
    const { data } = (await call("GET", `/v1/feedback/${id}/history`)).json;
    assertEquals(data.map(({ kind }: { kind: string }) => kind), ["set", "deleted"]);
    assertNotStrictEquals((await press(call, { completion_id, label: false })).id, id);
    assertEquals((await exported(call)).length, 1);
  });
});

Deno.test("what is not there cannot be judged, and the refusal says which part is missing", async () => {
  await withGateway({}, async ({ call }) => {
    const completion_id = await answer(call);
    const unknown = await call("POST", "/v1/feedback", { completion_id: "chatcmpl-none", label: true });
    assertEquals([unknown.status, unknown.json.error.code], [404, "completion_not_found"]);
    const choice = await call("POST", "/v1/feedback", { completion_id, label: true, choice: 1 });
    assertEquals([choice.status, choice.json.error.code], [404, "choice_not_found"]);
    assertEquals((await call("GET", "/v1/feedback/none/history")).status, 404);
  });
});

Deno.test("sixteen retries at once under one key are one thumb and one answer; another body is 422", async () => {
  await withGateway({}, async ({ call }) => {
    const completion_id = await answer(call);
    const key = { "Idempotency-Key": "press 1" };
    const body = { completion_id, label: true, end_user: "ann" };
    const answers = await Promise.all(Array.from({ length: 16 }, () => press(call, body, key)));
    assertEquals(new Set(answers.map((answer) => JSON.stringify(answer))).size, 1);
    assertEquals(answers[0]!.version, 1);
    await press(call, { ...body, label: false });
    assertEquals(await press(call, body, key), answers[0], "a retry does not undo what came between");
    assertEquals((await exported(call)).map(({ label }) => label), [false]);
    const other = await call("POST", "/v1/feedback", { ...body, label: false }, key);
    assertEquals([other.status, other.json.error.code], [422, "idempotency_key_reused"]);
    const refused = { "Idempotency-Key": "press 2" };
    assertEquals((await call("POST", "/v1/feedback", { ...body, choice: 7 }, refused)).status, 404);
    await press(call, body, refused);
  });
});

Deno.test("a correction makes a desirable row of what should have been said, beside the undesirable answer", async () => {
  await withGateway({}, async ({ call }) => {
    const completion_id = await answer(call);
    await press(call, { completion_id, label: false, correction: "Hello, Ann." });
    const [original, correction] = await exported(call);
    assertEquals(original.completion, [{ role: "assistant", content: "Hello é😀!" }]);
    assertEquals(correction.completion, [{ role: "assistant", content: "Hello, Ann." }]);
    assertEquals([original.label, correction.label], [false, true]);
    assertEquals([original.is_correction, correction.is_correction], [false, true]);
    assertEquals([original.log_prob, correction.log_prob], [-3, null]);
    assertEquals([original.prompt, correction.prompt], [ask.messages, ask.messages]);
    assertEquals((await exported(call, "?label=desirable")).map(({ is_correction }) => is_correction), [true]);
    const good = await call("POST", "/v1/feedback", { completion_id, label: true, correction: "Hello." });
    assertEquals([good.status, good.json.error.param], [400, "correction"]);
    await press(call, { completion_id, label: false });
    assertEquals((await exported(call)).length, 1, "without its correction the thumb is one row");
  });
});

Deno.test("every row carries the exact prompt of its turn and who answered, so any turn of a conversation is a row", async () => {
  await withGateway({}, async ({ call, gateway }) => {
    const { version } = await registerScripted(gateway, "new");
    const turns = [
      { role: "developer", content: "Be kind." },
      { role: "user", content: [{ type: "text", text: "hel" }, { type: "text", text: "lo\u2028\u0000" }], name: "Ann" },
      { role: "assistant", content: "Hi." },
      { role: "user", content: "and you?" },
    ];
    const completion_id = await answer(call, { model: "base:new", messages: turns, temperature: 0 });
    await press(call, { completion_id, label: true });
    const [row] = await exported(call);
    assertEquals(row.prompt, [
      { role: "system", content: "Be kind." },
      { role: "user", content: "hello\u2028\u0000", name: "Ann" },
      { role: "assistant", content: "Hi." },
      { role: "user", content: "and you?" },
    ]);
    assertEquals(Object.keys(row).slice(0, 3), ["prompt", "completion", "label"]);
    assertEquals([row.model, row.adapter, row.adapter_version], ["base:new", "new", version]);
    assertStrictEquals(row.completion_id, completion_id);
    const { json } = await call("POST", "/v1/completions", { model: "base", prompt: "once" });
    await press(call, { completion_id: json.id, label: false });
    const [, text] = await exported(call);
    assertEquals([text.prompt, text.completion, text.source], ["once", "Hello é😀!", "text"]);
  });
});

Deno.test("each filter keeps what it says in lists and exports alike", async () => {
  await withGateway({}, async ({ call, gateway }) => {
    await registerScripted(gateway, "new");
    const one = await answer(call), two = await answer(call, { model: "base:new" });
    const text = (await call("POST", "/v1/completions", { model: "base", prompt: "once" })).json.id;
    await press(call, { completion_id: one, label: true, end_user: "ann", tags: ["tone", "length"] });
    await press(call, { completion_id: two, label: false, end_user: "bob", tags: ["tone"] });
    await press(call, { completion_id: text, label: false });
    await take(call, '{"prompt":"a","completion":"b","label":true}\n');
    const later = Date.now() + 60_000;
    const cases: [string, number][] = [
      ["label=desirable", 2],
      ["label=false", 2],
      ["tag=tone", 2],
      ["tag=length", 1],
      ["tag=ton", 0],
      ["end_user=bob", 1],
      ["model=base", 2],
      ["model=base%3Anew", 1],
      ["adapter=new", 1],
      [`completion_id=${one}`, 1],
      ["source=text", 1],
      ["source=import", 1],
      ["tag=tone&label=undesirable", 1],
      [`since=${later}`, 0],
      [`until=${later}`, 4],
    ];
    for (const [query, count] of cases) {
      assertEquals((await exported(call, `?${query}`)).length, count, `export ${query}`);
      assertEquals((await call("GET", `/v1/feedback?${query}`)).json.data.length, count, `list ${query}`);
    }
    for (const query of ["label=maybe", "source=mail", "since=yesterday", "until=-1", "limit=0", "limit=1001"]) {
      assertEquals((await call("GET", `/v1/feedback?${query}`)).status, 400, query);
    }
    for (const cursor of ["x", btoa("{}"), btoa('["\\u0000"]'), btoa("[1e999]")]) {
      const { status, json } = await call("GET", `/v1/feedback?cursor=${cursor}`);
      assertEquals(status, 400, cursor);
      assert(json.error.message.length > 0);
    }
  });
});

Deno.test("pages show every thumb once, newest first, while others are pressed and replaced meanwhile", async () => {
  await withGateway({}, async ({ call }) => {
    const completion_id = await answer(call);
    const people = Array.from({ length: 23 }, (_, i) => `user ${i}`);
    for (const end_user of people) await press(call, { completion_id, label: true, end_user });
    const seen: string[] = [];
    let query = "?limit=5";
    for (let page = 0;; page++) {
      const { json } = await call("GET", `/v1/feedback${query}`);
      seen.push(...json.data.map(({ end_user }: { end_user: string }) => end_user));
      assertStrictEquals(json.has_more, json.next_cursor !== null);
      if (!json.has_more) break;
      query = `?limit=5&cursor=${encodeURIComponent(json.next_cursor)}`;
      await press(call, { completion_id, label: true, end_user: `late ${page}` });
      await press(call, { completion_id, label: false, end_user: "user 1" });
    }
    assertEquals(seen, people.toReversed());
  });
});

Deno.test("a person who is forgotten leaves no thumb, no history, no answer, and takes nobody else along", async () => {
  await withGateway({}, async ({ call, gateway }) => {
    const secret = "my very own words 48151623";
    const theirs = await answer(call, { user: "ann", messages: [{ role: "user", content: secret.slice(0, 20) }] });
    const ours = await answer(call, { user: "bob" });
    const key = { "Idempotency-Key": "1" };
    const thumb = await press(call, { completion_id: ours, label: false, end_user: "ann", reason: secret }, key);
    await press(call, { completion_id: theirs, label: true, end_user: "bob" });
    await press(call, { completion_id: ours, label: true, end_user: "bob" });
    const { status, json } = await call("DELETE", "/v1/feedback?end_user=ann");
    assertEquals(status, 200);
    assertEquals(json, { end_user: "ann", deleted: { labels: 2, completions: 1 } });
    assertEquals((await call("GET", `/v1/feedback/${thumb.id}/history`)).status, 404);
    assertEquals(await findCompletion(gateway.database, theirs), undefined);
    assertEquals((await exported(call)).map(({ end_user, completion_id }) => [end_user, completion_id]), [
      ["bob", ours],
    ]);
    assertEquals((await call("DELETE", "/v1/feedback?end_user=ann")).json.deleted, { labels: 0, completions: 0 });
    assertEquals((await call("DELETE", "/v1/feedback?end_user=")).status, 400);
    assertEquals((await call("DELETE", "/v1/feedback")).status, 400);
  });
});

Deno.test("a person who is forgotten is quoted by no report of a run, however little of the forgetting was done before a crash", async () => {
  await withGateway({}, async ({ call, gateway, folder }) => {
    const { database } = gateway, secret = "my very own words 48151623";
    const lengthOf = (text: string) => new TextEncoder().encode(text).length;
    const samples = [{ prompt: secret, before: "no", after: "yes" }];
    const report = renderReport({
      title: "",
      settings: {},
      metrics: [],
      evaluations: [],
      result: {},
      notes: [],
      samples,
    });
    const addRun = async () => {
      const { id } = await addJob(database, jobRequest, await currentWatermark(database));
      const path = `runs/${id}/report.html`;
      Deno.mkdirSync(`${folder}/runs/${id}`, { recursive: true });
      Deno.writeTextFileSync(`${folder}/${path}`, report);
      const of = {
        createdAt: 1,
        filename: "report.html",
        purpose: "fine-tune-results",
        bytes: lengthOf(report),
      } as const;
      await database.write(async (queries) => {
        await addFile(queries, { ...of, id: `file-${id}`, path });
        await finishJob(queries, id, "succeeded", {});
      });
      return `/v1/files/file-${id}`;
    };
    const theirs = await answer(call, { user: "ann", messages: [{ role: "user", content: secret.slice(0, 20) }] });
    await press(call, { completion_id: theirs, label: true });
    const first = await addRun(), second = await addRun();
    const shown = async (file: string) => {
      const { text, headers } = await call("GET", `${file}/content`);
      const { bytes } = (await call("GET", file)).json;
      assertEquals([headers.get("Content-Length"), bytes], [String(lengthOf(text)), lengthOf(text)]);
      return text.includes(secret);
    };
    assertEquals([await shown(first), await shown(second)], [true, true]);
    // A gateway that died as soon as the store had forgotten.
    await deleteEndUser(database, "ann");
    const stop = startUpkeep(gateway);
    await stop();
    assertEquals([await shown(first), await shown(second)], [false, false]);
    const more = await answer(call, { user: "bob" });
    await press(call, { completion_id: more, label: true, end_user: "bob" });
    const third = await addRun();
    assertEquals((await call("DELETE", "/v1/feedback?end_user=bob")).status, 200);
    assertEquals(await shown(third), false);
  });
});

Deno.test("a key of yesterday is free again for another request, and upkeep leaves nothing of the old answer", async () => {
  await withGateway({}, async ({ call, gateway: open }) => {
    const { database } = open, completion_id = await answer(call);
    const key = { "Idempotency-Key": "1" }, kept = () => database.all("SELECT key FROM idempotent_answers");
    const age = (hours: number) =>
      database.run("UPDATE idempotent_answers SET created_at = created_at - $1", [hours * 3_600_000]);
    const first = await press(call, { completion_id, label: true, end_user: "ann" }, key);
    await age(23);
    assertEquals(await press(call, { completion_id, label: true, end_user: "ann" }, key), first);
    const other = { completion_id, label: false, end_user: "ann" };
    assertEquals((await call("POST", "/v1/feedback", other, key)).status, 422);
    await startUpkeep(open)();
    assertEquals((await kept()).length, 1);
    await age(2);
    assertEquals((await press(call, other, key)).version, 2);
    assertEquals((await call("POST", "/v1/feedback", { ...other, label: true }, key)).status, 422, "it counts anew");
    await age(25);
    await startUpkeep(open)();
    assertEquals(await kept(), []);
  });
});
