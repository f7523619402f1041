// One current label per answer and person, its history, requests that come twice, and listings: on both databases.

import { assert, assertEquals, assertNotStrictEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { InputError } from "../../shared/errors.ts";
import { storeCompletion } from "../../shared/store/completions.ts";
import { answerOnce, IdempotencyConflictError } from "../../shared/store/idempotency.ts";
import type { LabelFilters } from "../../shared/store/label_filters.ts";
import { type Caller, withoutKey } from "../../shared/store/keys.ts";
import {
  currentWatermark,
  deleteLabel,
  ForeignLabelError,
  getLabel,
  labelHistory,
  listLabels,
  putLabel,
  UnknownChoiceError,
  UnknownCompletionError,
} from "../../shared/store/labels.ts";
import { databaseTest } from "./databases.ts";
import { completion, count, storeAll, thumb } from "./records.ts";

const request = { scope: "POST /v1/feedback", key: "k1", bodyHash: "h1" };

databaseTest("a label replaces that of the same person on the same answer and no other", async (database) => {
  await storeCompletion(database, completion("a", {}, ["one", "two"]));
  const first = await putLabel(database, thumb("a", { reason: "nice", tags: ["tone", "tone", "fact"] }));
  assertEquals(first.tags, ["tone", "fact"]);
  const others = [
    await putLabel(database, thumb("a", { choice: 1 })),
    await putLabel(database, thumb("a", { endUser: "ann" })),
  ];
  const second = await putLabel(database, thumb("a", { label: false, correction: "better \0" }));
  const { updatedAt, sequence, ...rest } = second;
  assertEquals(rest, {
    id: first.id,
    completionId: "a",
    choice: 0,
    endUser: "",
    label: false,
    reason: null,
    tags: [],
    correction: "better \0",
    createdAt: first.createdAt,
    version: 2,
    keyId: null,
    writer: null,
  });
  assert(updatedAt >= first.updatedAt && sequence > others[1]!.sequence);
  assertEquals(await getLabel(database, first.id), second);
  for (const other of others) assertEquals(await getLabel(database, other.id), other);
  assertEquals(await count(database, "labels"), 3);
  assertStrictEquals(await currentWatermark(database), sequence);
});

databaseTest("a caller with a key finds, lists, replaces and deletes what its writer wrote alone", async (database) => {
  await storeAll(database, "a");
  const ann: Caller = { keyId: "key-1", writer: "owner ann", everyones: false };
  const bob: Caller = { keyId: "key-2", writer: "key-2", everyones: false };
  const admin: Caller = { keyId: "key-3", writer: "key-3", everyones: true };
  const set = (caller: Caller, endUser: string) => putLabel(database, thumb("a", { endUser }), undefined, caller);
  const listed = async (caller: Caller) =>
    (await listLabels(database, {}, { limit: 1 }, caller)).items.map(({ endUser }) => endUser);
  const before = await set(withoutKey, "nobody"), hers = await set(ann, "ann");
  await set(bob, "bob");
  assertEquals([hers.keyId, hers.writer], ["key-1", "owner ann"]);
  assertEquals([await listed(ann), await listed(bob), await listed(admin)], [["ann"], ["bob"], ["bob"]]);
  for (const [caller, foreign] of [[bob, hers], [bob, before], [ann, before]] as const) {
    await assertRejects(() => set(caller, foreign.endUser), ForeignLabelError);
    assertEquals(await getLabel(database, foreign.id, caller), undefined);
    assertEquals(await deleteLabel(database, foreign.id, caller), false);
    assertEquals(await labelHistory(database, foreign.id, caller), []);
  }
  assertEquals((await set({ ...ann, keyId: "key-4" }, "ann")).version, 2);
  assertEquals((({ keyId, writer }) => [keyId, writer])(await set(admin, "ann")), ["key-3", "owner ann"]);
  assertEquals(await deleteLabel(database, hers.id, ann), true);
  const keys = (await labelHistory(database, hers.id, ann)).map(({ kind, keyId }) => `${kind} ${keyId}`);
  assertEquals(keys, ["set key-1", "replaced key-4", "replaced key-3", "deleted key-1"]);
});

databaseTest("history tells what a label was, also after it is taken back and set again", async (database) => {
  await storeAll(database, "a");
  const { id } = await putLabel(database, thumb("a", { tags: ["x"] }));
  await putLabel(database, thumb("a", { label: false, reason: "on second thought" }));
  assertEquals(await deleteLabel(database, id), true);
  assertEquals(await deleteLabel(database, id), false);
  assertEquals(await getLabel(database, id), undefined);
  const again = await putLabel(database, thumb("a"));
  assertNotStrictEquals(again.id, id);
  assertEquals(again.version, 1);
  const history = await labelHistory(database, id);
  assertEquals(history.map(({ kind, version, label, reason, tags }) => ({ kind, version, label, reason, tags })), [
    { kind: "set", version: 1, label: true, reason: null, tags: ["x"] },
    { kind: "replaced", version: 2, label: false, reason: "on second thought", tags: [] },
    { kind: "deleted", version: 2, label: false, reason: "on second thought", tags: [] },
  ]);
  assert(history.every(({ sequence }, i) => i === 0 || sequence > history[i - 1]!.sequence));
  assertEquals(await labelHistory(database, "other"), []);
});

databaseTest("what is not there cannot be judged, and a good answer cannot be corrected", async (database) => {
  await storeAll(database, "a");
  await assertRejects(() => putLabel(database, thumb("nope")), UnknownCompletionError);
  for (const choice of [1, -1, 0.5, 1e300, NaN]) {
    await assertRejects(() => putLabel(database, thumb("a", { choice })), UnknownChoiceError, undefined, `${choice}`);
  }
  await assertRejects(() => putLabel(database, thumb("a", { correction: "better" })), InputError);
  assertStrictEquals(await count(database, "label_events"), 0);
});

databaseTest("two identical requests at once make one label and get one answer", async (database) => {
  await storeAll(database, "a");
  const send = () => putLabel(database, thumb("a"), request);
  const [first, ...others] = await Promise.all(Array.from({ length: 8 }, send));
  for (const other of [...others, await send()]) assertEquals(other, first);
  assertEquals(await count(database, "label_events"), 1);
  await putLabel(database, thumb("a", { label: false }));
  assertEquals(await send(), first, "a late retry does not undo what was said since");
  assertEquals((await getLabel(database, first!.id))?.label, false);
  await putLabel(database, thumb("a"), { ...request, scope: "another client" });
  assertEquals(await count(database, "label_events"), 3);
});

databaseTest("a key with another body conflicts; a key whose request failed is free again", async (database) => {
  await storeAll(database, "a");
  await assertRejects(() => putLabel(database, thumb("nope"), request), UnknownCompletionError);
  await putLabel(database, thumb("a"), { ...request, bodyHash: "h2" });
  await assertRejects(() => putLabel(database, thumb("a", { label: false }), request), IdempotencyConflictError);
  assertEquals(await count(database, "label_events"), 1);
});

databaseTest("any route can answer once, and what it gave comes back as JSON keeps it", async (database) => {
  let done = 0;
  const ask = () => database.write((queries) => answerOnce(queries, request, () => Promise.resolve({ done: ++done })));
  assertEquals([await ask(), await ask()], [{ done: 1 }, { done: 1 }]);
  assertEquals(done, 1);
});

databaseTest("pages show every label once, newest first, while labels are set and replaced", async (database) => {
  await storeAll(database, "a");
  const ids: string[] = [];
  for (let i = 0; i < 7; i++) ids.unshift((await putLabel(database, thumb("a", { endUser: `${i}` }))).id);
  const seen: string[] = [];
  let cursor: string | undefined;
  for (let page = 0;; page++) {
    const { items, nextCursor } = await listLabels(database, {}, { limit: 2, cursor });
    seen.push(...items.map(({ id }) => id));
    await putLabel(database, thumb("a", { endUser: `new ${page}` }));
    await putLabel(database, thumb("a", { endUser: `${page}`, label: false }));
    if (nextCursor === null) break;
    cursor = nextCursor;
  }
  assertEquals(seen, ids);
  await assertRejects(() => listLabels(database, {}, { limit: 2, cursor: "bad" }), InputError);
});

databaseTest("each filter leaves what it names, and they combine", async (database) => {
  await storeCompletion(database, completion("base"));
  await storeCompletion(database, completion("tuned", { model: "tiny:curt", adapter: "curt", source: "text" }));
  const up = await putLabel(database, thumb("base", { tags: ['a"b', "%"] }));
  const down = await putLabel(database, thumb("tuned", { label: false, endUser: "ann", tags: ["tone"] }));
  const other = await putLabel(database, thumb("tuned", { endUser: "bob", tags: ["TONE"] }));
  const found = async (filters: LabelFilters) =>
    (await listLabels(database, filters, { limit: 9 })).items.map(({ id }) => id).reverse();
  const cases: [LabelFilters, { id: string }[]][] = [
    [{}, [up, down, other]],
    [{ label: true }, [up, other]],
    [{ label: false }, [down]],
    [{ model: "tiny:curt" }, [down, other]],
    [{ adapter: "curt" }, [down, other]],
    [{ adapter: null }, [up]],
    [{ tag: "tone" }, [down]],
    [{ tag: 'a"b' }, [up]],
    [{ tag: "a" }, []],
    [{ endUser: "" }, [up]],
    [{ endUser: "ann" }, [down]],
    [{ completionId: "base" }, [up]],
    [{ source: "text" }, [down, other]],
    [{ since: up.updatedAt }, [up, down, other]],
    [{ since: other.updatedAt + 1 }, []],
    [{ until: up.updatedAt }, []],
    [{ adapter: "curt", label: true, since: 0 }, [other]],
  ];
  for (const [filters, labels] of cases) {
    assertEquals(await found(filters), labels.map(({ id }) => id), JSON.stringify(filters));
  }
  await putLabel(database, thumb("tuned", { label: false, endUser: "ann", tags: ["fact"] }));
  assertEquals(await found({ tag: "tone" }), [], "a tag goes with the label it was on");
});
