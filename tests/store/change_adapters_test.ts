// What people bring to the registry and take from it by hand: never what an alias asks for or an open job starts from.

import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { listAliases, setAlias } from "../../shared/store/aliases.ts";
import { bringAdapter, removeAdapter, spreadAlias } from "../../shared/store/change_adapters.ts";
import type { Database } from "../../shared/store/database.ts";
import { addJob, cancelJob } from "../../shared/store/jobs.ts";
import { listPromotions, standing } from "../../shared/store/promotions.ts";
import { deleteAdapter, findAdapter, registerAdapter, RegistryConflictError } from "../../shared/store/registry.ts";
import { jobRequest } from "../gateway/registered.ts";
import { databaseTest } from "./databases.ts";
import { adapter, alias, base, moveTo, registerAll } from "./promotable.ts";

const bring = (database: Database, name: string, version: string) =>
  database.write((queries) => bringAdapter(queries, { name, base, folder: `adapters/${version}`, version }));
const remove = (database: Database, name: string) => database.write((queries) => removeAdapter(queries, name));

databaseTest(
  "a name that nothing needs gets the files that are brought, unmeasured; the same files once more change nothing",
  async (database) => {
    assertEquals(await bring(database, "new", "one"), undefined);
    const first = await findAdapter(database, "new");
    assertEquals([first?.version, first?.gate, first?.jobId], ["one", null, null]);
    assertEquals(first?.data, { source: "loaded by hand" });
    assertEquals(await bring(database, "new", "one"), undefined);
    assertEquals(await findAdapter(database, "new"), first);
    assertEquals((await bring(database, "new", "two"))?.version, "one");
    assertEquals((await findAdapter(database, "new"))?.version, "two");
  },
);

databaseTest(
  "a name that a job made, an alias asks for or an open job starts from keeps its files, and stays as long as it is needed",
  async (database) => {
    const refused = async (name: string, why: RegExp) => {
      const before = await findAdapter(database, name);
      assertMatch((await assertRejects(() => bring(database, name, "other"), RegistryConflictError)).message, why);
      assertEquals(await findAdapter(database, name), before);
      assertEquals(await bring(database, name, before!.version), undefined, "its own files are no change");
    };
    await registerAll(database, "promoted", "tried", "parent", "free");
    await registerAdapter(database, adapter("trained", { jobId: "ftjob-1" }));
    await refused("trained", /base:trained was made by the job ftjob-1/);
    await moveTo(database, "base:promoted");
    await refused("promoted", /alias "prospect" sends requests to base:promoted, which has other files/);
    await setAlias(database, "trial", [{ model: "base", weight: 1 }, { model: "base:tried", weight: 0 }]);
    await refused("tried", /alias "trial"/);
    const job = await addJob(database, { ...jobRequest, model: "base:parent" }, null);
    await refused("parent", new RegExp(`job ${job.id} starts from base:parent`));
    for (const name of ["promoted", "tried", "parent"]) {
      await assertRejects(() => remove(database, name), RegistryConflictError);
    }
    await cancelJob(database, job.id);
    await setAlias(database, "trial", []);
    await moveTo(database, "base");
    for (const name of ["promoted", "tried", "parent", "free"]) {
      assertStrictEquals((await remove(database, name))?.name, name);
    }
    assertEquals(await remove(database, "free"), undefined);
  },
);

databaseTest(
  "a name that an alias asks for and the registry lacks is brought back, as what was promoted where that is known",
  async (database) => {
    // As an older Prospect left what was loaded by hand.
    await setAlias(database, "trial", [{ model: "base:lost", weight: 1 }]);
    await bring(database, "lost", "any");
    assertEquals((await findAdapter(database, "lost"))?.version, "any");
    await registerAll(database, "known");
    await moveTo(database, "base:known");
    await deleteAdapter(database, "known");
    await assertRejects(() => bring(database, "known", "any"), RegistryConflictError);
    await bring(database, "known", "version of known");
    assertEquals((await findAdapter(database, "known"))?.version, "version of known");
  },
);

databaseTest(
  "of a promotion and a removal at once one wins, and the alias never asks for what is gone",
  async (database) => {
    const names = Array.from({ length: 12 }, (_, i) => `a${i}`);
    await registerAll(database, ...names);
    const outcomes = await Promise.all(names.flatMap((name, i) => {
      const moves = [moveTo(database, `base:${name}`), remove(database, name)];
      return (i % 2 === 0 ? moves : moves.reverse()).map((move) =>
        move.then(() => true, (error) => {
          assert(error instanceof RegistryConflictError, String(error));
          return false;
        })
      );
    }));
    assert(outcomes.includes(true) && outcomes.includes(false));
    const { current } = standing(await listPromotions(database, alias));
    const [arm] = (await listAliases(database)).get(alias)!.arms;
    assertStrictEquals(arm!.model, current.model);
    if (current.model !== "base") assert(await findAdapter(database, current.model.slice(5)));
    await assertRejects(
      () => database.write((queries) => spreadAlias(queries, "trial", [{ model: "base:never", weight: 1 }])),
      RegistryConflictError,
    );
  },
);
