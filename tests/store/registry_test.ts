// The registry: adapters with their lineage, aliases, and promotions as a stack that a crash or a rival leaves whole.

import assert from "node:assert/strict";
import type { Database } from "../../shared/store/database.ts";
import { noteServedBase } from "../../shared/store/presence.ts";
import { listAliases, setAlias } from "../../shared/store/aliases.ts";
import { listPromotions, promote, rollback, standing, UnservedBaseError } from "../../shared/store/promotions.ts";
import {
  findAdapter,
  listAdapters,
  registerAdapter,
  type RegisteredAdapter,
  removeAdapter,
} from "../../shared/store/registry.ts";
import { databaseTest } from "./databases.ts";

const alias = "prospect";

const adapter = (name: string, changes: Partial<RegisteredAdapter> = {}): RegisteredAdapter => ({
  name,
  createdAt: 1_764_000_000_000,
  base: "tiny@0123",
  folder: `runs/${name}/adapter`,
  version: "4567",
  parent: "base",
  jobId: null,
  data: { rows: 12 },
  metrics: { auc: null },
  gate: { passed: true, auc: { value: 0.9, low: 0.8, high: 1 }, findings: [] },
  files: { metrics: "file-1" },
  ...changes,
});

const moveTo = (database: Database, to: string, changes: Partial<Parameters<typeof promote>[3]> = {}) =>
  database.write((queries) => promote(queries, alias, to, { reason: null, override: false, by: null, ...changes }));

const goBack = (database: Database) =>
  database.write((queries) => rollback(queries, alias, { reason: "worse", by: "key-1" }));

/** What the log says is promoted and what the alias points to: one truth in two places. */
async function current(database: Database): Promise<string> {
  const { current } = standing(await listPromotions(database, alias));
  assert.deepEqual((await listAliases(database)).get(alias)?.arms, [{ model: current, weight: 1 }]);
  return current;
}

databaseTest(
  "an adapter comes back as it was registered, newest first, and its name is taken until it is removed",
  async (database) => {
    const old = adapter("old"),
      young = adapter("young", { createdAt: old.createdAt + 1, gate: null, jobId: "ftjob-1" });
    await registerAdapter(database, old);
    await registerAdapter(database, young);
    assert.deepEqual(await listAdapters(database), [young, old]);
    assert.deepEqual(await findAdapter(database, "young"), young);
    await assert.rejects(registerAdapter(database, adapter("old")));
    assert.equal(await removeAdapter(database, "old"), true);
    assert.equal(await removeAdapter(database, "old"), false);
    assert.deepEqual(await listAdapters(database), [young]);
  },
);

databaseTest(
  "promotions are a stack: each rollback goes one back, down to the base and no further",
  async (database) => {
    assert.equal(await goBack(database), undefined);
    assert.deepEqual(await listPromotions(database, alias), []);
    assert.equal(await moveTo(database, "base:a"), "base");
    assert.equal(await moveTo(database, "base:b", { reason: "better", override: true, by: "key-1" }), "base:a");
    assert.equal(await current(database), "base:b");
    assert.equal(await goBack(database), "base:a");
    assert.equal(await current(database), "base:a");
    assert.equal(await moveTo(database, "base:c"), "base:a");
    assert.equal(await goBack(database), "base:a");
    assert.equal(await goBack(database), "base");
    assert.equal(await goBack(database), undefined);
    assert.equal(await current(database), "base");
    const log = await listPromotions(database, alias);
    assert.deepEqual(log.map(({ kind, from, to }) => `${kind} ${from} ${to}`), [
      "promote base base:a",
      "promote base:a base:b",
      "rollback base:b base:a",
      "promote base:a base:c",
      "rollback base:c base:a",
      "rollback base:a base",
    ]);
    assert.deepEqual([log[1]!.reason, log[1]!.override, log[1]!.by], ["better", true, "key-1"]);
    assert.deepEqual(await listPromotions(database, "another"), []);
  },
);

databaseTest("promoting twice what is promoted is undone by one rollback", async (database) => {
  await moveTo(database, "base:a");
  await moveTo(database, "base:b");
  await moveTo(database, "base:b");
  assert.equal(await goBack(database), "base:a");
  assert.equal(await current(database), "base:a");
});

databaseTest(
  "many at once who promote and go back leave a log in which every entry follows from the one before",
  async (database) => {
    const work = Array.from({ length: 40 }, (_, i) => i % 3 === 2 ? goBack(database) : moveTo(database, `base:${i}`));
    await Promise.all(work);
    const log = await listPromotions(database, alias);
    log.forEach(({ from, to, kind }, i) => {
      const before = standing(log.slice(0, i));
      assert.equal(from, before.current);
      if (kind === "rollback") assert.equal(to, before.previous);
    });
    await current(database);
  },
);

databaseTest("a promotion that breaks off leaves both the log and the alias as they were", async (database) => {
  await moveTo(database, "base:a");
  await assert.rejects(
    database.write(async (queries) => {
      await promote(queries, alias, "base:b", { reason: null, override: false, by: null });
      await registerAdapter(queries, adapter("x"));
      await registerAdapter(queries, adapter("x"));
    }),
  );
  assert.equal(await current(database), "base:a");
  assert.equal(await findAdapter(database, "x"), undefined);
});

databaseTest("an alias that is set by hand is what it was set to last, and others stay", async (database) => {
  await setAlias(database, "one", [{ model: "base", weight: 1 }]);
  await setAlias(database, "two", [{ model: "base:a", weight: 0.5 }, { model: "base", weight: 0 }]);
  await setAlias(database, "one", [{ model: "base:b", weight: 9 }]);
  const arms = [...await listAliases(database)].map(([name, { arms }]) => [name, arms]);
  assert.deepEqual(arms, [
    ["one", [{ model: "base:b", weight: 9 }]],
    ["two", [{ model: "base:a", weight: 0.5 }, { model: "base", weight: 0 }]],
  ]);
});

databaseTest(
  "what the gateway could not answer with is neither promoted nor gone back to, and everything else of the write is kept",
  async (database) => {
    await registerAdapter(database, adapter("fits"));
    await registerAdapter(database, adapter("foreign", { base: "other@4567" }));
    const refused = (move: Promise<unknown>, why: RegExp) =>
      assert.rejects(move, (error) => error instanceof UnservedBaseError && why.test(error.message));
    await refused(moveTo(database, "base:fits"), /base:fits is for .* tiny@0123; no gateway has said yet/);
    await noteServedBase(database, "tiny@0123");
    await refused(moveTo(database, "base:foreign"), /base:foreign is for .* other@4567; the gateway serves tiny@0123/);
    assert.deepEqual(await listPromotions(database, alias), []);
    assert.deepEqual([...await listAliases(database)], []);
    await moveTo(database, "base:fits");
    await moveTo(database, "base:by-hand");
    // A gateway begins to serve another model between the decision to promote and the promotion.
    await noteServedBase(database, "other@4567");
    await database.write(async (queries) => {
      await registerAdapter(queries, adapter("third"));
      await refused(promote(queries, alias, "base:third", { reason: null, override: false, by: null }), /other@4567/);
    });
    assert.ok(await findAdapter(database, "third"));
    await refused(goBack(database), /base:fits/);
    assert.equal(await current(database), "base:by-hand");
    assert.equal(await moveTo(database, "base:foreign"), "base:by-hand");
    assert.equal(await moveTo(database, "base"), "base:foreign");
  },
);
