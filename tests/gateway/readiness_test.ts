// /readyz: true only if this process can answer for every alias that it publishes. What it cannot answer with is refused
// by name, promoted by nobody, and never answered with something else.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { keepAdapter, keptFolder } from "../../shared/runtime/kept_adapters.ts";
import { setAlias } from "../../shared/store/aliases.ts";
import { deleteAdapter, type RegisteredAdapter } from "../../shared/store/registry.ts";
import { type OpenGateway, withGateway } from "./open_gateway.ts";
import { registerScripted } from "./registered.ts";

const messages = [{ role: "user", content: "hello" }];
const chat = ({ call }: OpenGateway, model: string) => call("POST", "/v1/chat/completions", { model, messages });

/** What a gateway does every second. */
async function look({ gateway, scripted }: OpenGateway): Promise<void> {
  await gateway.models.refresh();
  await gateway.models.prepare(scripted.engine);
}

const readiness = async (open: OpenGateway) => {
  await look(open);
  const { status, json } = await open.call("GET", "/readyz");
  return [status, json.reasons];
};

/** Points the alias to an adapter behind the gateway's back, as another one does. */
const point = ({ gateway }: OpenGateway, name: string, weight = 1) =>
  setAlias(gateway.database, "prospect", [{ model: "base", weight: 1 }, { model: `base:${name}`, weight }]);

const only = ({ gateway }: OpenGateway, name: string) =>
  setAlias(gateway.database, "prospect", [{ model: `base:${name}`, weight: 1 }]);

const kept = ({ folder }: OpenGateway, { version }: RegisteredAdapter) => `${folder}/${keptFolder(version)}`;

async function alter(open: OpenGateway, adapter: RegisteredAdapter): Promise<void> {
  const path = `${kept(open, adapter)}/adapter_model.safetensors`;
  await Deno.chmod(path, 0o600);
  await Deno.writeTextFile(path, "overwritten");
}

Deno.test("an adapter that an alias asks for is loaded before anyone asks, whoever moved the alias there", async () => {
  await withGateway({}, async (open) => {
    await registerScripted(open.gateway, "a");
    await only(open, "a");
    assertEquals(await readiness(open), [200, []]);
    assertEquals(open.scripted.engine.adapters().map(({ name }) => name), ["a"]);
    await deleteAdapter(open.gateway.database, "a");
    await setAlias(open.gateway.database, "prospect", [{ model: "base", weight: 1 }]);
    assertEquals(await readiness(open), [200, []]);
    assertEquals(open.scripted.engine.adapters(), [], "what left the registry is loaded no more");
  });
});

Deno.test("an alias without an adapter, with a foreign one, or with one whose files are gone or others makes /readyz 503 and says so", async () => {
  await withGateway({}, async (open) => {
    const { gateway } = open;
    await only(open, "never");
    assertEquals(await readiness(open), [503, [
      "This process cannot answer for prospect: base:never is not in the registry; load it, or point the alias elsewhere.",
    ]]);
    assertEquals([(await chat(open, "prospect")).status, (await chat(open, "base")).status], [404, 200]);

    await registerScripted(gateway, "foreign", { base: "another@ffff" });
    await only(open, "foreign");
    const [status, [reason]] = await readiness(open) as [number, string[]];
    assertEquals(status, 503);
    assertMatch(reason!, /base:foreign is for the base model another@ffff; this gateway serves scripted@/);
    assertEquals((await chat(open, "prospect")).status, 404);

    const gone = await registerScripted(gateway, "gone");
    await Deno.rename(kept(open, gone), `${open.folder}/taken`);
    await only(open, "gone");
    assertEquals(await readiness(open), [503, [
      "This process cannot answer for prospect: base:gone cannot answer here: its files are not in this process's data folder.",
    ]]);
    const refused = await chat(open, "prospect");
    assertEquals([refused.status, refused.json.error.code], [503, "model_unusable"]);

    const altered = await registerScripted(gateway, "altered");
    await alter(open, altered);
    await point(open, "altered", 0);
    assertEquals(await readiness(open), [200, []], "an arm without weight is asked nothing");
    await point(open, "altered");
    const said = await readiness(open) as [number, string[]];
    assertEquals(said[0], 503);
    assertMatch(
      said[1][0]!,
      /prospect: base:altered cannot answer: its files are no longer those that were registered/,
    );
    assertEquals((await chat(open, "base:altered")).status, 503);
    assert(!said[1][0]!.includes(open.folder), "whoever probes is told no path");
    const told = open.logged.filter(({ event }) => event === "an adapter could not be loaded");
    assertEquals(told.map(({ fields }) => fields.model), ["base:gone", "base:altered"], "once each");

    const path = `${open.folder}/brought/altered`;
    assertEquals((await open.call("PUT", "/v1/adapters/altered", { path })).status, 200);
    assertEquals(await readiness(open), [200, []]);
    assertMatch((await chat(open, "base:altered")).json.choices[0].message.content, /^altered: /);
  });
});

Deno.test("what was overwritten is not promoted, loaded or not, nor gone back to, and what answers goes on", async () => {
  await withGateway({}, async (open) => {
    const [fresh, loaded, before] = [
      await registerScripted(open.gateway, "fresh"),
      await registerScripted(open.gateway, "loaded"),
      await registerScripted(open.gateway, "before"),
    ];
    await registerScripted(open.gateway, "now");
    for (const name of ["before", "now"]) {
      assertEquals((await open.call("POST", "/v1/registry/promote", { model: `base:${name}` })).status, 200);
    }
    assertEquals((await chat(open, "base:loaded")).status, 200);
    for (const adapter of [fresh, loaded, before]) await alter(open, adapter);
    for (const name of ["fresh", "loaded"]) {
      const { status, json } = await open.call("POST", "/v1/registry/promote", { model: `base:${name}` });
      assertEquals([status, json.error.code], [409, "model_unusable"], name);
      assertMatch(json.error.message, new RegExp(`base:${name} cannot answer`));
    }
    const arms = [{ model: "base:fresh", weight: 1 }];
    assertEquals((await open.call("PUT", "/v1/aliases/trial", { arms })).status, 409);
    assertEquals((await open.call("POST", "/v1/registry/rollback", {})).status, 409);
    assertEquals((await chat(open, "prospect")).json.model, "base:now");
    assertMatch(
      (await chat(open, "base:loaded")).json.choices[0].message.content,
      /^loaded: /,
      "it is in memory as it was",
    );
    await keepAdapter(open.folder, `${open.folder}/brought/before`);
    assertEquals((await open.call("POST", "/v1/registry/rollback", {})).json.current, "base:before");
  });
});
