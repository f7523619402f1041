// /v1/registry and /v1/aliases over the app: the gate stands before promotion, the way back is open, and nothing that is
// asked for can be taken away.

import { assert, assertEquals, assertMatch, assertNotMatch, assertStrictEquals } from "@std/assert";
import { mostLoaded } from "../../services/gateway/registered_models.ts";
import { InputError } from "../../shared/errors.ts";
import type { RegisteredAdapter } from "../../shared/store/registry.ts";
import { type OpenGateway, withGateway } from "./open_gateway.ts";
import { registerScripted } from "./registered.ts";

const ask = { model: "prospect", messages: [{ role: "user", content: "hello" }] };
const failedGate: RegisteredAdapter["gate"] = {
  passed: false,
  auc: null,
  findings: [
    { rule: "kl-within-budget", passed: true, message: "KL is small." },
    { rule: "auc-above-chance", passed: false, message: "Nobody knows the AUC." },
  ],
};

const register = ({ gateway }: OpenGateway, name: string, changes: Partial<RegisteredAdapter> = {}) =>
  registerScripted(gateway, name, changes);

/** Who answers for the alias: the scripted engine begins with its adapter's name. */
async function answering({ call }: OpenGateway): Promise<string> {
  const { status, json } = await call("POST", "/v1/chat/completions", ask);
  assertEquals(status, 200, JSON.stringify(json));
  const [, adapter] = /^(\w+): /.exec(json.choices[0].message.content) ?? [];
  return adapter === undefined ? "base" : `base:${adapter}`;
}

const promote = ({ call }: OpenGateway, body: unknown) => call("POST", "/v1/registry/promote", body);
const goBack = ({ call }: OpenGateway, body: unknown = {}) => call("POST", "/v1/registry/rollback", body);

Deno.test("promotion and rollback change who answers at once, and the registry shows who was, is and may be", async () => {
  await withGateway({}, async (open) => {
    await register(open, "a", { createdAt: 1 });
    await register(open, "b", { createdAt: 2, parent: "base:a" });
    await register(open, "c", { createdAt: 3 });
    assertEquals(await answering(open), "base");
    for (const name of ["a", "b"]) {
      const { status, json } = await promote(open, { model: `base:${name}`, reason: "better" });
      assertEquals(status, 200);
      assertEquals(json.current, `base:${name}`);
      assertEquals(await answering(open), `base:${name}`);
    }
    const { json } = await open.call("GET", "/v1/registry");
    assertEquals([json.alias, json.current, json.previous], ["prospect", "base:b", "base:a"]);
    const shown = json.adapters.map(({ name, state, parent, fits }: RegisteredAdapter & Record<string, unknown>) => [
      name,
      state,
      parent,
      fits,
    ]);
    assertEquals(shown, [
      ["c", "candidate", "base", true],
      ["b", "current", "base:a", true],
      ["a", "retired", "base", true],
    ]);
    assertEquals(json.promotions.map(({ from, to, reason }: Record<string, unknown>) => [from, to, reason]), [
      ["base", "base:a", "better"],
      ["base:a", "base:b", "better"],
    ]);
    for (const model of ["base:a", "base"]) {
      assertStrictEquals((await goBack(open)).json.current, model);
      assertStrictEquals(await answering(open), model);
    }
    const end = await goBack(open);
    assertEquals(end.status, 409);
    assertMatch(end.json.error.message, /nothing to go back to/);
    assertEquals((await promote(open, { model: "base:a" })).status, 200);
    assertEquals((await promote(open, { model: "base" })).json.current, "base", "the base needs no gate");
  });
});

Deno.test("what has not passed the gate is 409 with its findings, and is promoted only with override and a reason", async () => {
  await withGateway({}, async (open) => {
    await register(open, "bad", { gate: failedGate });
    await register(open, "unmeasured", { gate: null });
    for (const [body, gate] of [[{ model: "base:bad" }, failedGate], [{ model: "base:unmeasured" }, null]] as const) {
      const { status, json } = await promote(open, { ...body, reason: "I like it" });
      assertEquals([status, json.error.code, json.gate], [409, "gate_not_passed", gate]);
    }
    const { json } = await promote(open, { model: "base:bad" });
    assertMatch(json.error.message, /Nobody knows the AUC\. Send override: true and a reason/);
    assertNotMatch(json.error.message, /KL is small/);
    const bare = await promote(open, { model: "base:bad", override: true });
    assertEquals([bare.status, bare.json.error.param], [400, "reason"]);
    assertEquals((await promote(open, { model: "base:bad", override: true, reason: "" })).status, 400);
    assertEquals(await answering(open), "base");
    const forced = await promote(open, { model: "base:bad", override: true, reason: "a demonstration" });
    assertEquals(forced.status, 200);
    const [{ override, reason }] = forced.json.promotions;
    assertEquals([override, reason], [true, "a demonstration"]);
    assertEquals(await answering(open), "base:bad");
    await register(open, "good");
    const good = await promote(open, { model: "base:good", override: true, reason: "not needed" });
    assertEquals(good.json.promotions.at(-1).override, false, "nothing had to be overridden");
  });
});

Deno.test("the alias moves only once the adapter is loaded: one that cannot be loaded changes nothing", async () => {
  await withGateway({}, async (open) => {
    await register(open, "broken");
    const { scripted: { engine } } = open;
    const setAdapter = engine.setAdapter;
    engine.setAdapter = () => Promise.reject(new InputError("adapter_model.safetensors is gone."));
    const { status, json } = await promote(open, { model: "base:broken" });
    assertEquals([status, json.error.code], [409, "model_unusable"]);
    assertMatch(json.error.message, /is gone/);
    assertEquals(await answering(open), "base");
    assertEquals((await open.call("GET", "/v1/registry")).json.promotions, []);
    const loaded = Promise.withResolvers<void>(), begun = Promise.withResolvers<void>();
    engine.setAdapter = async (...adapter) => {
      begun.resolve();
      await loaded.promise;
      return setAdapter(...adapter);
    };
    await register(open, "slow");
    const promoting = promote(open, { model: "base:slow" });
    await begun.promise;
    assertEquals(await answering(open), "base", "it answers while the new one is loaded");
    loaded.resolve();
    assertEquals((await promoting).status, 200);
    assertEquals(await answering(open), "base:slow");
  });
});

Deno.test("an adapter of another base is in the registry, fits nothing here, and is neither listed, asked nor promoted", async () => {
  await withGateway({}, async (open) => {
    await register(open, "foreign", { base: "another@ffff" });
    await open.gateway.models.refresh();
    const { json } = await open.call("GET", "/v1/registry");
    assertEquals(json.adapters.map(({ fits }: { fits: boolean }) => fits), [false]);
    const ids = (await open.call("GET", "/v1/models")).json.data.map(({ id }: { id: string }) => id);
    assertEquals(ids, ["base", "prospect"]);
    assertEquals((await open.call("POST", "/v1/chat/completions", { ...ask, model: "base:foreign" })).status, 404);
    const promoted = await promote(open, { model: "base:foreign" });
    assertEquals(promoted.status, 404);
    assertMatch(promoted.json.error.message, /for the base model another@ffff; this gateway serves another/);
    const arms = [{ model: "base:foreign", weight: 1 }];
    assertEquals((await open.call("PUT", "/v1/aliases/prospect", { arms })).status, 404);
    assertEquals(await answering(open), "base");
  });
});

Deno.test("an adapter that an alias asks for cannot be removed; one that is gone is gone from everywhere", async () => {
  await withGateway({}, async (open) => {
    await register(open, "a");
    await register(open, "b");
    await promote(open, { model: "base:a" });
    const arms = [{ model: "base", weight: 9 }, { model: "base:b", weight: 0 }];
    assertEquals((await open.call("PUT", "/v1/aliases/trial", { arms })).status, 200);
    for (const [name, alias] of [["a", "prospect"], ["b", "trial"]]) {
      const { status, json } = await open.call("DELETE", `/v1/registry/${name}`);
      assertEquals([status, json.error.code], [409, "in_use"]);
      assert(json.error.message.includes(`"${alias}"`));
    }
    await promote(open, { model: "base" });
    const removed = await open.call("DELETE", "/v1/registry/a");
    assertEquals(removed.status, 200);
    assertEquals(removed.json.adapters.map(({ name }: { name: string }) => name), ["b"]);
    assertEquals((await open.call("DELETE", "/v1/registry/a")).status, 404);
    await register(open, "never-asked");
    assertEquals((await open.call("DELETE", "/v1/registry/never-asked")).status, 200);
    assertEquals((await open.call("POST", "/v1/chat/completions", { ...ask, model: "base:a" })).status, 404);
    const back = await goBack(open);
    assertEquals(back.status, 409);
    assertMatch(back.json.error.message, /base:a, which was promoted before, cannot answer any more/);
    assertEquals(await answering(open), "base");
  });
});

Deno.test("traffic by hand is drawn by weight, kept in the store, and refused where nobody would answer", async () => {
  await withGateway({}, async (open) => {
    await register(open, "a");
    const set = (name: string, arms: unknown) => open.call("PUT", `/v1/aliases/${name}`, { arms });
    const arms = [{ model: "base", weight: 1 }, { model: "base:a", weight: 3 }];
    assertEquals((await set("prospect", arms)).json, { name: "prospect", arms });
    const seen = { base: 0, "base:a": 0 } as Record<string, number>;
    for (let i = 0; i < 200; i++) {
      const model = await answering(open);
      seen[model] = seen[model]! + 1;
    }
    // A fair draw of 200 misses these bounds less than once in a million runs.
    assert(seen["base:a"]! > 115 && seen["base:a"]! < 182, JSON.stringify(seen));
    const refused: [string, unknown, number][] = [
      ["prospect", [], 400],
      ["prospect", [{ model: "base", weight: 0 }], 400],
      ["prospect", [{ model: "base", weight: -1 }], 400],
      ["prospect", [{ model: "base", weight: 1 }, { model: "base", weight: 1 }], 400],
      ["prospect", [{ model: "base:none", weight: 1 }], 404],
      ["prospect", [{ model: "prospect", weight: 1 }], 404],
      ["base", [{ model: "base", weight: 1 }], 400],
      ["a:b", [{ model: "base", weight: 1 }], 400],
    ];
    for (const [name, arms, status] of refused) {
      assertEquals((await set(name, arms)).status, status, `${name} ${JSON.stringify(arms)}`);
    }
    assertEquals((await open.call("GET", "/v1/aliases")).json.data, [{ name: "prospect", arms }]);
    assertEquals((await promote(open, { model: "base:a" })).status, 200);
    assertEquals((await open.call("GET", "/v1/aliases")).json.data[0].arms, [{ model: "base:a", weight: 1 }]);
  });
});

Deno.test("adapters that were not asked for in a long time are unloaded and come back when they are asked for; those that aliases ask for stay", async () => {
  await withGateway({}, async (open) => {
    const { scripted: { engine } } = open;
    const names = Array.from({ length: mostLoaded + 3 }, (_, i) => `a${i}`);
    for (const name of names) await register(open, name);
    const loaded = () => engine.adapters().map(({ name }) => name);
    const ask = async (name: string) => {
      const body = { model: `base:${name}`, messages: [{ role: "user", content: "hello" }] };
      const { status, json } = await open.call("POST", "/v1/chat/completions", body);
      assertEquals(status, 200);
      assertMatch(json.choices[0].message.content, new RegExp(`^${name}: `));
    };
    await register(open, "promoted");
    await register(open, "tried");
    await promote(open, { model: "base:promoted" });
    const arms = [{ model: "base", weight: 9 }, { model: "base:tried", weight: 1 }];
    assertEquals((await open.call("PUT", "/v1/aliases/trial", { arms })).status, 200);
    for (const name of names.slice(0, mostLoaded)) await ask(name);
    await ask("a0");
    assertEquals(loaded().length, mostLoaded + 2);
    for (const name of names.slice(mostLoaded)) await ask(name);
    assertEquals(
      loaded().sort(),
      ["promoted", "tried", ...names.filter((name) => !/^a[123]$/.test(name))].sort(),
    );
    await ask("a1");
    await Promise.all(["a2", "a3", "a4"].map(ask));
    assertEquals(loaded().length, mostLoaded + 2);
    const listed = (await open.call("GET", "/v1/models")).json.data.map(({ id }: { id: string }) => id);
    for (const name of names) assert(listed.includes(`base:${name}`), `${name} is not listed`);
  });
});
