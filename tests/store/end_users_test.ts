// Deletion by end user leaves nothing of the person's words, and all of everybody else's.

import assert from "node:assert/strict";
import { InputError } from "../../shared/errors.ts";
import { storeCompletion } from "../../shared/store/completions.ts";
import { deleteEndUser } from "../../shared/store/end_users.ts";
import { importFeedback } from "../../shared/store/import_feedback.ts";
import { deleteLabel, putLabel } from "../../shared/store/labels.ts";
import { databaseTest } from "./databases.ts";
import { completion, everything, storeAll, thumb } from "./records.ts";

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
  assert.match(await everything(database), /ann/);

  assert.deepEqual(await deleteEndUser(database, "ann"), { labels: 3, events: 6, completions: 2, answers: 2 });
  assert.equal(await everything(database), before);
  assert.deepEqual(await deleteEndUser(database, "ann"), { labels: 0, events: 0, completions: 0, answers: 0 });
  await database.close();
  if (kind === "sqlite") {
    const bytes = new TextDecoder("latin1").decode(await Deno.readFile(where));
    assert(bytes.includes("bob's reason") && !bytes.includes("ann's"), "deleted words are still in the file");
  }
});

databaseTest("deletion without a name is refused: it would be everybody who gave none", async (database) => {
  await storeAll(database, "a");
  await putLabel(database, thumb("a"));
  const before = await everything(database);
  await assert.rejects(deleteEndUser(database, ""), InputError);
  assert.equal(await everything(database), before);
});
