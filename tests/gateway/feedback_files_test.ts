// Thumbs as whole files: taken in all or not at all, and from one gateway to another.

import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { answer, exported, press, take } from "./feedback_calls.ts";
import { withGateway } from "./open_gateway.ts";

Deno.test("a file is taken in whole or not at all, and what is wrong is named by its line", async () => {
  await withGateway({}, async ({ call, folder }) => {
    const row = '{"prompt":"a","completion":"b","label":true}\n';
    const refusals: [what: string, body: string | Uint8Array, says: RegExp][] = [
      ["a broken line", `${row}${row}${row}{broken\n`, /body:4: not JSON/],
      ["a wrong label", `${row}{"prompt":"a","completion":"b","label":"meh"}\n`, /body:2: label is "meh"/],
      ["a label that every object has", '{"prompt":"a","completion":"b","label":"constructor"}', /body:1: label/],
      ["no label", `${row}{"prompt":"a","completion":"b"}\n`, /body:2: the row has no label/],
      ["bytes that are no text", Uint8Array.of(...new TextEncoder().encode(row), 0xc3, 0x28), /body:2: not UTF-8/],
      ["CSV", "prompt,completion,label\na,b,1\n", /body is CSV, .*FROM 'body'/],
      ["Parquet", "PAR1\0\0", /body is Parquet, /],
      ["nothing", "", /empty/],
      ["blank lines", "\n\n", /empty/],
      ["a line that is no object", `${row}17\n`, /body:2: expected a JSON object/],
      ["unknown fields", '{"question":"a"}\n', /body:1: fields question/],
      ["a truncated line", row.slice(0, -5), /body:1: not JSON/],
      ["tags that are none", `${row}{"prompt":"a","completion":"b","label":1,"tags":"tone"}\n`, /body:2: tags/],
      [
        "a name that is too long",
        `{"prompt":"a","completion":"b","label":1,"end_user":"${"x".repeat(257)}"}`,
        /body:1: end_user/,
      ],
      ["NUL in a name", '{"prompt":"a","completion":"b","label":1,"end_user":"a\\u0000"}', /NUL/],
    ];
    for (const [what, body, says] of refusals) {
      const { status, json } = await take(call, body);
      assertEquals(status, 400, what);
      assertMatch(json.error.message, says, what);
      assert(!json.error.message.includes(folder), "a path of this machine is nobody's business");
      assertEquals(await exported(call), [], what);
    }
    assertEquals([...Deno.readDirSync(folder)].filter(({ name }) => name.startsWith("scratch-")), []);
  });
});

Deno.test("imports read every format of deno task train: CRLF, arrays, paired rows, conversations, odd labels", async () => {
  await withGateway({}, async ({ call }) => {
    const files: [string, number, number][] = [
      ['\ufeff{"prompt":"a","completion":"b","label":true}\r\n\r\n{"prompt":"a","completion":"c","label":0}\r\n', 1, 1],
      ['[{"prompt":"a","completion":"b","label":"👍"},{"prompt":"a","completion":"b","label":"no"}]', 1, 1],
      ['{"prompt":"a","chosen":"b","rejected":"c"}', 1, 1],
      [
        JSON.stringify({
          messages: [
            { role: "user", content: "a" },
            { role: "assistant", content: "b", label: true },
            { role: "user", content: "c" },
            { role: "assistant", content: "d", label: false },
          ],
        }),
        1,
        1,
      ],
    ];
    let rows = 0;
    for (const [body, up, down] of files) {
      const { status, json } = await take(call, body);
      assertEquals(status, 201, body);
      assertEquals([json.rows, json.desirable, json.undesirable], [up + down, up, down]);
      assertMatch(json.notes[0], /^body: /);
      rows += up + down;
      assertEquals((await exported(call)).length, rows);
    }
    const [, , , , , , , last] = await exported(call);
    assertEquals(last.prompt.map(({ content }: { content: string }) => content), ["a", "b", "c"]);
    assertEquals(last.source, "import");
  });
});

Deno.test("an import names the fields that it does not use, and the records that it leaves out", async () => {
  await withGateway({}, async ({ call, folder }) => {
    const row = (further: object) => `${JSON.stringify({ prompt: "a", completion: "b", label: true, ...further })}\n`;
    const { status, json } = await take(call, row({ system: "s", score: 3 }) + row({ question: "q" }));
    assertEquals([status, json.rows], [201, 1]);
    assertMatch(
      json.notes.join("\n"),
      /^Not used: score \(1 record\)\.\n1 record left out: question .* \(body:2\)\.$/m,
    );
    assert(!JSON.stringify(json).includes(folder));
    const [{ prompt }] = await exported(call);
    assertEquals(prompt.map(({ role }: { role: string }) => role), ["system", "user"]);
    const refused = await take(call, row({ question: "q" }));
    assertEquals([refused.status, /^body:1: question/.test(refused.json.error.message)], [400, true]);
  });
});

Deno.test("rows whose completion is empty are left out, and the answer says which lines they were", async () => {
  await withGateway({}, async ({ call, folder }) => {
    const row = (completion: string) => `${JSON.stringify({ prompt: "a", completion, label: true })}\n`;
    const { status, json } = await take(call, row("b") + row("") + row(" "));
    assertEquals([status, json.rows], [201, 1]);
    assertMatch(json.notes[1], /2 dropped.*body:2, 3/);
    assert(!JSON.stringify(json).includes(folder), "a path of this machine is nobody's business");
  });
});

Deno.test("a thumb on an answer without a word comes through export and import as it is", async () => {
  const numbered = /,"sequence":\d+/g;
  let file = "";
  await withGateway({ script: { pieces: [] } }, async ({ call }) => {
    await press(call, { completion_id: await answer(call), label: false, end_user: "ann" });
    await press(call, { completion_id: await answer(call), label: false, correction: "Hello." });
    const { json } = await call("POST", "/v1/completions", { model: "base", prompt: "once" });
    await press(call, { completion_id: json.id, label: true });
    file = (await call("GET", "/v1/feedback/export")).text;
    assertEquals(file.split("\n").length, 5);
  });
  await withGateway({}, async ({ call }) => {
    const { status, json } = await take(call, file);
    assertEquals([status, json.rows, json.added, json.notes.length], [201, 4, 3, 1]);
    assertEquals((await call("GET", "/v1/feedback/export")).text.replace(numbered, ""), file.replace(numbered, ""));
    const again = (await call("GET", "/v1/feedback/export")).text;
    assertEquals((await take(call, again)).json.unchanged, 3);
    assertStrictEquals((await call("GET", "/v1/feedback/export")).text, again);
  });
});

Deno.test("a file that is sent again under its key is taken in once", async () => {
  await withGateway({}, async ({ call }) => {
    const body = '{"prompt":"a","completion":"b","label":true}\n', key = { "Idempotency-Key": "file 1" };
    const answers = await Promise.all([take(call, body, key), take(call, body, key), take(call, body, key)]);
    assertEquals(answers.map(({ status }) => status), [201, 201, 201]);
    assertEquals((await exported(call)).length, 1);
    assertEquals((await take(call, body + body, key)).status, 422);
    assertEquals((await exported(call)).length, 1);
  });
});

Deno.test("what one gateway exports another takes in: prompts, answers, labels, people, reasons, tags", async () => {
  let file = "";
  const essence = (rows: Record<string, unknown>[]) =>
    rows.map(({ prompt, completion, label, end_user, reason, tags }) => ({
      prompt,
      completion,
      label,
      end_user,
      reason,
      tags,
    }));
  let before: unknown;
  await withGateway({}, async ({ call }) => {
    const completion_id = await answer(call, { n: 2 });
    await press(call, { completion_id, label: true, end_user: "ann", reason: "warm 😀\n", tags: ["tone", "né"] });
    await press(call, { completion_id, label: false, choice: 1, correction: "Hello, Ann." });
    const { json } = await call("POST", "/v1/completions", { model: "base", prompt: "once" });
    await press(call, { completion_id: json.id, label: false, end_user: "bob" });
    file = (await call("GET", "/v1/feedback/export")).text;
    before = essence(await exported(call));
  });
  await withGateway({}, async ({ call }) => {
    const { status, json } = await take(call, file);
    assertEquals([status, json.rows], [201, 4]);
    assertEquals(essence(await exported(call)), before);
    assertEquals((await call("GET", "/v1/feedback?tag=n%C3%A9")).json.data[0].end_user, "ann");
    assertEquals((await call("DELETE", "/v1/feedback?end_user=ann")).json.deleted.labels, 1);
    assertEquals((await exported(call)).length, 3);
  });
});

Deno.test("an export is taken in again without a change, and by an empty gateway as the same file", async () => {
  const numbered = /,"sequence":\d+/g;
  let file = "";
  await withGateway({}, async ({ call }) => {
    const completion_id = await answer(call, { n: 2, user: "zoe" });
    await press(call, { completion_id, label: true, end_user: "ann", reason: "warm 😀\n", tags: ["tone", "né"] });
    await press(call, { completion_id, label: false, choice: 1, correction: "Hello, Ann." });
    const { json } = await call("POST", "/v1/completions", { model: "base", prompt: "once" });
    await press(call, { completion_id: json.id, label: false, end_user: "bob" });
    file = (await call("GET", "/v1/feedback/export")).text;
    const { status, json: taken } = await take(call, file);
    assertEquals([status, taken.rows, taken.added, taken.unchanged, taken.notes.length], [201, 4, 0, 3, 1]);
    assertStrictEquals((await call("GET", "/v1/feedback/export")).text, file);

    const [first] = (await call("GET", "/v1/feedback")).json.data;
    await call("DELETE", `/v1/feedback/${first.id}`);
    const later = (await take(call, file)).json;
    assertStrictEquals(later.added, 0);
    assertMatch(later.notes[1], /1 thumb of the file .* stayed as it is here/);
  });
  await withGateway({}, async ({ call }) => {
    assertEquals((await take(call, file)).json.added, 3);
    assertEquals((await call("GET", "/v1/feedback/export")).text.replace(numbered, ""), file.replace(numbered, ""));
    assertEquals(
      (await call("GET", "/v1/feedback")).json.data.map(({ correction }: { correction: string }) => correction),
      [
        null,
        "Hello, Ann.",
        null,
      ],
    );
    const rows = file.trim().split("\n").map((line) => JSON.parse(line));
    const { status, json } = await take(
      call,
      [rows[0], { ...rows[1], end_user: "eve" }].map((row) => JSON.stringify(row)).join("\n"),
    );
    assertEquals(status, 400);
    assertMatch(json.error.message, /^body:2: the id label-/);
    const odd = await take(call, JSON.stringify({ ...rows[0], choice: -1 }));
    assertMatch(odd.json.error.message, /^body:1: choice/);
  });
});
