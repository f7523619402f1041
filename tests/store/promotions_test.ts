// Promotions as a stack that a crash or a rival leaves whole, and that names files and not only names.

import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { listAliases } from "../../shared/store/aliases.ts";
import type { Database } from "../../shared/store/database.ts";
import { noteServedBase } from "../../shared/store/presence.ts";
import { listPromotions, promote, standing, UnservedBaseError } from "../../shared/store/promotions.ts";
import { deleteAdapter, findAdapter, registerAdapter, RegistryConflictError } from "../../shared/store/registry.ts";
import { databaseTest } from "./databases.ts";
import { adapter, alias, goBack, moveTo, registerAll } from "./promotable.ts";

/** What the log says is promoted and what the alias points to: one truth in two places. */
async function current(database: Database): Promise<string> {
  const { current } = standing(await listPromotions(database, alias));
  assertEquals((await listAliases(database)).get(alias)?.arms, [{ model: current.model, weight: 1 }]);
  return current.model;
}

databaseTest(
  "promotions are a stack: each rollback goes one back, down to the base and no further",
  async (database) => {
    await registerAll(database, "a", "b", "c");
    assertEquals(await goBack(database), undefined);
    assertEquals(await listPromotions(database, alias), []);
    assertEquals(await moveTo(database, "base:a"), "base");
    assertEquals(await moveTo(database, "base:b", { reason: "better", override: true, by: "key-1" }), "base:a");
    assertEquals(await current(database), "base:b");
    assertEquals(await goBack(database), "base:a");
    assertEquals(await current(database), "base:a");
    assertEquals(await moveTo(database, "base:c"), "base:a");
    assertEquals(await goBack(database), "base:a");
    assertEquals(await goBack(database), "base");
    assertEquals(await goBack(database), undefined);
    assertEquals(await current(database), "base");
    const log = await listPromotions(database, alias);
    assertEquals(log.map(({ kind, from, to }) => `${kind} ${from} ${to}`), [
      "promote base base:a",
      "promote base:a base:b",
      "rollback base:b base:a",
      "promote base:a base:c",
      "rollback base:c base:a",
      "rollback base:a base",
    ]);
    assertEquals([log[1]!.reason, log[1]!.override, log[1]!.by], ["better", true, "key-1"]);
    assertEquals(await listPromotions(database, "another"), []);
  },
);

databaseTest("promoting twice what is promoted is undone by one rollback", async (database) => {
  await registerAll(database, "a", "b");
  await moveTo(database, "base:a");
  await moveTo(database, "base:b");
  await moveTo(database, "base:b");
  assertEquals(await goBack(database), "base:a");
  assertEquals(await current(database), "base:a");
});

databaseTest(
  "many at once who promote and go back leave a log in which every entry follows from the one before",
  async (database) => {
    await registerAll(database, ...Array.from({ length: 40 }, (_, i) => String(i)));
    const work = Array.from({ length: 40 }, (_, i) => i % 3 === 2 ? goBack(database) : moveTo(database, `base:${i}`));
    await Promise.all(work);
    const log = await listPromotions(database, alias);
    log.forEach(({ from, to, kind }, i) => {
      const before = standing(log.slice(0, i));
      assertStrictEquals(from, before.current.model);
      if (kind === "rollback") assertStrictEquals(to, before.previous?.model);
    });
    await current(database);
  },
);

databaseTest("a promotion that breaks off leaves both the log and the alias as they were", async (database) => {
  await registerAll(database, "a", "b");
  await moveTo(database, "base:a");
  await assertRejects(() =>
    database.write(async (queries) => {
      await promote(queries, alias, "base:b", { version: null, reason: null, override: false, by: null });
      await registerAdapter(queries, adapter("x"));
      await registerAdapter(queries, adapter("x"));
    })
  );
  assertEquals(await current(database), "base:a");
  assertEquals(await findAdapter(database, "x"), undefined);
});

databaseTest(
  "a promotion names the files that were judged: what was removed or replaced meanwhile is refused, also by a rollback",
  async (database) => {
    await registerAll(database, "a", "b");
    const replace = (name: string, version: string) =>
      database.write(async (queries) => {
        await deleteAdapter(queries, name);
        await registerAdapter(queries, adapter(name, { version }));
      });
    await moveTo(database, "base:a");
    await moveTo(database, "base:b");
    assertEquals((await listPromotions(database, alias)).map(({ version }) => version), [
      "version of a",
      "version of b",
    ]);
    await replace("a", "another");
    await assertRejects(() => moveTo(database, "base:a", { version: "version of a" }), RegistryConflictError);
    await assertRejects(() => goBack(database), Error, "base:a has other files by now");
    await deleteAdapter(database, "a");
    await assertRejects(() => moveTo(database, "base:a"), Error, "base:a is not in the registry any more");
    await assertRejects(() => goBack(database), RegistryConflictError);
    assertEquals(await current(database), "base:b");
    await replace("a", "version of a");
    assertEquals(await goBack(database), "base:a");
  },
);

databaseTest(
  "what the gateway could not answer with is neither promoted nor gone back to, and everything else of the write is kept",
  async (database) => {
    const how = { version: null, reason: null, override: false, by: null };
    await registerAdapter(database, adapter("fits"));
    await registerAdapter(database, adapter("foreign", { base: "other@4567" }));
    const refused = (move: Promise<unknown>, why: RegExp) =>
      assertRejects(() => move, UnservedBaseError).then((error) => assertMatch(error.message, why));
    await refused(moveTo(database, "base:fits"), /base:fits is for .* tiny@0123; no gateway has said yet/);
    await noteServedBase(database, "tiny@0123");
    await refused(moveTo(database, "base:foreign"), /base:foreign is for .* other@4567; the gateway serves tiny@0123/);
    assertEquals(await listPromotions(database, alias), []);
    assertEquals([...await listAliases(database)], []);
    await moveTo(database, "base:fits");
    await registerAdapter(database, adapter("second"));
    await moveTo(database, "base:second");
    // A gateway begins to serve another model between the decision to promote and the promotion.
    await noteServedBase(database, "other@4567");
    await database.write(async (queries) => {
      await registerAdapter(queries, adapter("third"));
      await refused(promote(queries, alias, "base:third", how), /other@4567/);
    });
    assert(await findAdapter(database, "third"));
    await refused(goBack(database), /base:fits/);
    assertEquals(await current(database), "base:second");
    assertEquals(await moveTo(database, "base:foreign"), "base:second");
    assertEquals(await moveTo(database, "base"), "base:foreign");
  },
);
