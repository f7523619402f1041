// Deletion by end user leaves nothing of the person's words, and all of everybody else's.

import { assert, assertEquals, assertMatch, assertNotMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { InputError } from "../../shared/errors.ts";
import { storeCompletion } from "../../shared/store/completions.ts";
import { beginCompletion, endCompletion } from "../../shared/store/completions_under_way.ts";
import { dropOldForgotten, forgottenMark, personHash } from "../../shared/store/forgotten.ts";
import { deleteEndUser } from "../../shared/store/end_users.ts";
import { importFeedback } from "../../shared/store/import_feedback.ts";
import { deleteLabel, putLabel } from "../../shared/store/labels.ts";
import { databaseTest } from "./databases.ts";
import { completion, count, everything, storeAll, thumb } from "./records.ts";

databaseTest("deletion by end user leaves no trace of their text in any table", async (database, { kind, where }) => {
  await storeAll(database, "hers");
  await putLabel(database, thumb("hers", { endUser: "bob", reason: "bob's reason" }));
  const before = await everything(database);

  const about = { label: false, reason: "ann's reason", tags: ["ann's tag"], correction: "ann's correction" };
  const hash = { scope: "s", bodyHash: "h" };
  const theirs = await putLabel(database, thumb("hers", { endUser: "ann", ...about }), { ...hash, key: "1" });
  await putLabel(database, thumb("hers", { endUser: "ann" }));
  await deleteLabel(database, theirs.id);
  await putLabel(database, thumb("hers", { endUser: "ann", ...about }));
  await storeCompletion(
    database,
    completion("own", { endUser: "ann", prompt: "ann's prompt" }, ["answer to ann's prompt"]),
  );
  // What others said of her conversation may quote it.
  await putLabel(database, thumb("own", { endUser: "bob", reason: "ann's words" }), { ...hash, key: "2" });
  await importFeedback(
    database,
    (async function* () {
      yield {
        index: 0,
        line: 1,
        prompt: "ann's import",
        completion: "x",
        label: true,
        endUser: "ann",
        tags: ["ann's"],
      };
    })(),
  );
  assertMatch(await everything(database), /ann/);

  assertEquals(await deleteEndUser(database, "ann"), { labels: 3, events: 6, completions: 2, answers: 2 });
  const { forgotten, ...left } = JSON.parse(await everything(database));
  assertEquals({ ...left, forgotten: [] }, JSON.parse(before));
  assertEquals(forgotten.length, 1);
  assertEquals(await deleteEndUser(database, "ann"), { labels: 0, events: 0, completions: 0, answers: 0 });
  if (kind === "sqlite") {
    const files = await Promise.all(["", "-wal"].map((end) => Deno.readFile(where + end)));
    const bytes = files.map((file) => new TextDecoder("latin1").decode(file)).join();
    assert(bytes.includes("bob's reason") && !bytes.includes("ann's"), "deleted words are still in the files");
  }
});

databaseTest(
  "a deletion waits for whoever reads, and says where the log still holds words",
  async (database, { kind, where }) => {
    if (kind !== "sqlite") return assertEquals(await database.emptyLog(), true);
    await storeCompletion(database, completion("own", { endUser: "ann", prompt: "ann's prompt" }));
    const reader = new DatabaseSync(where);
    reader.exec("BEGIN; SELECT * FROM completions");
    const emptied = database.emptyLog();
    await database.run("DELETE FROM api_keys");
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert(Deno.statSync(`${where}-wal`).size > 0);
    reader.exec("COMMIT");
    assertEquals(await emptied, true);
    assertEquals(Deno.statSync(`${where}-wal`).size, 0);
    reader.close();
  },
);

databaseTest("deletion without a name is refused: it would be everybody who gave none", async (database) => {
  await storeAll(database, "a");
  await putLabel(database, thumb("a"));
  const before = await everything(database);
  await assertRejects(() => deleteEndUser(database, ""), InputError);
  assertStrictEquals(await everything(database), before);
});

databaseTest("what was under way when a person was deleted is not kept, and what begins later is", async (database) => {
  const begun = await forgottenMark(database);
  await deleteEndUser(database, "ann");
  await storeCompletion(database, completion("late", { endUser: "ann" }), begun);
  await beginCompletion(database, completion("streamed", { endUser: "ann" }), begun);
  assertEquals(await endCompletion(database, "streamed", completion("streamed").choices), false);
  await storeCompletion(database, completion("his", { endUser: "bob" }), begun);
  await storeCompletion(database, completion("nobody's"), begun);
  await storeCompletion(database, completion("new", { endUser: "ann" }), await forgottenMark(database));
  const left = (await database.all<{ id: string }>("SELECT id FROM completions ORDER BY id")).map(({ id }) => id);
  assertEquals(left, ["his", "new", "nobody's"]);
  assert(!(await everything(database)).includes("late"));
});

databaseTest("a key's own deletion stops what that key has under way, and nobody else's", async (database) => {
  const begun = await forgottenMark(database);
  await deleteEndUser(database, "ann", { keyId: "key-1", writer: "key-1", everyones: false });
  await storeCompletion(database, completion("own", { endUser: "ann", writer: "key-1" }), begun);
  await storeCompletion(database, completion("foreign", { endUser: "ann", writer: "key-2" }), begun);
  assertEquals(await database.all("SELECT id FROM completions"), [{ id: "foreign" }]);
});

databaseTest(
  "rows of an import that come after a person's deletion are left out, as those before it are taken away",
  async (database) => {
    const row = (index: number, endUser: string) => ({
      index,
      line: index + 1,
      prompt: `question ${index} of ${endUser}`,
      completion: "x",
      label: true,
      endUser,
    });
    const rows = async function* () {
      for (let index = 0; index < 300; index++) {
        if (index === 150) await deleteEndUser(database, "ann");
        yield row(index, index % 3 === 0 ? "ann" : "bob");
      }
    };
    assertEquals((await importFeedback(database, rows())).added, 200);
    const { forgotten: _, ...tables } = JSON.parse(await everything(database));
    assertNotMatch(JSON.stringify(tables), /ann/);
    assertEquals(await count(database, "labels"), 200);
  },
);

databaseTest("deletions are remembered by a hash, for a day", async (database) => {
  await deleteEndUser(database, "ann");
  assertMatch(await everything(database), new RegExp(personHash("ann")));
  assertNotMatch(await everything(database), /"ann"/);
  await dropOldForgotten(database);
  assertEquals(await count(database, "forgotten"), 1);
  await database.run("UPDATE forgotten SET at = at - 86400001");
  await dropOldForgotten(database);
  assertStrictEquals(await count(database, "forgotten"), 0);
  const begun = await forgottenMark(database);
  await deleteEndUser(database, "ann");
  await storeCompletion(database, completion("late", { endUser: "ann" }), begun);
  assertStrictEquals(await count(database, "completions"), 0, "numbers do not begin again");
});

databaseTest("others' thumbs are taken while a person with very many labels is deleted, whole", async (database) => {
  await storeAll(database, "his");
  await storeCompletion(database, completion("hers", { endUser: "ann" }));
  for (let judge = 0; judge < 150; judge++) await putLabel(database, thumb("hers", { endUser: `judge ${judge}` }));
  for (let time = 0; time < 3; time++) await putLabel(database, thumb("his", { endUser: "ann", label: time === 1 }));
  const rows = async function* () {
    for (let index = 0; index < 1000; index++) {
      yield { index, line: index + 1, prompt: `ann's ${index}`, completion: "x", label: true, endUser: "ann" };
    }
  };
  await importFeedback(database, rows());

  let over = false, thumbs = 0;
  const deletion = deleteEndUser(database, "ann").finally(() => over = true);
  while (!over) await putLabel(database, thumb("his", { endUser: `judge ${thumbs++}` }));
  assert(thumbs > 4, `${thumbs} thumbs in all that time`);
  assertEquals(await deletion, { labels: 1151, events: 1153, completions: 1001, answers: 0 });
  const { forgotten: _, ...left } = JSON.parse(await everything(database));
  assertNotMatch(JSON.stringify(left), /ann|hers/);
  assertStrictEquals(await count(database, "labels"), thumbs);
});
