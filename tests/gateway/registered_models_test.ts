// What a gateway serves against what the registry says, over kills, overwritten files, other gateways and clocks that are
// set back: real processes on the embedded model.

import { assertEquals, assertMatch, assertNotEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { join } from "node:path";
import { keptFolder } from "../../shared/runtime/kept_adapters.ts";
import { openDatabase } from "../../shared/store/database.ts";
import { promote } from "../../shared/store/promotions.ts";
import { deleteAdapter } from "../../shared/store/registry.ts";
import { type Running, withFolder } from "../commands/run_task.ts";
import { placeTest } from "../store/databases.ts";
import { type Client, clientOf, crash, modelFlags, pause } from "../trainer/service/service_processes.ts";
import { registerSmallAdapters, writeSmallAdapters } from "../trainer/service/small_adapters.ts";
import { launchGateway, type ProcessOptions, startGatewayProcess } from "./gateway_process.ts";

const weights = "adapter_model.safetensors";

const start = (folder: string, { args = [], ...options }: ProcessOptions = {}) =>
  startGatewayProcess(folder, { ...options, args: [...modelFlags, ...args] });

/** Starts a gateway and waits until its model is loaded, whether it can answer for its aliases or not. */
async function startUnready(folder: string, { args = [], ...options }: ProcessOptions = {}) {
  const { address, running } = launchGateway(folder, { ...options, args: [...modelFlags, ...args] });
  const client = clientOf(address);
  for (const end = Date.now() + 120_000; Date.now() < end; await pause(50)) {
    const { body } = await client.call("GET", "/readyz").catch(() => ({ body: undefined }));
    if (body && !/being loaded/.test(body.reasons[0] ?? "")) return { client, running };
  }
  await crash(running);
  throw new Error("The gateway's model is not loaded after two minutes.");
}

const question = { messages: [{ role: "user", content: "question 3" }], temperature: 0, max_tokens: 24 };

const textOf = async ({ ask }: Client, model: string): Promise<string> =>
  (await ask("POST", "/v1/chat/completions", { model, ...question })).choices[0].message.content;

const overridden = (model: string) => ({ model, override: true, reason: "trained elsewhere" });

/** Overwrites a file where it is, as `cp` does. */
async function overwrite(from: string, to: string): Promise<void> {
  await Deno.chmod(to, 0o600);
  await Deno.writeFile(to, await Deno.readFile(from));
}

async function stop({ process, ended }: Running): Promise<void> {
  process.kill("SIGTERM");
  assertEquals((await ended).code, 0);
}

Deno.test("what was brought and promoted answers after a kill, whatever became of its folder; overwritten where it is kept it never does", () =>
  withFolder(async (folder) => {
    const brought = `${folder}/brought`, args = ["--adapter-dir", brought];
    await writeSmallAdapters(brought, ["a", "b"]);
    let gateway = await start(folder, { args });
    let client = clientOf(gateway.address);
    const { version } = await client.ask("PUT", "/v1/adapters/new", { path: `${brought}/a` });
    await client.ask("POST", "/v1/registry/promote", overridden("base:new"));
    const text = await textOf(client, "prospect");
    assertNotStrictEquals(text, await textOf(client, "base"));

    await crash(gateway.running);
    await Deno.rename(`${brought}/a`, `${brought}/true`);
    gateway = await start(folder, { args });
    client = clientOf(gateway.address);
    assertStrictEquals(await textOf(client, "prospect"), text);
    const other = await client.call("PUT", "/v1/adapters/new", { path: `${brought}/b` });
    assertEquals([other.status, other.body.error.code], [409, "name_taken"]);
    assertStrictEquals(await textOf(client, "prospect"), text);

    await crash(gateway.running);
    const kept = `${folder}/data/${keptFolder(version)}/${weights}`;
    await overwrite(`${brought}/b/${weights}`, kept);
    const { client: wronged, running } = await startUnready(folder, { args });
    const { status, body } = await wronged.call("GET", "/readyz");
    assertEquals(status, 503);
    assertMatch(body.reasons.join(), /cannot answer for prospect: base:new cannot answer: its files are no longer/);
    for (const [path, status] of [["/healthz", 200], ["/v1/models", 200]] as const) {
      assertEquals((await wronged.call("GET", path)).status, status);
    }
    for (const model of ["prospect", "base:new"]) {
      const refused = await wronged.call("POST", "/v1/chat/completions", { model, ...question });
      assertEquals([refused.status, refused.body.error.code], [503, "model_unusable"]);
    }
    assertEquals((await wronged.call("POST", "/v1/registry/promote", overridden("base:new"))).status, 409);
    await wronged.ask("PUT", "/v1/adapters/new", { path: `${brought}/true` });
    assertEquals((await wronged.call("GET", "/readyz")).status, 200);
    assertStrictEquals(await textOf(wronged, "prospect"), text);
    await stop(running);
  }));

Deno.test("no database keeps a gateway from starting, and words on its command line do", () =>
  withFolder(async (folder) => {
    const data = `${folder}/data`, database = await openDatabase(`${data}/prospect.sqlite`);
    await registerSmallAdapters(database, data, ["a", "b"]);
    const ended = async (args: string[]) => {
      const { code, stderr } = await launchGateway(folder, { args: [...modelFlags, ...args] }).running.ended;
      return [code, stderr.trim().split("\n").at(-1)];
    };
    const first = await start(folder);
    await clientOf(first.address).ask("POST", "/v1/registry/promote", { model: "base:a" });
    const taken = await ended(["--adapter", `a=${data}/runs/b`]);
    assertEquals(taken[0], 2);
    assertMatch(
      String(taken[1]),
      /--adapter a=\S+: The alias "prospect" sends requests to base:a, which has other files/,
    );
    const nowhere = await ended(["--alias", "trial=base:never"]);
    assertEquals(nowhere[0], 2);
    assertMatch(String(nowhere[1]), /alias trial sends requests to base:never, but there is no such adapter/);
    await first.stop();
    // As a crash in the midst of an older Prospect's removal, or a person with a database's console, left it.
    await deleteAdapter(database, "a");
    const { client, running } = await startUnready(folder);
    const { status, body } = await client.call("GET", "/readyz");
    assertEquals(status, 503);
    assertMatch(body.reasons.join(), /cannot answer for prospect: base:a is not in the registry/);
    assertEquals((await client.call("POST", "/v1/chat/completions", { model: "prospect", ...question })).status, 404);
    assertNotEquals(await textOf(client, "base:b"), "");
    await client.ask("POST", "/v1/registry/promote", { model: "base:b" });
    assertEquals((await client.call("GET", "/readyz")).status, 200);
    await stop(running);
    await database.close();
  }));

Deno.test("a promotion beats the command's alias though the clock was set back before it", () =>
  withFolder(async (folder) => {
    const data = `${folder}/data`, database = await openDatabase(`${data}/prospect.sqlite`);
    await registerSmallAdapters(database, data, ["a"]);
    const gateway = await start(folder, { args: ["--alias", "prospect=base"] }), client = clientOf(gateway.address);
    const now = Date.now;
    try {
      Date.now = () => now() - 3_600_000;
      const how = { version: null, reason: null, override: false, by: null };
      await database.write((queries) => promote(queries, "prospect", "base:a", how));
    } finally {
      Date.now = now;
    }
    await database.close();
    let arms;
    for (let i = 0; i < 200 && arms?.[0].model !== "base:a"; i++) {
      await pause(50);
      ({ data: [{ arms }] } = await client.ask("GET", "/v1/aliases"));
    }
    assertEquals(arms, [{ model: "base:a", weight: 1 }]);
    await gateway.stop();
  }));

placeTest(
  "a second gateway with another data folder says that it cannot answer, until it has the files too",
  ({ where }) =>
    withFolder(async (folder) => {
      const env = { DATABASE_URL: where }, brought = join(folder, "brought"), args = ["--adapter-dir", brought];
      await writeSmallAdapters(brought, ["a", "b"]);
      const first = await start(`${folder}/first`, { env, args }), client = clientOf(first.address);
      await client.ask("PUT", "/v1/adapters/new", { path: `${brought}/a` });
      await client.ask("POST", "/v1/registry/promote", overridden("base:new"));
      const text = await textOf(client, "prospect");
      const { client: second, running } = await startUnready(`${folder}/second`, { env, args });
      const { status, body } = await second.call("GET", "/readyz");
      assertEquals([status, body.reasons], [503, [
        "This process cannot answer for prospect: base:new cannot answer here: its files are not in this process's data folder.",
      ]]);
      assertEquals((await second.call("POST", "/v1/chat/completions", { model: "prospect", ...question })).status, 503);
      assertEquals((await second.call("PUT", "/v1/adapters/new", { path: `${brought}/b` })).status, 409);
      await second.ask("PUT", "/v1/adapters/new", { path: `${brought}/a` });
      assertEquals((await second.call("GET", "/readyz")).status, 200);
      assertStrictEquals(await textOf(second, "prospect"), text);
      await stop(running);
      await first.stop();
    }),
  ["postgres"],
);
