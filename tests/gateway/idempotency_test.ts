// Idempotency-Key: what is sent again under its key is done once, whatever route it is, and answered without the work.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { listFiles } from "../../shared/store/files.ts";
import { listJobs } from "../../shared/store/jobs.ts";
import { listPromotions } from "../../shared/store/promotions.ts";
import { answer, exported, press, take } from "./feedback_calls.ts";
import { type OpenGateway, withGateway } from "./open_gateway.ts";
import { registerScripted } from "./registered.ts";

const key = (name: string) => ({ "Idempotency-Key": name });

function upload({ fetch }: OpenGateway, rows: string, headers: Record<string, string>, name = "thumbs.jsonl") {
  const form = new FormData();
  form.set("purpose", "fine-tune");
  form.set("file", new File([rows], name));
  return fetch(new Request("http://localhost/v1/files", { method: "POST", body: form, headers }));
}

Deno.test("every POST that makes or changes something takes an Idempotency-Key; asking for an answer is no such thing", async () => {
  await withGateway({}, async ({ call }) => {
    const { paths } = (await call("GET", "/openapi.json")).json;
    const without = Object.entries<{ post?: { parameters?: { name: string }[] } }>(paths)
      .filter(([, { post }]) => post && !post.parameters?.some(({ name }) => name === "idempotency-key"))
      .map(([path]) => path);
    assertEquals(without, ["/v1/chat/completions", "/v1/completions"]);
  });
});

Deno.test("a job that is asked for again under its key is the same job, also at once, and after the labels are gone", async () => {
  await withGateway({}, async ({ call, gateway }) => {
    const thumb = await press(call, { completion_id: await answer(call), label: true, end_user: "ann" });
    const body = { training_file: "labels", model: "base", suffix: "one" };
    const ask = (name: string, more = {}) => call("POST", "/v1/fine_tuning/jobs", { ...body, ...more }, key(name));
    const answers = await Promise.all([ask("a"), ask("a"), ask("a")]);
    assertEquals(answers.map(({ status }) => status), [200, 200, 200]);
    assertEquals(new Set(answers.map(({ json }) => json.id)).size, 1);
    await call("DELETE", "/v1/feedback?end_user=ann");
    const { status, json } = await ask("a");
    assertEquals([status, json.id], [200, answers[0]!.json.id]);
    const other = await ask("a", { suffix: "two" });
    assertEquals([other.status, other.json.error.code], [422, "idempotency_key_reused"]);
    assertEquals((await ask("b")).status, 400, "no labels are left for a new one");
    assertEquals((await listJobs(gateway.database, 9)).length, 1);
    assert(thumb);

    const cancel = () => call("POST", `/v1/fine_tuning/jobs/${json.id}/cancel`, undefined, key("c"));
    assertEquals([(await cancel()).json.status, (await cancel()).json.status], ["cancelled", "cancelled"]);
  });
});

Deno.test("a file that is uploaded again under its key is one file, though each form has a boundary of its own", async () => {
  await withGateway({}, async (open) => {
    const rows = '{"prompt":"a","completion":"b","label":true}\n';
    const responses = await Promise.all([upload(open, rows, key("a")), upload(open, rows, key("a"))]);
    responses.push(await upload(open, rows, key("a")));
    const files = await Promise.all(responses.map((response) => response.json()));
    assertEquals(files[0].object, "file");
    for (const file of files) assertEquals(file, files[0]);
    assertEquals((await listFiles(open.gateway.database, 9)).map(({ id }) => id), [files[0].id]);
    assertEquals([...Deno.readDirSync(`${open.folder}/files`)].map(({ name }) => name), [files[0].id]);
    for (const [other, name] of [[rows + rows, "thumbs.jsonl"], [rows, "other.jsonl"]] as const) {
      const response = await upload(open, other, key("a"), name);
      assertEquals(response.status, 422);
      await response.body?.cancel();
    }
    const long = await upload(open, rows, key("k".repeat(256)));
    assertEquals((await long.json()).error.param, "idempotency-key");
  });
});

Deno.test("a promotion and a way back that are sent again under their key happen once", async () => {
  await withGateway({}, async ({ call, gateway }) => {
    for (const name of ["a", "b"]) await registerScripted(gateway, name);
    const promote = (name: string, again: string) =>
      call("POST", "/v1/registry/promote", { model: `base:${name}`, reason: "better" }, key(again));
    const goBack = () => call("POST", "/v1/registry/rollback", {}, key("back"));
    assertEquals((await promote("a", "1")).json.current, "base:a");
    assertEquals((await promote("b", "2")).json.current, "base:b");
    assertEquals((await promote("a", "1")).json.current, "base:b", "done long ago, not done again");
    assertEquals((await promote("b", "1")).status, 422);
    assertEquals([(await goBack()).json.current, (await goBack()).json.current], ["base:a", "base:a"]);
    const kinds = (await listPromotions(gateway.database, "prospect")).map(({ kind, to }) => `${kind} ${to}`);
    assertEquals(kinds, ["promote base:a", "promote base:b", "rollback base:a"]);
  });
});

Deno.test("an import that is sent again is answered with the same words without a row of it being read", async () => {
  await withGateway({}, async ({ call, gateway }) => {
    const file = '{"prompt":"a","completion":"b","label":true}\n{"prompt":"a","completion":"","label":true}\n';
    const first = await take(call, file, key("file"));
    assertEquals([first.status, first.json.notes.length], [201, 2]);
    let writes = 0;
    const { database } = gateway, { write, run } = database;
    Object.assign(database, {
      write: (...given: Parameters<typeof write>) => (writes++, write.apply(database, given)),
      run: (...given: Parameters<typeof run>) => (writes++, run.apply(database, given)),
    });
    const again = await take(call, file, key("file"));
    assertEquals([again.status, again.json], [201, first.json]);
    assertStrictEquals(writes, 0);
    assertEquals((await exported(call)).length, 1);
  });
});
