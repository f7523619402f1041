// Completions come back as they were stored, and are listed newest first.

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { InputError } from "../../shared/errors.ts";
import { dropJudged, findCompletion, listCompletions, storeCompletion } from "../../shared/store/completions.ts";
import { deleteLabel, listLabels, putLabel } from "../../shared/store/labels.ts";
import { databaseTest } from "./databases.ts";
import { completion, count, storeAll, thumb } from "./records.ts";

databaseTest("a completion comes back as it was, with any character in what was said", async (database) => {
  const odd = "NUL \0, half a pair \ud83d, 👍, \r\n and \u2028";
  const stored = [
    completion("plain", {}, ["one", "two"]),
    completion("odd", {
      createdAt: 1,
      base: null,
      adapter: "curt",
      adapterVersion: "v2",
      alias: "prospect",
      prompt: [{ role: "user", content: odd, name: "Ann", tool_calls: [{ id: 1 }] }],
      parameters: { stop: [odd], seed: null, nested: { top_p: 0.9 } },
      endUser: "ann@example.org",
      metadata: { "trace id": "' OR 1=1 --", "": "👍" },
      safetyIdentifier: "a1b2",
    }, [odd]),
    completion("text", { source: "text", prompt: odd, choices: [] }),
    completion("imported", {
      choices: [{
        index: 0,
        content: "a\nb",
        finishReason: "stop",
        tokens: 0,
        logProb: null,
        messages: [{ role: "assistant", content: "a" }, { role: "assistant", content: "b" }],
      }],
    }),
  ];
  for (const one of stored) await storeCompletion(database, one);
  for (const one of stored) assertEquals(await findCompletion(database, one.id), one);
  assertEquals(await findCompletion(database, "other"), undefined);
});

databaseTest("a completion of an id that is taken is not stored, and neither are its answers", async (database) => {
  await storeAll(database, "a");
  await assertRejects(() => storeCompletion(database, completion("a", {}, ["x", "y"])));
  assertEquals(await findCompletion(database, "a"), completion("a"));
  // The same choice twice.
  const twice = { ...completion("b"), choices: [...completion("b").choices, ...completion("b").choices] };
  await assertRejects(() => storeCompletion(database, twice));
  assertEquals(await findCompletion(database, "b"), undefined);
});

databaseTest("pages go from the newest to the oldest once each, while new completions arrive", async (database) => {
  // Ids do not sort as the times do, and two times are alike.
  const times: Record<string, number> = { d: 1, a: 2, c: 2, b: 3, e: 4 };
  for (const [id, createdAt] of Object.entries(times)) await storeCompletion(database, completion(id, { createdAt }));
  const seen: string[] = [];
  let cursor: string | undefined;
  for (let page = 0;; page++) {
    const { items, nextCursor } = await listCompletions(database, { limit: 2, cursor });
    seen.push(...items.map(({ id, choices }) => `${id} ${choices[0]?.content}`));
    await storeCompletion(database, completion(`new ${page}`, { createdAt: 10 + page }));
    if (nextCursor === null) break;
    cursor = nextCursor;
  }
  assertEquals(seen, ["e", "b", "c", "a", "d"].map((id) => `${id} answer of ${id}`));
  for (const bad of ["x", "", btoa("[1]"), btoa('["a", 1]'), btoa('[1.5, "a"]'), btoa('[1, "\\u0000"]')]) {
    await assertRejects(() => listCompletions(database, { limit: 2, cursor: bad }), InputError, undefined, bad);
  }
});

databaseTest(
  "the queue of unlabelled answers loses what is judged and gets back what is taken back",
  async (database) => {
    await storeAll(database, "a", "b");
    await storeCompletion(database, completion("c", { model: "tiny" }));
    const ids = async (filters: Parameters<typeof listCompletions>[1]) =>
      (await listCompletions(database, filters)).items.map(({ id }) => id);
    const { id } = await putLabel(database, thumb("b"));
    assertEquals(await ids({ limit: 9, unlabelled: true }), ["c", "a"]);
    assertEquals(await ids({ limit: 9, unlabelled: false }), ["b"]);
    assertEquals(await ids({ limit: 9, unlabelled: true, model: "prospect" }), ["a"]);
    await deleteLabel(database, id);
    assertEquals(await ids({ limit: 9, unlabelled: true }), ["c", "b", "a"]);
  },
);

databaseTest(
  "answers are found by what their client keeps with them, newest first and page by page",
  async (database) => {
    for (let i = 0; i < 12; i++) {
      const metadata = { trace: `t${i % 2}`, shard: `${i % 3}` };
      const changes = { createdAt: i < 6 ? 5 : i, metadata, safetyIdentifier: `s${i % 4}` };
      await storeCompletion(database, completion(`c${i}`, changes));
    }
    await storeCompletion(database, completion("plain"));
    const pages = async (filters: Omit<Parameters<typeof listCompletions>[1], "limit">) => {
      const ids: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await listCompletions(database, { ...filters, limit: 2, cursor });
        ids.push(...page.items.map(({ id }) => id));
        cursor = page.nextCursor ?? undefined;
      } while (cursor);
      return ids;
    };
    assertEquals(await pages({ metadata: { trace: "t0" } }), ["c10", "c8", "c6", "c4", "c2", "c0"]);
    assertEquals(await pages({ metadata: { trace: "t1", shard: "0" } }), ["c9", "c3"]);
    assertEquals(await pages({ safetyIdentifier: "s3" }), ["c11", "c7", "c3"]);
    assertEquals(await pages({ metadata: { shard: "0" }, safetyIdentifier: "s1", model: "prospect" }), ["c9"]);
    assertEquals(await pages({ metadata: { trace: "t" } }), []);
    assertEquals(await pages({ metadata: { none: "t0" } }), []);
    await putLabel(database, thumb("c8"));
    assertEquals(await pages({ metadata: { trace: "t0" }, unlabelled: false }), ["c8"]);
    const labelled = async (filters: Parameters<typeof listLabels>[1]) =>
      (await listLabels(database, filters, { limit: 9 })).items.map(({ completionId }) => completionId);
    await putLabel(database, thumb("c9"));
    assertEquals(await labelled({ metadata: { trace: "t0" } }), ["c8"]);
    assertEquals(await labelled({ metadata: { trace: "t1", shard: "0" }, safetyIdentifier: "s1" }), ["c9"]);
    assertEquals(await labelled({ safetyIdentifier: "s2" }), []);
  },
);

databaseTest(
  "a judged answer leaves the queue at once, and its place in the queue's table at the next upkeep",
  async (database) => {
    await storeAll(database, "a", "b", "c");
    const queue = async () =>
      (await listCompletions(database, { limit: 9, unlabelled: true })).items.map(({ id }) => id);
    const label = await putLabel(database, thumb("b"));
    assertEquals(await queue(), ["c", "a"]);
    assertEquals(await count(database, "unjudged"), 3);
    assertStrictEquals(await dropJudged(database, 0), label.sequence);
    assertEquals(await count(database, "unjudged"), 2);
    await deleteLabel(database, label.id);
    assertEquals(await queue(), ["c", "b", "a"], "one whose label was taken back is to be judged again");
  },
);
