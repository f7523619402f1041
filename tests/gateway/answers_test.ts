// /v1/answers over the app: the queue of what nobody judged yet, and who answered what.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { type OpenGateway, withGateway } from "./open_gateway.ts";
import { registerScripted } from "./registered.ts";

/** An answer's id. */
async function answer({ call }: OpenGateway, content: string, more: Record<string, unknown> = {}): Promise<string> {
  const body = { model: "prospect", messages: [{ role: "user", content }], ...more };
  const { status, json } = await call("POST", "/v1/chat/completions", body);
  assertEquals(status, 200, JSON.stringify(json));
  return json.id;
}

Deno.test("an answer tells the prompt, who was asked, who answered, and every thumb on it", async () => {
  await withGateway({}, async (open) => {
    const { version } = await registerScripted(open.gateway, "curt");
    await open.call("PUT", "/v1/aliases/prospect", { arms: [{ model: "base:curt", weight: 1 }] });
    const id = await answer(open, "hello", { n: 2, user: "ann" });
    const labels = [];
    for (const [choice, label] of [[0, true], [1, false]]) {
      labels.push(
        (await open.call("POST", "/v1/feedback", { completion_id: id, choice, label, end_user: "ann" })).json,
      );
    }
    const { status, json } = await open.call("GET", `/v1/answers/${id}`);
    assertEquals(status, 200);
    const { created_at, adapter_version, ...rest } = json;
    assert(Math.abs(created_at - Date.now()) < 60_000, "milliseconds, as all of feedback");
    assertStrictEquals(adapter_version, version);
    const content = "curt: Hello é😀!", told = { content, finish_reason: "stop", tokens: 4 };
    assertEquals(rest, {
      id,
      object: "answer",
      source: "chat",
      model: "prospect",
      arm: "base:curt",
      alias: "prospect",
      prompt: [{ role: "user", content: "hello" }],
      end_user: "ann",
      safety_identifier: null,
      metadata: null,
      choices: [{ index: 0, ...told }, { index: 1, ...told }],
      labels: labels.reverse(),
    });
    const none = await open.call("GET", "/v1/answers/none");
    assertEquals([none.status, none.json.error.code], [404, "answer_not_found"]);
  });
});

Deno.test("the queue of the unlabelled loses an answer with its thumb, gets it back when the thumb is taken back, and pages", async () => {
  await withGateway({}, async (open) => {
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) {
      ids.unshift(await answer(open, `question ${i}`, { model: i === 0 ? "base" : "prospect" }));
    }
    await answer(open, "not to be kept", { store: false });
    const found = async (query: string) => {
      const { status, json } = await open.call("GET", `/v1/answers?${query}`);
      assertEquals(status, 200, query);
      return json.data.map(({ id }: { id: string }) => id);
    };
    assertEquals(await found(""), ids);
    const thumb = (await open.call("POST", "/v1/feedback", { completion_id: ids[2], label: true })).json;
    assertEquals(await found("unlabelled=true"), ids.filter((id) => id !== ids[2]));
    assertEquals(await found("unlabelled=false"), [ids[2]]);
    assertEquals(await found("model=base"), [ids[4]]);
    assertEquals(await found("unlabelled=true&model=prospect"), [ids[0], ids[1], ids[3]]);
    await open.call("DELETE", `/v1/feedback/${thumb.id}`);
    const seen: string[] = [];
    for (let cursor = "";;) {
      const { json } = await open.call("GET", `/v1/answers?unlabelled=true&limit=2${cursor}`);
      seen.push(...json.data.map(({ id }: { id: string }) => id));
      if (!json.has_more) break;
      cursor = `&cursor=${json.next_cursor}`;
    }
    assertEquals(seen, ids);
    for (const query of ["limit=0", "unlabelled=maybe", "cursor=nonsense"]) {
      assertEquals((await open.call("GET", `/v1/answers?${query}`)).status, 400, query);
    }
  });
});

Deno.test("a person's own queue has what they have not judged themselves, choice by choice, whoever else has", async () => {
  await withGateway({}, async (open) => {
    const [first, second] = [await answer(open, "one", { n: 2 }), await answer(open, "two")];
    const queue = async (person: string) => {
      const { status, json } = await open.call("GET", `/v1/answers?unlabelled_by=${person}`);
      assertEquals(status, 200);
      return json.data.map(({ id }: { id: string }) => id);
    };
    const judge = (completion_id: string, choice: number, end_user: string, label: boolean) =>
      open.call("POST", "/v1/feedback", { completion_id, choice, end_user, label });
    await judge(first, 0, "ann", true);
    await judge(second, 0, "bob", false);
    assertEquals(await queue("ann"), [second, first], "one of the two choices waits for ann");
    await judge(first, 1, "ann", false);
    assertEquals(await queue("ann"), [second]);
    assertEquals(await queue("bob"), [first]);
    await judge(second, 0, "ann", true);
    assertEquals(await queue("ann"), []);
    assertEquals(await queue("carl"), [second, first]);
    const { json } = await open.call("GET", `/v1/answers/${second}`);
    const told = json.labels.map(({ end_user, label }: { end_user: string; label: boolean }) => `${end_user} ${label}`);
    assertEquals(told.sort(), ["ann true", "bob false"], "two people's thumbs are two labels");
  });
});
