// API keys are shown once, found by their secret alone, and end when revoked.

import { assert, assertEquals, assertMatch, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { allows, callerOf, countKeys, createKey, findKey, listKeys, revokeKey } from "../../shared/store/keys.ts";
import { databaseTest } from "./databases.ts";
import { everything } from "./records.ts";

databaseTest("a secret finds its key, and is nowhere in the database", async (database) => {
  const limits = { requestsPerDay: 1000, bytesPerDay: 2 ** 40 };
  const one = await createKey(database, {
    scopes: ["inference", "feedback"],
    name: "product",
    owner: "ann",
    ...limits,
  });
  const two = await createKey(database, { scopes: ["admin"] });
  assertMatch(one.secret, /^pk-[\w-]{43}$/);
  assertNotStrictEquals(one.secret, two.secret);
  assertEquals(await findKey(database, one.secret), {
    id: one.id,
    scopes: ["inference", "feedback"],
    name: "product",
    owner: "ann",
    ...limits,
  });
  const nothing = { name: null, owner: null, requestsPerDay: null, bytesPerDay: null };
  assertEquals(await findKey(database, two.secret), { id: two.id, scopes: ["admin"], ...nothing });
  for (const wrong of ["", one.id, one.secret.slice(3), `${one.secret}x`, one.secret.toLowerCase()]) {
    assertEquals(await findKey(database, wrong), undefined, wrong);
  }
  const stored = await everything(database);
  assert(stored.includes(one.id) && !stored.includes(one.secret) && !stored.includes(one.secret.slice(3)));
});

databaseTest("a revoked key is known as such, counts no more and cannot be revoked again", async (database) => {
  const { id, secret } = await createKey(database, { scopes: ["feedback"] });
  const { id: other } = await createKey(database, { scopes: ["admin"] });
  assertEquals(await countKeys(database), 2);
  assertEquals(await revokeKey(database, id), true);
  assertEquals(await revokeKey(database, id), false);
  assertEquals(await revokeKey(database, "key-other"), false);
  assertEquals(await findKey(database, secret), "revoked");
  assertEquals(await countKeys(database), 1);
  const keys = await listKeys(database);
  assertEquals(keys.map((key) => [key.id, key.revokedAt !== null]), [[other, false], [id, true]]);
});

Deno.test("admin may do everything, other scopes only what they name", () => {
  assert(allows({ scopes: ["admin"] }, "feedback"));
  assert(allows({ scopes: ["inference", "feedback"] }, "feedback"));
  assert(!allows({ scopes: ["inference"] }, "feedback"));
  assert(!allows({ scopes: ["inference", "feedback"] }, "admin"));
});

Deno.test("keys of one owner are one writer, a key without an owner is its own, and neither can be mistaken for the other", () => {
  const key = { scopes: ["feedback" as const], name: null, requestsPerDay: null, bytesPerDay: null };
  const writer = (id: string, owner: string | null) => callerOf({ ...key, id, owner }).writer;
  assertStrictEquals(writer("key-1", "ann"), writer("key-2", "ann"));
  assertNotStrictEquals(writer("key-1", null), writer("key-2", null));
  assertNotStrictEquals(writer("key-1", null), writer("key-2", "key-1"));
  assertEquals(callerOf({ ...key, id: "key-1", owner: null }).everyones, false);
  assertEquals(callerOf({ ...key, id: "key-1", owner: "ann", scopes: ["admin"] }).everyones, true);
});
