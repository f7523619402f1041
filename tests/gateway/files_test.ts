// /v1/files over the app: uploads as OpenAI's clients send them, lists, contents that no browser shows, deletion.

import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { addFile, newFileId } from "../../shared/store/files.ts";
import { addJob, cancelJob } from "../../shared/store/jobs.ts";
import { deleteAdapter, registerAdapter } from "../../shared/store/registry.ts";
import { adapterNamed, jobRequest } from "./registered.ts";
import { type Answer, type OpenGateway, withGateway } from "./open_gateway.ts";

const rows = '{"prompt":"a","completion":"b","label":true}\n';

/** Uploads as a form. */
async function upload({ fetch }: OpenGateway, content: BlobPart, name: string, purpose = "fine-tune"): Promise<Answer> {
  const form = new FormData();
  form.set("purpose", purpose);
  form.set("file", new File([content], name));
  const response = await fetch(new Request("http://localhost/v1/files", { method: "POST", body: form }));
  return { status: response.status, headers: response.headers, text: "", json: await response.json() };
}

Deno.test("an upload is listed, told of and comes back byte for byte, as an attachment that no browser shows", async () => {
  await withGateway({}, async (open) => {
    const bytes = new Uint8Array(70_000).map((_, i) => i * 31);
    const { status, json } = await upload(open, bytes, "thumbs.jsonl");
    assertEquals(status, 200);
    const { id, created_at, ...rest } = json;
    assertMatch(id, /^file-[0-9a-f]+$/);
    assert(Math.abs(created_at - Date.now() / 1000) < 60, "seconds since 1970, as OpenAI has them");
    assertEquals(rest, {
      object: "file",
      bytes: 70_000,
      filename: "thumbs.jsonl",
      purpose: "fine-tune",
      status: "processed",
    });
    assertEquals((await open.call("GET", `/v1/files/${id}`)).json, json);
    assertEquals((await open.call("GET", "/v1/files")).json, { object: "list", data: [json], has_more: false });
    const content = await open.fetch(new Request(`http://localhost/v1/files/${id}/content`));
    assertEquals(content.headers.get("Content-Type"), "application/octet-stream");
    assertEquals(content.headers.get("Content-Disposition"), 'attachment; filename="thumbs.jsonl"');
    assertEquals(content.headers.get("Content-Length"), "70000");
    assertEquals(new Uint8Array(await content.arrayBuffer()), bytes);
  });
});

Deno.test("no file name reaches the disk or breaks out of a header", async () => {
  await withGateway({}, async (open) => {
    const names = [
      "../../evil.sh",
      'a"; filename="b',
      "ä 你好\r\nX-Evil: 1",
      "",
      ".",
      "x".repeat(500),
      "<script>.html",
    ];
    for (const name of names) {
      const { status, json } = await upload(open, rows, name);
      assertEquals(status, 200, name);
      assertMatch(json.filename, /^[\p{L}\p{M}\p{N} ._()-]{1,200}$/u, name);
      const content = await open.call("GET", `/v1/files/${json.id}/content`);
      const disposition = /^attachment; filename="[\w. ()-]+"(; filename\*=UTF-8''[\w.~%!-]+)?$/;
      assertMatch(content.headers.get("Content-Disposition")!, disposition);
      assertEquals(content.headers.get("X-Evil"), null);
      assertStrictEquals(content.text, rows);
    }
    const kept = [...Deno.readDirSync(`${open.folder}/files`)].map(({ name }) => name);
    assertEquals(kept.length, names.length);
    assert(kept.every((name) => /^file-[0-9a-f]+$/.test(name)), kept.join());
  });
});

Deno.test("an upload for another purpose, without a file or too large is refused, and nothing of it is kept", async () => {
  await withGateway({}, async (open) => {
    const other = await upload(open, rows, "a.jsonl", "assistants");
    assertEquals([other.status, other.json.error.param], [400, "purpose"]);
    const form = new FormData();
    form.set("purpose", "fine-tune");
    form.set("file", "no file but a text");
    const bare = await open.fetch(new Request("http://localhost/v1/files", { method: "POST", body: form }));
    assertEquals([bare.status, (await bare.json()).error.param], [400, "file"]);
    let sent = 0;
    const endless = new ReadableStream({
      pull(controller) {
        if (sent > 400 * 2 ** 20) return controller.close();
        sent += 2 ** 22;
        controller.enqueue(new Uint8Array(2 ** 22));
      },
    });
    const headers = { "Content-Type": "multipart/form-data; boundary=x" };
    const large = await open.call("POST", "/v1/files", endless, headers);
    assertEquals([large.status, large.json.error.code], [413, "body_too_large"]);
    assert(sent < 300 * 2 ** 20, `${sent} bytes were taken`);
    assertEquals((await open.call("GET", "/v1/files")).json.data, []);
    assertEquals(existsSync(`${open.folder}/files`), false);
  });
});

Deno.test("forms that are broken anywhere are refused and leave nothing, and what is more than a file and fields is not kept", async () => {
  await withGateway({}, async (open) => {
    const { folder } = open, type = "multipart/form-data; boundary=x";
    const part = (head: string, content: string) =>
      `--x\r\nContent-Disposition: form-data; ${head}\r\n\r\n${content}\r\n`;
    const purpose = part('name="purpose"', "fine-tune"),
      file = part('name="file"; filename="a.jsonl"', rows),
      end = "--x--\r\n";
    const send = (body: BodyInit, type: string) => open.call("POST", "/v1/files", body, { "Content-Type": type });
    const left = () => [...Deno.readDirSync(folder)].filter(({ name }) => /^(scratch-|files$)/.test(name));
    const refused: [what: string, body: string, type: string, status: number][] = [
      ["nothing", "", type, 400],
      ["no form", "{}", "application/json", 415],
      ["no boundary", purpose + file + end, "multipart/form-data", 400],
      ["another boundary", purpose + file + end, "multipart/form-data; boundary=y", 400],
      ["no end", purpose + file, type, 400],
      ["an end amid the file", purpose + file.slice(0, -20), type, 400],
      ["an end amid a header", `${purpose}--x\r\nContent-Dispo`, type, 400],
      ["no file", purpose + end, type, 400],
      ["a file of another name", purpose + file.replace("file", "data") + end, type, 400],
      ["no purpose", file + end, type, 400],
      ["a purpose that is a file", part('name="purpose"; filename="p"', "fine-tune") + file + end, type, 400],
      ["endless fields", part('name="a"', "b").repeat(2000) + purpose + file + end, type, 400],
      ["endless headers", `${purpose}--x\r\n${"A: b\r\n".repeat(100_000)}`, type, 400],
    ];
    for (const [what, body, type, status] of refused) {
      const answer = await send(body, type);
      assertEquals(answer.status, status, `${what}: ${answer.text}`);
      assert(answer.json.error.message && !answer.text.includes(folder), answer.text);
      assertEquals(left(), [], what);
    }
    const breaking = new ReadableStream({
      start: (controller) => controller.enqueue(new TextEncoder().encode(purpose + file.slice(0, -20))),
      pull: () => Promise.reject(new Error("the client is gone")),
    });
    assertEquals([(await send(breaking, type)).json.error.code, left()], ["broken_body", []]);
    // Whatever the order, and however it is cut into pieces.
    const bytes = new TextEncoder().encode(file + file.replaceAll("a", "b") + purpose + end + "an epilogue");
    let at = 0;
    const slow = new ReadableStream({
      pull: (controller) => at < bytes.length ? controller.enqueue(bytes.slice(at, at += 7)) : controller.close(),
    });
    const { status, json } = await send(slow, type);
    assertEquals([status, json.filename, json.bytes], [200, "a.jsonl", rows.length]);
    assertStrictEquals(
      (await open.call("GET", `/v1/files/${json.id}/content`)).text,
      rows,
      "the first file is the file",
    );
  });
});

Deno.test("pages hold every file of a purpose once, however many others lie between", async () => {
  await withGateway({}, async (open) => {
    const { gateway: { database } } = open;
    for (let i = 0; i < 10; i++) {
      const purpose = i % 5 === 0 ? "fine-tune" as const : "fine-tune-results" as const;
      await addFile(database, { id: newFileId(), createdAt: i, filename: `${i}`, purpose, bytes: 1, path: "x" });
    }
    const seen: string[] = [];
    for (let after = "";;) {
      const { json } = await open.call("GET", `/v1/files?purpose=fine-tune&limit=1${after}`);
      seen.push(...json.data.map(({ filename }: { filename: string }) => filename));
      if (!json.has_more) break;
      after = `&after=${json.data.at(-1).id}`;
    }
    assertEquals(seen, ["5", "0"]);
    for (const query of ["limit=0", "limit=x", "limit=10001"]) {
      assertEquals((await open.call("GET", `/v1/files?${query}`)).status, 400, query);
    }
  });
});

Deno.test("a deleted file is gone from the list and the disk", async () => {
  await withGateway({}, async (open) => {
    const { json: { id } } = await upload(open, rows, "a.jsonl");
    const path = `${open.folder}/files/${id}`;
    assert(existsSync(path));
    assertEquals((await open.call("DELETE", `/v1/files/${id}`)).json, { id, object: "file", deleted: true });
    assertEquals(existsSync(path), false);
    for (const [method, path] of [["GET", ""], ["GET", "/content"], ["DELETE", ""]]) {
      const { status, json } = await open.call(method!, `/v1/files/${id}${path}`);
      assertEquals([status, json.error.code], [404, "file_not_found"]);
    }
  });
});

Deno.test("a file is kept for as long as an open job trains on it or an adapter in the registry owns it", async () => {
  await withGateway({}, async (open) => {
    const { gateway: { database } } = open;
    const { json: { id } } = await upload(open, rows, "a.jsonl");
    const job = await addJob(database, { ...jobRequest, trainingFile: id }, null);
    const needed = await open.call("DELETE", `/v1/files/${id}`);
    assertEquals([needed.status, needed.json.error.code], [409, "in_use"]);
    assert(needed.json.error.message.includes(job.id));
    await cancelJob(database, job.id);
    assertEquals((await open.call("DELETE", `/v1/files/${id}`)).status, 200);

    const result = { createdAt: 1, filename: "new-metrics.jsonl", purpose: "fine-tune-results", bytes: 1 } as const;
    await addFile(database, { ...result, id: "file-result", path: "runs/x/metrics.jsonl" });
    await registerAdapter(database, adapterNamed("new", { files: { metrics: "file-result" } }));
    const owned = await open.call("DELETE", "/v1/files/file-result");
    assertEquals([owned.status, owned.json.error.code], [409, "in_use"]);
    assertMatch(owned.json.error.message, /base:new; remove the adapter first/);
    await deleteAdapter(database, "new");
    assertEquals((await open.call("DELETE", "/v1/files/file-result")).status, 200);
  });
});

Deno.test("content that someone took from the data folder is 404 and says so", async () => {
  await withGateway({}, async (open) => {
    const { json: { id } } = await upload(open, rows, "a.jsonl");
    await Deno.remove(`${open.folder}/files/${id}`);
    const { status, json } = await open.call("GET", `/v1/files/${id}/content`);
    assertEquals(status, 404);
    assertMatch(json.error.message, /a\.jsonl is gone from the data folder/);
    const job = await open.call("POST", "/v1/fine_tuning/jobs", { training_file: id, model: "base" });
    assertEquals([job.status, job.json.error.code], [404, "file_not_found"]);
  });
});

Deno.test("an upload that cannot be written is 503 with the reason and without the server's paths, and is not listed", async () => {
  await withGateway({}, async (open) => {
    Deno.writeTextFileSync(`${open.folder}/files`, "in the way");
    const { status, json } = await upload(open, rows, "a.jsonl");
    assertEquals([status, json.error.code, json.error.type], [503, "storage_failure", "server_error"]);
    assertMatch(json.error.message, /^a\.jsonl could not be kept here: /);
    assert(!json.error.message.includes(open.folder));
    assertEquals((await open.call("GET", "/v1/files")).json.data, []);
  });
});
