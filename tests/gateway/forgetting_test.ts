// Deleted is deleted: also what is under way, in scratch, and in uploads.

import { assert, assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { openScratch } from "../../services/gateway/data_folder.ts";
import { openDatabase } from "../../shared/store/database.ts";
import { deleteEndUser } from "../../shared/store/end_users.ts";
import { answer, ask, exported, take } from "./feedback_calls.ts";
import { withGateway } from "./open_gateway.ts";

/** A gate that an answer waits at before each piece. */
function gate() {
  const { promise: waiting, resolve: arrived } = Promise.withResolvers<void>();
  const { promise: opened, resolve: open } = Promise.withResolvers<void>();
  return { waiting, open, beat: () => (arrived(), opened) };
}

for (const stream of [false, true]) {
  const what = stream ? "streamed" : "given whole";
  Deno.test(`a person who is deleted while their answer is ${what} is not stored afterwards, whichever gateway was told`, async () => {
    for (const elsewhere of [false, true]) {
      const { waiting, open, beat } = gate();
      await withGateway({ script: { beat } }, async ({ call, folder, gateway }) => {
        const other = await openDatabase(`${folder}/store.sqlite`);
        const asking = call("POST", "/v1/chat/completions", { ...ask, user: "ann", stream });
        const beside = call("POST", "/v1/chat/completions", { ...ask, user: "bob", stream });
        await waiting;
        if (elsewhere) await deleteEndUser(other, "ann");
        else assertEquals((await call("DELETE", "/v1/feedback?end_user=ann")).status, 200);
        open();
        assertEquals((await asking).status, 200);
        await beside;
        const kept = await gateway.database.all<{ user: string }>('SELECT end_user AS "user" FROM completions');
        assertEquals(kept, [{ user: "bob" }]);
        assertEquals((await call("GET", `/v1/answers/${await answer(call, { user: "ann" })}`)).json.end_user, "ann");
        await other.close();
      });
    }
  });
}

Deno.test("a deletion removes scratch of processes that are gone, and leaves what another is at", async () => {
  await withGateway({}, async ({ call, folder }) => {
    const words = '{"prompt":"ann\'s words","completion":"b","label":true,"end_user":"ann"}\n';
    const dead = new Deno.Command(Deno.execPath(), {
      args: [
        "eval",
        `
        const { openScratch } = await import(${
          JSON.stringify(import.meta.resolve("../../services/gateway/data_folder.ts"))
        });
        const { path } = await openScratch(${JSON.stringify(folder)});
        Deno.writeTextFileSync(path, ${JSON.stringify(words)});
        console.log(path);
        await new Promise((resolve) => setTimeout(resolve, 60_000));`,
      ],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    const reader = dead.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const path = (await reader.read()).value!.trim();
    await using living = await openScratch(folder);
    await Deno.writeTextFile(living.path, "words of a file under way");
    const forget = () => call("DELETE", "/v1/feedback?end_user=ann");
    await forget();
    assert(existsSync(path), "its process is at work");
    dead.kill("SIGKILL");
    await dead.status;
    await reader.cancel();
    await forget();
    assert(!existsSync(path) && existsSync(living.path));
  });
});

Deno.test("rows of a file that is being sent while a person is deleted are not taken in", async () => {
  await withGateway({}, async ({ call, gateway }) => {
    const row = (index: number, end_user: string) =>
      new TextEncoder().encode(
        JSON.stringify({ prompt: `${index} of ${end_user}`, completion: "b", label: true, end_user }) + "\n",
      );
    let sent = 0;
    const file = new ReadableStream<Uint8Array>({
      async pull(controller) {
        if (sent === 200) await deleteEndUser(gateway.database, "ann");
        if (sent === 400) return controller.close();
        controller.enqueue(row(sent, sent % 2 === 0 ? "ann" : "bob"));
        sent++;
      },
    });
    const { status } = await take(call, file as never);
    assertEquals(status, 201);
    assertEquals(new Set((await exported(call)).map(({ end_user }) => end_user)), new Set(["bob"]));
  });
});

Deno.test("a person's rows are taken out of uploaded files, whole files of others stay byte for byte", async () => {
  const row = (end_user: string, more = {}) => ({
    prompt: `words of ${end_user}`,
    completion: "b",
    label: true,
    end_user,
    ...more,
  });
  const lines = (rows: unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  await withGateway({}, async ({ call, fetch, gateway }) => {
    const upload = async (content: BodyInit) => {
      const boundary = "x",
        head = `--${boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n` +
          `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n`;
      const pieces = [head, content, `\r\n--${boundary}--\r\n`];
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          const piece = pieces.shift();
          if (piece === undefined) return controller.close();
          if (piece === late) await deleteEndUser(gateway.database, "ann");
          controller.enqueue(new TextEncoder().encode(String(piece)));
        },
      });
      const headers = { "Content-Type": `multipart/form-data; boundary=${boundary}` };
      const response = await fetch(new Request("http://localhost/v1/files", { method: "POST", body, headers }));
      assertEquals(response.status, 200);
      return (await response.json()).id as string;
    };
    const late = lines([row("bob"), row("ann")]);
    const others = '{"prompt": "a",  "completion":"b","label":true,"end_user":"bob"}\r\n\n';
    const ids = [
      await upload(lines([row("ann"), row("bob"), row("cy", { asked_by: "ann" })])),
      await upload(JSON.stringify([row("ann"), row("bob")])),
      await upload(others),
    ];
    assertEquals((await call("DELETE", "/v1/feedback?end_user=ann")).status, 200);
    ids.push(await upload(late));
    const contents = await Promise.all(ids.map(async (id) => (await call("GET", `/v1/files/${id}/content`)).text));
    assertEquals(contents, [lines([row("bob")]), `[${JSON.stringify(row("bob"))}]\n`, others, lines([row("bob")])]);
    const { json } = await call("GET", `/v1/files/${ids[0]}`);
    assertEquals(json.bytes, contents[0]!.length);
  });
});
