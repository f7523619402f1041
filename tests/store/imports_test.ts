// Imports under way: others write meanwhile and see all of its rows or none, whatever they ask, and a killed one leaves
// nothing.

import { assert, assertEquals, assertNotMatch, assertStrictEquals } from "@std/assert";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { listCompletions } from "../../shared/store/completions.ts";
import { type Database, openDatabase } from "../../shared/store/database.ts";
import { deleteEndUser } from "../../shared/store/end_users.ts";
import { exportFeedback } from "../../shared/store/export_feedback.ts";
import { importFeedback } from "../../shared/store/import_feedback.ts";
import { currentWatermark, labelsSince, listLabels, putLabel } from "../../shared/store/labels.ts";
import { databaseTest, placeTest } from "./databases.ts";
import { collect, everything, numbered, storeAll, thumb } from "./records.ts";

const page = { limit: 10_000 };

/** How many imported rows each question sees. */
async function seen(database: Database): Promise<Record<string, number>> {
  const source = "import" as const;
  return {
    labels: (await listLabels(database, { source }, page)).items.length,
    completions: (await listCompletions(database, page)).items.filter((answer) => answer.source === source).length,
    exported: (await collect(exportFeedback(database, { source }))).length,
  };
}

databaseTest("all rows of an import are seen at once, by lists, exports and snapshots", async (database) => {
  const rows = 2000, states = new Set<string>();
  await storeAll(database, "a");
  const importing = importFeedback(database, numbered(rows));
  let over = false, early = 0;
  importing.finally(() => over = true);
  const watching = (async () => {
    while (!over && early === 0) {
      const watermark = await currentWatermark(database);
      const [under] = await database.all("SELECT 1 FROM imports WHERE published IS NULL AND moved > 0");
      if (under) early = watermark;
    }
  })();
  for (let person = 0; !over; person++) {
    await putLabel(database, thumb("a", { endUser: `${person}` }));
    for (const count of Object.values(await seen(database))) states.add(`${count}`);
  }
  await Promise.all([importing, watching]);
  assertEquals([...states].filter((count) => count !== "0" && count !== `${rows}`), []);
  assertEquals(await seen(database), { labels: rows, completions: rows, exported: rows });
  assert(early > 0, "no watermark was read in the midst of the import");
  const then = await collect(exportFeedback(database, { source: "import" }, { watermark: early }));
  assertEquals(then.length, 0, "a snapshot from the midst of the import has its rows afterwards");
  const now = await collect(
    exportFeedback(database, { source: "import" }, { watermark: await currentWatermark(database) }),
  );
  assertEquals(now.length, rows);
});

placeTest("of an import that is killed in its midst nothing is seen, and the next one takes it away", async (place) => {
  const database = await openDatabase(place.where);
  try {
    await storeAll(database, "a");
    const process = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "-A",
        fileURLToPath(new URL("import_process.ts", import.meta.url)),
        place.where,
        "20000",
      ],
      stdin: "null",
      stdout: "null",
    }).spawn();
    const moved = async () => (await database.all<{ moved: number }>("SELECT moved FROM imports"))[0]?.moved ?? 0;
    while (await moved() < 1000) await setTimeout(5);
    process.kill("SIGKILL");
    await process.status;
    const left = await moved();
    assert(left < 20_000, "it was killed too late");
    assertEquals(await seen(database), { labels: 0, completions: 0, exported: 0 });
    assertStrictEquals(await labelsSince(database, 0), 0);
    await importFeedback(database, numbered(3, "ann"));
    assertEquals(await seen(database), { labels: 3, completions: 3, exported: 3 });
    await deleteEndUser(database, "ann");
    assertNotMatch(await everything(database), /prompt \d/);
  } finally {
    await database.close();
  }
});

databaseTest(
  "a person who is deleted while rows of theirs are imported is not in what is published",
  async (database) => {
    async function* rows() {
      for await (const row of numbered(1500)) yield { ...row, endUser: row.index % 2 ? "ann" : "bob" };
    }
    const importing = importFeedback(database, rows());
    const moved = async () => (await database.all<{ moved: number }>("SELECT moved FROM imports"))[0]?.moved ?? 0;
    while (await moved() === 0) await setTimeout(1);
    await deleteEndUser(database, "ann");
    await importing;
    const people = (await collect(exportFeedback(database))).map(({ end_user }) => end_user);
    assertEquals([...new Set(people)], ["bob"]);
    assertEquals(people.length, 750);
  },
);

databaseTest("a label that a person sets on an answer while an import of it is under way is kept", async (database) => {
  await storeAll(database, "a");
  await importFeedback(database, numbered(1));
  const importing = importFeedback(database, numbered(1000));
  const label = await putLabel(database, thumb("a", { endUser: "ann" }));
  await importing;
  assertStrictEquals((await listLabels(database, { endUser: "ann" }, page)).items[0]?.id, label.id);
});
