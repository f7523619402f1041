// /v1/experiments: arms and their versions apart, thumbs by person, and a verdict that may be looked at every day.

import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { drawArm } from "../../services/gateway/model_names.ts";
import { storeCompletion, type StoredCompletion } from "../../shared/store/completions.ts";
import type { Database } from "../../shared/store/database.ts";
import { putLabel } from "../../shared/store/labels.ts";
import { completion, thumb } from "../store/records.ts";
import { type OpenGateway, withGateway } from "./open_gateway.ts";
import { registerScripted, scriptedBase } from "./registered.ts";

interface Arm {
  model: string;
  base: string | null;
  adapter_version: string | null;
  current: boolean;
  reference: boolean;
  weight: number;
  answers: number;
  people: number;
  judged: number;
  judges: number;
  judged_by_nobody: number;
  desirable: number;
  rate: { value: number; low: number; high: number; effective: number } | null;
  difference: { value: number; low: number; high: number } | null;
  verdict: { result: string; low: number; high: number; message: string } | null;
}

/** Answers of prospect, each to a person of its own who put a thumb on it unless another person is given. */
async function judge(
  database: Database,
  of: Pick<StoredCompletion, "base" | "adapter" | "adapterVersion">,
  thumbs: number,
  desirable: number,
  person?: string,
): Promise<void> {
  const name = [of.base, of.adapter, of.adapterVersion].join("-");
  for (let i = 0; i < thumbs; i++) {
    const id = `${name}-${person ?? ""}-${i}`, endUser = person ?? id;
    await storeCompletion(database, completion(id, { ...of, alias: "prospect", endUser }));
    await putLabel(database, thumb(id, { endUser, label: i < desirable }));
  }
}

const base = { base: scriptedBase, adapter: null, adapterVersion: null };

async function arms({ call }: OpenGateway): Promise<Arm[]> {
  const { status, json } = await call("GET", "/v1/experiments?alias=prospect");
  assertEquals(status, 200);
  return json.data[0].arms;
}

Deno.test("what another base model was told is no row of today's base", async () => {
  await withGateway({}, async (open) => {
    const { database } = open.gateway;
    await judge(database, base, 4, 4);
    await judge(database, { ...base, base: "older@0123" }, 10, 0);
    const [today, older, ...more] = await arms(open);
    assertEquals(more, []);
    assertEquals([today!.base, today!.current, today!.judged, today!.desirable], [scriptedBase, true, 4, 4]);
    assertEquals([older!.base, older!.current, older!.judged, older!.desirable], ["older@0123", false, 10, 0]);
    assertEquals([today!.weight, today!.reference, older!.weight, older!.reference], [100, true, 0, false]);
    assertEquals(older!.verdict!.result, "cannot tell yet");
    assert(older!.difference!.high < 0, "at one look it can be told");
  });
});

Deno.test("two versions of one adapter are two rows, and the one that answers now has the weight", async () => {
  await withGateway({}, async (open) => {
    const { database } = open.gateway, { version } = await registerScripted(open.gateway, "new");
    const spread = [{ model: "base", weight: 3 }, { model: "base:new", weight: 1 }];
    assertEquals((await open.call("PUT", "/v1/aliases/prospect", { arms: spread })).status, 200);
    await judge(database, base, 6, 3);
    await judge(database, { ...base, adapter: "new", adapterVersion: "before" }, 8, 1);
    await judge(database, { ...base, adapter: "new", adapterVersion: version }, 5, 5);
    const shown = (await arms(open)).map((
      arm,
    ) => [arm.model, arm.adapter_version, arm.weight, arm.judged, arm.desirable]);
    assertEquals(shown, [
      ["base", null, 75, 6, 3],
      ["base:new", version, 25, 5, 5],
      ["base:new", "before", 0, 8, 1],
    ]);
  });
});

Deno.test("one person's twenty thumbs are one person's", async () => {
  await withGateway({}, async (open) => {
    const { database } = open.gateway;
    await judge(database, base, 20, 20, "ann");
    const [one] = await arms(open);
    assertEquals([one!.judged, one!.judges, one!.people, one!.answers], [20, 1, 1, 20]);
    assert(Math.abs(one!.rate!.effective - 1) < 1e-9 && one!.rate!.low < 0.21, `${one!.rate!.low}`);
    for (let i = 0; i < 19; i++) await judge(database, base, 1, 1, `person ${i}`);
    const [many] = await arms(open);
    assertEquals(many!.judges, 20);
    assert(many!.rate!.effective < 20 && many!.rate!.low > 0.3, JSON.stringify(many!.rate));
  });
});

Deno.test("thumbs of nobody count by request, and it is said how many they are", async () => {
  await withGateway({}, async (open) => {
    const { database } = open.gateway;
    for (let i = 0; i < 30; i++) {
      const id = `nobody's ${i}`;
      await storeCompletion(database, completion(id, { ...base, alias: "prospect" }, ["one", "two"]));
      for (const choice of [0, 1]) await putLabel(database, thumb(id, { choice, label: i < 10 }));
    }
    const [arm] = await arms(open);
    assertEquals([arm!.judged, arm!.judges, arm!.judged_by_nobody, arm!.people], [60, 0, 60, 0]);
    assert(Math.abs(arm!.rate!.effective - 30) < 1e-9);
  });
});

Deno.test("an arm is called better or worse than the reference once enough people say so", async () => {
  await withGateway({}, async (open) => {
    const { database } = open.gateway, { version } = await registerScripted(open.gateway, "new");
    const spread = (...weights: [number, number]) =>
      open.call("PUT", "/v1/aliases/prospect", {
        arms: [{ model: "base", weight: weights[0] }, { model: "base:new", weight: weights[1] }],
      });
    const tuned = { ...base, adapter: "new", adapterVersion: version };
    const verdicts = async () => (await arms(open)).map(({ verdict }) => verdict?.result);
    await spread(50, 50);
    assertEquals(await verdicts(), [undefined, "cannot tell yet"]);
    await judge(database, base, 60, 20);
    assertMatch((await arms(open))[1]!.verdict!.message, /^Cannot tell yet: base:new has no thumbs\.$/);
    await judge(database, tuned, 5, 5);
    assertEquals(await verdicts(), [undefined, "cannot tell yet"]);
    for (let i = 0; i < 60; i++) await judge(database, tuned, 1, i % 6 ? 1 : 0, `person ${i}`);
    const [, arm] = await arms(open), { difference, verdict } = arm!;
    assertEquals(verdict!.result, "better");
    assert(verdict!.low > 0 && verdict!.low < difference!.low && verdict!.high > difference!.high, JSON.stringify(arm));
    assertMatch(
      verdict!.message,
      /^Better than base: \+\d+\.\d to \+\d+\.\d points, .*; 55 of 65 thumbs up \(65 people\), against 20 of 60 thumbs up \(60 people\)\.$/,
    );
    // Where base answers nothing any more, what answers is what others are held against.
    await spread(0, 1);
    assertEquals(await verdicts(), ["worse", undefined]);
  });
});

Deno.test("while no model is loaded the arms are those of the base that was served last", async () => {
  await withGateway({}, async (open) => {
    await judge(open.gateway.database, base, 2, 1);
    open.gateway.engine = undefined;
    const [arm] = await arms(open);
    assertEquals([arm!.base, arm!.current, arm!.judged], [scriptedBase, true, 2]);
  });
});

Deno.test("an alias spreads requests by weight, keeps a person on one arm, and its arms are counted apart", async () => {
  await withGateway({}, async (open) => {
    const { call, gateway } = open;
    await registerScripted(gateway, "new");
    const spread = [{ model: "base", weight: 3 }, { model: "base:new", weight: 1 }];
    assertEquals((await call("PUT", "/v1/aliases/prospect", { arms: spread })).status, 200);
    const armOf: Record<string, string> = {};
    for (let i = 0; i < 80; i++) {
      const { json } = await call("POST", "/v1/chat/completions", {
        model: "prospect",
        messages: [{ role: "user", content: "hi" }],
        user: `user ${i % 40}`,
      });
      assertStrictEquals(armOf[`user ${i % 40}`] ??= json.model, json.model);
      await call("POST", "/v1/feedback", { completion_id: json.id, label: json.model === "base:new" });
    }
    const [reference, tuned] = await arms(open) as [Arm, Arm];
    assertEquals([reference.model, reference.weight, tuned.model, tuned.weight], ["base", 75, "base:new", 25]);
    assertEquals(reference.answers + tuned.answers, 80);
    assertEquals(reference.people + tuned.people, 40);
    assertEquals(reference.judges + tuned.judges, 40);
    assert(tuned.answers >= 8 && tuned.answers <= 36, `${tuned.answers} of 80 went to a quarter's arm`);
    assertEquals([reference.rate!.value, tuned.rate!.value], [0, 1]);
    assert(tuned.rate!.low > reference.rate!.high);
  });
});

Deno.test("which arm a person gets of one alias says nothing of which one of another", () => {
  const arms = [{ model: "base", weight: 1 }, { model: "base:new", weight: 1 }];
  const people = Array.from({ length: 1000 }, (_, i) => `person ${i}`);
  const same = people.filter((person) => drawArm("prospect", arms, person) === drawArm("trial", arms, person));
  // Binomial: 1000 people, half of them; 6 standard deviations.
  assert(Math.abs(same.length - 500) < 95, `${same.length} of 1000 have the same arm of both`);
});
