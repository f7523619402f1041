// The route that serves the console: whole, typed, cached by content, and nothing beside its own files.

import { assert, assertEquals } from "@std/assert";
import { OpenAPIHono } from "@hono/zod-openapi";
import type { GatewayEnv } from "../../../services/gateway/gateway.ts";
import { addConsole } from "../../../services/gateway/routes/console.ts";

function served(): OpenAPIHono<GatewayEnv> {
  const app = new OpenAPIHono<GatewayEnv>();
  addConsole(app);
  return app;
}

const root = new URL("../../../services/gateway/console/", import.meta.url);

Deno.test("every file that the page and its modules ask for is served, with its type", async () => {
  const app = served(), seen = new Set<string>(), waiting = ["/"];
  for (let path; (path = waiting.pop()) !== undefined;) {
    if (seen.has(path)) continue;
    seen.add(path);
    const response = await app.request(path), text = await response.text();
    assertEquals(response.status, 200, path);
    const ending = /\.(js|css|svg)$/.exec(path)?.[1] ?? "html";
    const type = { js: "text/javascript", css: "text/css", svg: "image/svg+xml", html: "text/html" }[ending]!;
    assert(
      response.headers.get("Content-Type")!.startsWith(type),
      `${path} is ${response.headers.get("Content-Type")}`,
    );
    if (path.startsWith("/console/vendor/")) continue;
    const found = ending === "js"
      ? text.matchAll(/from "([^"]+)"/g)
      : text.matchAll(/(?:src|href)="(\/console\/[^"]+)"/g);
    for (const [, name] of found) waiting.push(new URL(name!, `http://console${path}`).pathname);
  }
  assert(seen.has("/console/vendor/htm.js"));
  const modules = (folder: URL): string[] =>
    [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) =>
      isDirectory ? modules(new URL(`${name}/`, folder)) : [new URL(name, folder).href.slice(root.href.length)]
    );
  for (const name of modules(root)) {
    assert(name === "index.html" || seen.has(`/console/${name}`), `${name} is used by nothing`);
  }
});

Deno.test("a browser that has a file already gets none again", async () => {
  const app = served();
  const first = await app.request("/console/app.js");
  const tag = first.headers.get("ETag")!;
  assert(tag);
  const second = await app.request("/console/app.js", { headers: { "If-None-Match": tag } });
  assertEquals(second.status, 304);
  assertEquals(await second.text(), "");
});

Deno.test("nothing outside of the console's folder can be had through it", async () => {
  const app = served();
  for (
    const path of [
      "../routes/console.ts",
      "%2e%2e/app.ts",
      "..%2Fapp.ts",
      "vendor/../../app.ts",
      "vendor/package.json",
      "parts",
    ]
  ) {
    const response = await app.request(`/console/${path}`);
    assertEquals(response.status, 404, path);
    await response.body?.cancel();
  }
});
