// Aliases in the store.

import { assertEquals } from "@std/assert";
import { listAliases, setAlias } from "../../shared/store/aliases.ts";
import { databaseTest } from "./databases.ts";

databaseTest("an alias that is set by hand is what it was set to last, and others stay", async (database) => {
  await setAlias(database, "one", [{ model: "base", weight: 1 }]);
  await setAlias(database, "two", [{ model: "base:a", weight: 0.5 }, { model: "base", weight: 0 }]);
  await setAlias(database, "one", [{ model: "base:b", weight: 9 }]);
  const arms = [...await listAliases(database)].map(([name, { arms }]) => [name, arms]);
  assertEquals(arms, [
    ["one", [{ model: "base:b", weight: 9 }]],
    ["two", [{ model: "base:a", weight: 0.5 }, { model: "base", weight: 0 }]],
  ]);
});

databaseTest(
  "every change of an alias has a later number, its deletion and what comes after that too",
  async (database) => {
    const revisions: number[] = [];
    for (const arms of [[{ model: "base", weight: 1 }], [], [{ model: "base", weight: 1 }]]) {
      await setAlias(database, "one", arms);
      const alias = (await listAliases(database)).get("one")!;
      assertEquals(alias.arms, arms);
      revisions.push(alias.revision);
    }
    assertEquals(revisions, [1, 2, 3]);
  },
);
