// Who may do what, and what anyone is told: keys, hosts, origins, limits, ids, logs, headers, documents, metrics.

import { assert, assertEquals, assertMatch, assertNotEquals, assertNotMatch, assertStrictEquals } from "@std/assert";
import { createKey, revokeKey, type Scope, scopes } from "../../shared/store/keys.ts";
import { registerAdapter } from "../../shared/store/registry.ts";
import { InputError } from "../../shared/errors.ts";
import { type OpenGateway, withGateway } from "./open_gateway.ts";
import { adapterNamed } from "./registered.ts";

const ask = { model: "base", messages: [{ role: "user", content: "a secret question" }] };
const thumb = { completion_id: "nope", label: true };

async function keyFor({ gateway }: OpenGateway, ...scopes: Scope[]) {
  const { id, secret } = await createKey(gateway.database, { scopes });
  return { id, headers: { Authorization: `Bearer ${secret}` } };
}

const matrix: Record<string, { opens: Scope[]; query?: string; body?: unknown }> = {
  "POST /v1/chat/completions": { opens: ["inference", "reviewer"], body: ask },
  "POST /v1/completions": { opens: ["inference"], body: { model: "base", prompt: "once" } },
  "GET /v1/models": { opens: ["inference", "reviewer"] },
  "GET /v1/models/{model}": { opens: ["inference", "reviewer"] },
  "GET /v1/me": { opens: ["inference", "feedback", "reviewer"] },
  "POST /v1/feedback": { opens: ["feedback", "reviewer"], body: thumb },
  "GET /v1/feedback": { opens: ["feedback", "reviewer"] },
  "GET /v1/feedback/{id}": { opens: ["feedback", "reviewer"] },
  "GET /v1/feedback/{id}/history": { opens: ["feedback", "reviewer"] },
  "DELETE /v1/feedback/{id}": { opens: ["feedback", "reviewer"] },
  // Open to those who wrote something of that person: see ownership_test.ts.
  "DELETE /v1/feedback": { opens: [], query: "?end_user=ann" },
  "GET /v1/feedback/export": { opens: [] },
  "POST /v1/feedback/import": { opens: [], body: '{"prompt":"a","completion":"b","label":true}' },
  "GET /v1/feedback/hygiene": { opens: [] },
  "GET /v1/experiments": { opens: [] },
  "GET /v1/adapters": { opens: [] },
  "PUT /v1/adapters/{name}": { opens: [], body: { path: "/somewhere" } },
  "DELETE /v1/adapters/{name}": { opens: [] },
  "GET /v1/answers": { opens: ["reviewer"] },
  "GET /v1/answers/{id}": { opens: ["reviewer"] },
  "POST /v1/files": { opens: [] },
  "GET /v1/files": { opens: [] },
  "GET /v1/files/{id}": { opens: [] },
  "GET /v1/files/{id}/content": { opens: [] },
  "DELETE /v1/files/{id}": { opens: [] },
  "POST /v1/fine_tuning/jobs": { opens: [], body: { training_file: "nope", model: "base" } },
  "GET /v1/fine_tuning/jobs": { opens: [] },
  "GET /v1/trainer": { opens: [] },
  "GET /v1/fine_tuning/jobs/{id}": { opens: [] },
  "POST /v1/fine_tuning/jobs/{id}/cancel": { opens: [] },
  "GET /v1/fine_tuning/jobs/{id}/events": { opens: [] },
  "GET /v1/fine_tuning/jobs/{id}/checkpoints": { opens: [] },
  "GET /v1/registry": { opens: [] },
  "POST /v1/registry/promote": { opens: [], body: { model: "base:nope" } },
  "POST /v1/registry/rollback": { opens: [], body: {} },
  "DELETE /v1/registry/{name}": { opens: [] },
  "GET /v1/aliases": { opens: [] },
  "PUT /v1/aliases/{name}": { opens: [], body: { arms: [] } },
  "DELETE /v1/aliases/{name}": { opens: [] },
  "GET /metrics": { opens: [] },
};

/** Routes that tell nobody anything. */
const openToAll = ["GET /healthz", "GET /readyz"];

/** All routes of the OpenAPI document, as `METHOD /path/{parameter}`. */
async function routesOf({ call }: OpenGateway): Promise<string[]> {
  const { paths } = (await call("GET", "/openapi.json")).json as { paths: Record<string, Record<string, unknown>> };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`)
  );
}

const keysOn = { options: { keysRequired: true, hosts: undefined } };

Deno.test("every route of the OpenAPI document opens to its scopes and to admin, is 403 to all other keys and 401 to none", async () => {
  await withGateway(keysOn, async (open) => {
    const keys = await Promise.all(scopes.map(async (scope) => ({ scope, ...await keyFor(open, scope) })));
    for (const route of await routesOf(open)) {
      if (openToAll.includes(route)) continue;
      const rule = matrix[route];
      assert(rule, `${route}: give it its scopes in this test's matrix`);
      const [method, template] = route.split(" ") as [string, string];
      const path = template.replace(/\{\w+\}/g, "nope") + (rule.query ?? "");
      for (const { scope, headers } of keys) {
        const { status, json } = await open.call(method, path, rule.body, headers);
        const what = `${route} with ${scope}: ${status}`;
        if (scope === "admin" || rule.opens.includes(scope)) assert(![401, 403, 500].includes(status), what);
        else {
          assertEquals(status, 403, what);
          assertEquals(json.error.type, "permission_error");
          assertMatch(json.error.message, /"(admin|inference|feedback|reviewer)"/);
        }
      }
      for (const headers of [{}, { Authorization: "Bearer pk-unknown" }, { Authorization: "Basic eDp5" }]) {
        const { status, json } = await open.call(method, path, rule.body, headers as Record<string, string>);
        assertEquals(status, 401, route);
        assertEquals(json.error.code, "invalid_api_key");
        assertMatch(json.error.message, /deno task keys create/);
      }
    }
    for (const path of ["/healthz", "/readyz", "/openapi.json", "/docs"]) {
      assertEquals((await open.call("GET", path)).status, 200, `${path} needs no key`);
    }
  });
});

Deno.test("the matrix of scopes names no route that is not there", async () => {
  await withGateway({}, async (open) => {
    const routes = await routesOf(open);
    assertEquals(Object.keys(matrix).filter((route) => !routes.includes(route)), []);
  });
});

Deno.test("a caller is told who it is: its key, the key's owner, what it may do, and whether keys are needed", async () => {
  await withGateway(keysOn, async (open) => {
    const { id, secret } = await createKey(open.gateway.database, { scopes: ["reviewer"], owner: "ann" });
    const { json } = await open.call("GET", "/v1/me", undefined, { Authorization: `Bearer ${secret}` });
    assertEquals(json, { object: "caller", key: id, owner: "ann", scopes: ["reviewer"], keys_required: true });
    const admin = await open.call("GET", "/v1/me", undefined, (await keyFor(open, "admin")).headers);
    assertEquals([admin.json.owner, admin.json.scopes], [null, [...scopes]]);
  });
  await withGateway({}, async ({ call }) => {
    const { json } = await call("GET", "/v1/me");
    assertEquals(json, { object: "caller", key: null, owner: null, scopes: [...scopes], keys_required: false });
  });
});

Deno.test("a revoked key ends within a second, with a sentence that says so", async () => {
  await withGateway({ options: { keysRequired: true, hosts: undefined } }, async (open) => {
    const { id, headers } = await keyFor(open, "inference");
    assertEquals((await open.call("GET", "/v1/models", undefined, headers)).status, 200);
    await revokeKey(open.gateway.database, id);
    const end = Date.now() + 1100;
    let answer;
    while ((answer = await open.call("GET", "/v1/models", undefined, headers)).status === 200) {
      assert(Date.now() < end, "the revoked key still opens");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assertEquals(answer.status, 401);
    assertMatch(answer.json.error.message, /revoked/);
  });
});

Deno.test("a key is taken from api-key, as Azure's clients send it, and Authorization goes before it", async () => {
  await withGateway({ options: { keysRequired: true, hosts: undefined } }, async (open) => {
    const { headers } = await keyFor(open, "inference"), secret = headers.Authorization.slice("Bearer ".length);
    const status = async (headers: Record<string, string>) =>
      (await open.call("GET", "/v1/models", undefined, headers)).status;
    assertEquals(await status({ "api-key": secret }), 200);
    assertEquals(await status({ "api-key": "pk-unknown" }), 401);
    assertEquals(await status({ "api-key": secret, Authorization: "Bearer pk-unknown" }), 401);
    assertEquals(await status({ "api-key": "pk-unknown", ...headers }), 200);
  });
});

Deno.test("a revoked key ends within a second also where the clock was set back by an hour", async () => {
  await withGateway(keysOn, async (open) => {
    const { id, headers } = await keyFor(open, "inference");
    const now = Date.now;
    try {
      assertEquals((await open.call("GET", "/v1/models", undefined, headers)).status, 200);
      Date.now = () => now() - 3_600_000;
      await revokeKey(open.gateway.database, id);
      await new Promise((resolve) => setTimeout(resolve, 1100));
      assertEquals((await open.call("GET", "/v1/models", undefined, headers)).status, 401);
    } finally {
      Date.now = now;
    }
  });
});

Deno.test("on loopback an unknown key is as good as none, and a known one keeps to its scopes", async () => {
  await withGateway({}, async (open) => {
    for (const headers of [{}, { Authorization: "Bearer anything-that-a-client-insists-on" }]) {
      const { status } = await open.call("GET", "/v1/adapters", undefined, headers as Record<string, string>);
      assertEquals(status, 200);
    }
    const { headers } = await keyFor(open, "feedback");
    assertEquals((await open.call("GET", "/v1/feedback", undefined, headers)).status, 200);
    assertEquals((await open.call("PUT", "/v1/adapters/new", { path: "/x" }, headers)).status, 403);
    assertEquals((await open.call("GET", "/v1/feedback/export", undefined, headers)).status, 403);
  });
});

Deno.test("a request under another host's name is refused where no key is needed (DNS rebinding)", async () => {
  await withGateway({}, async ({ fetch }) => {
    const refused = await fetch(new Request("http://rebound.example:8000/v1/feedback/export"));
    assertEquals(refused.status, 403);
    assertMatch((await refused.json()).error.message, /rebound\.example/);
    assertEquals((await fetch(new Request("http://localhost:8000/v1/models"))).status, 200);
  });
  await withGateway({ options: { keysRequired: true, hosts: undefined } }, async ({ fetch }) => {
    assertEquals((await fetch(new Request("http://gateway.example/healthz"))).status, 200);
  });
});

Deno.test("a page of another site cannot post to a gateway without keys, not even a plain text", async () => {
  const row = '{"prompt":"a","completion":"poison","label":true}';
  await withGateway({ options: { corsOrigins: ["https://app.example.com"] } }, async ({ call }) => {
    const send = (origin: string) =>
      call("POST", "/v1/feedback/import", row, { "Content-Type": "text/plain", Origin: origin });
    for (const origin of ["https://evil.example", "null", "http://localhost:81", "https://app.example.com.evil"]) {
      const { status, json } = await send(origin);
      assertEquals([status, json.error.code], [403, "wrong_origin"], origin);
    }
    assertEquals((await call("GET", "/v1/feedback/export")).text, "");
    assertEquals((await send("http://localhost")).status, 201);
    assertEquals((await send("https://app.example.com")).status, 201);
  });
});

Deno.test("pages of allowed origins may call, with whatever headers their client sends; others are told nothing", async () => {
  await withGateway({ options: { corsOrigins: ["https://app.example.com"] } }, async ({ call }) => {
    const preflight = (Origin: string) =>
      call("OPTIONS", "/v1/feedback", undefined, {
        Origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,x-stainless-arch",
      });
    const { status, headers } = await preflight("https://app.example.com");
    assertEquals(status, 204);
    assertEquals(headers.get("Access-Control-Allow-Origin"), "https://app.example.com");
    assertEquals(
      headers.get("Access-Control-Allow-Headers"),
      "authorization,content-type,idempotency-key,x-stainless-arch",
    );
    assertEquals((await preflight("https://evil.example")).headers.get("Access-Control-Allow-Origin"), null);
    const answer = await call("GET", "/v1/models", undefined, { Origin: "https://app.example.com" });
    assertEquals(answer.headers.get("Access-Control-Allow-Origin"), "https://app.example.com");
    assertMatch(answer.headers.get("Access-Control-Expose-Headers")!, /X-Request-Id/);
  });
  await withGateway({}, async ({ call }) => {
    const { headers } = await call("GET", "/v1/models", undefined, { Origin: "https://app.example.com" });
    assertEquals(headers.get("Access-Control-Allow-Origin"), null);
  });
});

Deno.test("requests above the rate are 429 with Retry-After, counted per key, and probes never are", async () => {
  await withGateway({ options: { keysRequired: true, hosts: undefined, rateLimit: 3 } }, async (open) => {
    const one = await keyFor(open, "inference"), other = await keyFor(open, "inference");
    for (let i = 0; i < 3; i++) {
      assertEquals((await open.call("GET", "/v1/models", undefined, one.headers)).status, 200);
    }
    const { status, headers, json } = await open.call("GET", "/v1/models", undefined, one.headers);
    assertEquals(status, 429);
    assertEquals(json.error.type, "rate_limit_error");
    assert(Number(headers.get("Retry-After")) > 0);
    for (const probe of ["/healthz", "/readyz"]) {
      assertNotEquals((await open.call("GET", probe, undefined, one.headers)).status, 429, probe);
    }
    assertEquals((await open.call("GET", "/v1/models", undefined, other.headers)).status, 200);
  });
});

Deno.test("a body above the limit is 413, whether its length was told or not, and is never read to its end", async () => {
  await withGateway({}, async ({ call }) => {
    const big = new Uint8Array(8 * 2 ** 20 + 1).fill(32);
    assertEquals(
      (await call("POST", "/v1/chat/completions", big, { "Content-Length": String(big.length) })).status,
      413,
    );
    let sent = 0;
    const endless = new ReadableStream({
      pull(controller) {
        sent += 2 ** 20;
        controller.enqueue(new Uint8Array(2 ** 20).fill(32));
      },
    });
    const { status, json } = await call("POST", "/v1/feedback", endless);
    assertEquals([status, json.error.code], [413, "body_too_large"]);
    assert(sent < 12 * 2 ** 20, `${sent} bytes were taken`);
  });
});

Deno.test("a request's id is the client's where it is one, else made, and stands in the log and on every refusal", async () => {
  await withGateway({}, async ({ call, logged }) => {
    const given = await call("GET", "/v1/models", undefined, { "X-Request-Id": "trace-17" });
    assertEquals(given.headers.get("X-Request-Id"), "trace-17");
    const made = await call("GET", "/nothing", undefined, { "X-Request-Id": "a b\tc" });
    assertMatch(made.headers.get("X-Request-Id")!, /^[0-9a-f-]{36}$/);
    assertEquals(
      logged.map(({ fields }) => [fields.request_id, fields.status]),
      [["trace-17", 200], [made.headers.get("X-Request-Id"), 404]],
    );
  });
});

Deno.test("the log has neither prompts nor answers nor secrets, unless prompts are asked for", async () => {
  for (const logPrompts of [false, true]) {
    await withGateway({ options: { logPrompts } }, async (open) => {
      const { id, headers } = await keyFor(open, "admin");
      await open.call("POST", "/v1/chat/completions", ask, headers);
      await open.call("POST", "/v1/chat/completions", { ...ask, stream: true }, headers);
      await open.call("POST", "/v1/chat/completions", { ...ask, messages: "a secret question" }, headers);
      const log = JSON.stringify(open.logged);
      assertStrictEquals(/a secret question/.test(log), logPrompts);
      assertStrictEquals(/Hello é/.test(log), logPrompts);
      assert(!log.includes(headers.Authorization.slice(7)));
      assert(log.includes(id));
    });
  }
});

Deno.test("keys without admin are told of no folder of the server: not of a lost adapter, not in what models are", async () => {
  await withGateway({ options: { ...keysOn.options, folders: ["/srv/models"] } }, async (open) => {
    const { engine, database } = open.gateway;
    await registerAdapter(database, adapterNamed("lost"));
    const lost = `${open.folder}/runs/lost/adapter`;
    engine!.setAdapter = () => {
      throw new InputError(`${lost}/adapter_config.json: there is no such file, nor in /srv/models/x or runs/lost.`);
    };
    for (const scope of ["inference", "reviewer", "admin"] as const) {
      const { headers } = await keyFor(open, scope);
      const { status, json, text } = await open.call(
        "POST",
        "/v1/chat/completions",
        { ...ask, model: "base:lost" },
        headers,
      );
      assert(status >= 400, text);
      assert(json.error.message.length > 10);
      if (scope !== "admin") assert(!text.includes(open.folder) && !text.includes("/srv/models"), text);
      assert(!(await open.call("GET", "/v1/models", undefined, headers)).text.includes(open.folder));
    }
  });
});

Deno.test("answers forbid framing, sniffing and foreign scripts", async () => {
  await withGateway({}, async ({ call }) => {
    for (const path of ["/docs", "/v1/models", "/nothing"]) {
      const { headers } = await call("GET", path);
      assertEquals(headers.get("X-Content-Type-Options"), "nosniff");
      const policy = headers.get("Content-Security-Policy")!.split("; ");
      for (const rule of ["default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"]) {
        assert(policy.includes(rule), `${rule} is missing: ${policy}`);
      }
      assertNotMatch(headers.get("Content-Security-Policy")!, /script-src[^;]*unsafe/);
      assertEquals(headers.get("Referrer-Policy"), "no-referrer");
    }
  });
});

Deno.test("the page of the API loads everything from this gateway, and everything that it names is there", async () => {
  await withGateway({}, async ({ call }) => {
    const { text } = await call("GET", "/docs");
    const named = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => url!);
    assert(named.length >= 3);
    for (const url of named.filter((url) => !url.startsWith("data:"))) {
      assertMatch(url, /^\/[^/]/, `${url} is of another host`);
      assertEquals((await call("GET", url)).status, 200, url);
    }
    assertNotMatch((await call("GET", "/docs/swagger-ui.css")).text, /url\((?!["']?(data:|#))/);
    assertMatch((await call("GET", "/docs/start.js")).text, /validatorUrl: null/);
  });
});

Deno.test("metrics parse as Prometheus' text, name each route, and no request can make new ones without end", async () => {
  await withGateway({}, async ({ call }) => {
    const { json } = await call("POST", "/v1/chat/completions", ask);
    await call("POST", "/v1/feedback", { completion_id: json.id, label: true });
    await call("GET", "/v1/feedback/export");
    await call("POST", "/v1/feedback/import", '{"prompt":"a","completion":"b","label":true}');
    const before = seriesOf((await call("GET", "/metrics")).text);
    assertEquals(before.get('http_requests_total{method="POST",route="/v1/chat/completions",status="200"}'), 1);
    assertEquals(before.get('http_requests_total{method="GET",route="/v1/feedback/export",status="200"}'), 1);
    assertEquals(before.get('http_requests_total{method="POST",route="/v1/feedback/import",status="201"}'), 1);
    assertEquals(before.get('prospect_labels_total{label="desirable"}'), 1);
    assertEquals(before.get('prospect_answers_total{model="base",finish_reason="stop"}'), 1);
    for (let i = 0; i < 20; i++) {
      await call(`METHOD${i}`, `/nothing/${i}`);
      await call(`METHOD${i}`, "/v1/models");
      await call("POST", "/v1/chat/completions", { ...ask, model: `model ${i}` });
    }
    const grown = [...seriesOf((await call("GET", "/metrics")).text).keys()].filter((name) => !before.has(name));
    assert(grown.every((name) => !/METHOD|nothing|model \d/.test(name)), grown.join("\n"));
  });
});

/** Samples by name and labels; a line that is none fails. */
function seriesOf(text: string): Map<string, number> {
  const series = new Map<string, number>();
  const types = new Set<string>();
  for (const line of text.split("\n").filter((line) => line !== "")) {
    const type = /^# TYPE (\S+) (counter|gauge|histogram|summary|untyped)$/.exec(line);
    if (type) types.add(type[1]!);
    if (line.startsWith("#")) {
      assertMatch(line, /^# (HELP|TYPE) /);
      continue;
    }
    const [, name, labels = "", value] =
      /^([a-zA-Z_:][\w:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*",?)*\})? (\S+)$/.exec(line) ?? [];
    assert(name && Number.isFinite(Number(value?.replace("+Inf", "1"))), `no sample: ${line}`);
    assert(types.has(name.replace(/_(bucket|sum|count)$/, "")) || types.has(name), `${name} has no TYPE`);
    series.set(name + labels, Number(value));
  }
  return series;
}
