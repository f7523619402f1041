// What HTTP has beside GET and POST: HEAD, OPTIONS, paths that end with a slash, names of files in any script.

import { assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { withGateway } from "./open_gateway.ts";

Deno.test("HEAD tells what GET would, without a body, and holds nothing open", async () => {
  await withGateway({}, async ({ fetch, call, folder }) => {
    for (const path of ["/healthz", "/v1/models", "/", "/docs", "/v1/feedback/export"]) {
      const head = await fetch(new Request(`http://localhost${path}`, { method: "HEAD" }));
      assertEquals(head.status, 200, path);
      assertEquals(await head.text(), "", path);
      const get = await call("GET", path), length = head.headers.get("Content-Length");
      assertStrictEquals(head.headers.get("Content-Type"), get.headers.get("Content-Type"), path);
      if (length !== null) assertEquals(Number(length), new TextEncoder().encode(get.text).length, path);
    }
    const form = new FormData();
    form.set("purpose", "fine-tune");
    form.set("file", new File(["{}"], "a.jsonl"));
    const { id } = await (await fetch(new Request("http://localhost/v1/files", { method: "POST", body: form }))).json();
    // By another program: Deno lets nobody look into /proc without all permissions.
    const opened = async () => {
      const args = [`/proc/${Deno.pid}/fd`, "-lname", `${Deno.realPathSync(folder)}/files/*`];
      return new TextDecoder().decode((await new Deno.Command("find", { args }).output()).stdout);
    };
    const head = await fetch(new Request(`http://localhost/v1/files/${id}/content`, { method: "HEAD" }));
    assertEquals(head.headers.get("Content-Length"), "2");
    using _held = await Deno.open(`${folder}/files/${id}`);
    if (Deno.build.os === "linux") {
      assertEquals((await opened()).trim().split("\n").length, 1, "only what this test holds");
    }
  });
});

Deno.test("OPTIONS lists what a path takes, also without a key, and another method is 405 with that list", async () => {
  await withGateway({ options: { keysRequired: true, hosts: undefined } }, async ({ call }) => {
    const allowed = async (path: string) => {
      const { status, headers } = await call("OPTIONS", path);
      return status === 204 ? headers.get("Allow") : status;
    };
    assertEquals(await allowed("/v1/chat/completions"), "POST, OPTIONS");
    assertEquals(await allowed("/v1/models/"), "GET, HEAD, OPTIONS");
    assertEquals(await allowed("/v1/files/file-1"), "GET, HEAD, DELETE, OPTIONS");
  });
  await withGateway({}, async ({ call }) => {
    const { status, headers, json } = await call("PATCH", "/v1/models");
    assertEquals(status, 405);
    assertEquals(headers.get("Allow"), "GET, HEAD, OPTIONS");
    assertEquals(json.error.code, "method_not_allowed");
    assertEquals((await call("OPTIONS", "/v1/nothing")).status, 404);
    assertEquals((await call("GET", "/v1/nothing")).status, 404);
  });
});

Deno.test("a slash at a path's end changes nothing", async () => {
  await withGateway({}, async ({ call }) => {
    assertStrictEquals((await call("GET", "/v1/models/")).text, (await call("GET", "/v1/models")).text);
    const asked = { model: "base", prompt: "hi" };
    assertEquals((await call("POST", "/v1/completions/", asked)).status, 200);
  });
});

Deno.test("a file keeps its name in any script, and is given out under it", async () => {
  await withGateway({}, async ({ fetch, call }) => {
    const names = { "grüße 你好 🙂.jsonl": "grüße 你好 _.jsonl", '../a/b"c\r\n.jsonl': "b_22c_0D_0A.jsonl" };
    for (const [name, kept] of Object.entries(names)) {
      const form = new FormData();
      form.set("purpose", "fine-tune");
      form.set("file", new File(["{}"], name));
      const stored = await (await fetch(new Request("http://localhost/v1/files", { method: "POST", body: form })))
        .json();
      assertStrictEquals(stored.filename, kept);
      const disposition = (await call("GET", `/v1/files/${stored.id}/content`)).headers.get("Content-Disposition")!;
      assertMatch(disposition, /^attachment; filename="[\x20-\x7e]+"/);
      const [, encoded] = /filename\*=UTF-8''(\S+)$/.exec(disposition) ?? [];
      if (encoded) assertStrictEquals(decodeURIComponent(encoded), kept);
      else assertMatch(disposition, new RegExp(`filename="${kept}"`));
    }
  });
});
