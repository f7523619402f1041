// /v1/adapters: what people bring is registered under its content, answers with nothing else, and passes no gate by.

import { assert, assertEquals, assertMatch, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { removeUnnamedFiles } from "../../services/gateway/adapters_by_hand.ts";
import { keptFolder } from "../../shared/runtime/kept_adapters.ts";
import { addJob } from "../../shared/store/jobs.ts";
import { findAdapter } from "../../shared/store/registry.ts";
import { type OpenGateway, withGateway } from "./open_gateway.ts";
import { jobRequest, registerScripted, writeScriptedAdapter } from "./registered.ts";

const messages = [{ role: "user", content: "hello" }];
const chat = ({ call }: OpenGateway, model: string) => call("POST", "/v1/chat/completions", { model, messages });
const put = ({ call }: OpenGateway, name: string, path: string) => call("PUT", `/v1/adapters/${name}`, { path });
const promote = ({ call }: OpenGateway, model: string, override = false) =>
  call("POST", "/v1/registry/promote", { model, ...(override ? { override, reason: "trained elsewhere" } : {}) });
const isThere = ({ folder }: OpenGateway, version: string) => existsSync(`${folder}/${keptFolder(version)}`);

Deno.test("what is brought is registered as unmeasured, promoted only with override, and answers though its folder is gone", async () => {
  await withGateway({}, async (open) => {
    const path = await writeScriptedAdapter(open.folder, "elsewhere");
    const { status, json } = await put(open, "new", path);
    assertEquals(status, 200);
    const { adapters: [shown] } = (await open.call("GET", "/v1/registry")).json;
    assertEquals([shown.name, shown.version, shown.job_id, shown.gate], ["new", json.version, null, null]);
    assertEquals([shown.state, shown.data.source], ["candidate", "loaded by hand"]);
    const refused = await promote(open, "base:new");
    assertEquals([refused.status, refused.json.error.code], [409, "gate_not_passed"]);
    assertStrictEquals((await promote(open, "base:new", true)).json.promotions[0].version, json.version);
    await Deno.remove(path, { recursive: true });
    await open.scripted.engine.removeAdapter("new");
    assertMatch((await chat(open, "prospect")).json.choices[0].message.content, /^new: /);
  });
});

Deno.test("other files under a name that is promoted, spread, trained or trained on are 409 and change nothing; a free name gets them", async () => {
  await withGateway({}, async (open) => {
    const other = await writeScriptedAdapter(open.folder, "other");
    const { database } = open.gateway;
    for (const name of ["promoted", "spread", "parent"]) await registerScripted(open.gateway, name);
    await registerScripted(open.gateway, "trained", { jobId: "ftjob-1" });
    await promote(open, "base:promoted");
    const arms = [{ model: "base", weight: 1 }, { model: "base:spread", weight: 0 }];
    assertEquals((await open.call("PUT", "/v1/aliases/trial", { arms })).status, 200);
    await addJob(database, { ...jobRequest, model: "base:parent" }, null);
    for (const name of ["promoted", "spread", "parent", "trained"]) {
      const before = await findAdapter(database, name);
      const { status, json } = await put(open, name, other);
      assertEquals(status, 409, `${name}: ${JSON.stringify(json)}`);
      assertMatch(json.error.message, /another name|change it first|wait for its end/);
      assertEquals(await findAdapter(database, name), before);
      assertEquals(
        (await put(open, name, `${open.folder}/brought/${name}`)).status,
        200,
        "its own files are no change",
      );
    }
    assertEquals((await chat(open, "prospect")).json.model, "base:promoted");
    const [first, second] = [await put(open, "free", `${open.folder}/brought/spread`), await put(open, "free", other)];
    assertEquals(second.status, 200);
    assertNotStrictEquals(second.json.version, first.json.version);
    assert(isThere(open, first.json.version), "it is another adapter's too");
  });
});

Deno.test("a rollback never answers with files that came to the name after it was promoted", async () => {
  await withGateway({}, async (open) => {
    for (const name of ["one", "two"]) {
      assertEquals((await put(open, name, await writeScriptedAdapter(open.folder, name))).status, 200);
      assertEquals((await promote(open, `base:${name}`, true)).status, 200);
    }
    assertEquals((await put(open, "one", await writeScriptedAdapter(open.folder, "other"))).status, 200);
    const { status, json } = await open.call("POST", "/v1/registry/rollback", {});
    assertEquals([status, json.error.code], [409, "changed"]);
    assertEquals((await chat(open, "prospect")).json.model, "base:two");
    const { adapters } = (await open.call("GET", "/v1/registry")).json;
    const states = adapters.map(({ name, state }: Record<string, unknown>) => [name, state]);
    assertEquals(states, [["one", "candidate"], ["two", "current"]]);
  });
});

Deno.test("files leave the disk with the last name that has them, and what killed processes left goes after a day", async () => {
  await withGateway({}, async (open) => {
    const path = await writeScriptedAdapter(open.folder, "shared");
    const { json: { version } } = await put(open, "a", path);
    await put(open, "b", path);
    assertEquals((await open.call("DELETE", "/v1/registry/a")).status, 200);
    assert(isThere(open, version));
    const replacing = await put(open, "b", await writeScriptedAdapter(open.folder, "other"));
    assert(!isThere(open, version));
    assertEquals((await open.call("DELETE", "/v1/adapters/b")).status, 200);
    assert(!isThere(open, replacing.json.version));
    const { version: kept } = await registerScripted(open.gateway, "kept");
    const home = `${open.folder}/adapters`, left = ["f".repeat(64), ".unfinished.tmp"];
    for (const name of left) await Deno.mkdir(`${home}/${name}`);
    await removeUnnamedFiles(open.gateway.database, open.folder);
    for (const name of [...left, kept]) assert(existsSync(`${home}/${name}`), "somebody may be about to name it");
    for (const name of [...left, kept]) await Deno.utime(`${home}/${name}`, 1, 1);
    await removeUnnamedFiles(open.gateway.database, open.folder);
    assertEquals([...Deno.readDirSync(home)].map(({ name }) => name), [kept]);
  });
});

Deno.test("a job's adapter is unloaded by hand and comes back when it is asked for; who brought one takes it away for good", async () => {
  await withGateway({}, async (open) => {
    await registerScripted(open.gateway, "trained", { jobId: "ftjob-1" });
    await put(open, "brought", await writeScriptedAdapter(open.folder, "brought"));
    for (const name of ["trained", "brought"]) {
      assertEquals((await chat(open, `base:${name}`)).status, 200);
      assertEquals((await open.call("DELETE", `/v1/adapters/${name}`)).status, 200);
    }
    assertEquals((await open.call("GET", "/v1/adapters")).json.data, []);
    assertEquals((await chat(open, "base:trained")).status, 200);
    assertEquals((await chat(open, "base:brought")).status, 404);
  });
});
