// Whose thumbs are whose: a key without admin sees, lists, replaces and deletes what its owner's keys wrote, nothing else.

import { assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { createKey, type Scope } from "../../shared/store/keys.ts";
import { answer, type Call, exported, press } from "./feedback_calls.ts";
import { type OpenGateway, withGateway } from "./open_gateway.ts";

const keysOn = { options: { keysRequired: true, hosts: undefined } };

interface KeyHolder {
  id: string;
  call: Call;
}

async function keyOf(
  { gateway, call }: OpenGateway,
  owner: string | undefined,
  ...scopes: Scope[]
): Promise<KeyHolder> {
  const { id, secret } = await createKey(gateway.database, { scopes, owner });
  const headers = { Authorization: `Bearer ${secret}` };
  return { id, call: (method, path, body, more) => call(method, path, body, { ...headers, ...more }) };
}

const idsOf = async (call: Call, query = "") =>
  (await call("GET", `/v1/feedback${query}`)).json.data.map(({ id }: { id: string }) => id);

for (const scope of ["feedback", "reviewer"] as const) {
  Deno.test(`a key with ${scope} sees, lists, replaces and deletes its own thumbs, and nobody else's`, async () => {
    await withGateway(keysOn, async (open) => {
      const admin = await keyOf(open, undefined, "admin");
      const ann = await keyOf(open, "ann", scope), annAgain = await keyOf(open, "ann", scope);
      const bob = await keyOf(open, "bob", scope), nobody = await keyOf(open, undefined, scope);
      const completion_id = await answer(admin.call);
      const hers = await press(ann.call, { completion_id, label: true, end_user: "ann" });
      const his = await press(bob.call, { completion_id, label: false, end_user: "bob" });
      assertStrictEquals(hers.key, ann.id);

      for (const { call } of [bob, nobody]) {
        for (const path of [`/v1/feedback/${hers.id}`, `/v1/feedback/${hers.id}/history`]) {
          assertEquals((await call("GET", path)).status, 404, path);
        }
        assertEquals((await call("DELETE", `/v1/feedback/${hers.id}`)).status, 404);
      }
      assertEquals(await idsOf(bob.call), [his.id]);
      assertEquals(await idsOf(bob.call, "?end_user=ann"), []);
      assertEquals(await idsOf(nobody.call), []);
      assertEquals(await idsOf(admin.call), [his.id, hers.id]);

      // Keys of one owner share their thumbs, and each event remembers its key.
      const replaced = await press(annAgain.call, { completion_id, label: false, end_user: "ann" });
      assertEquals([replaced.id, replaced.version, replaced.key], [hers.id, 2, annAgain.id]);
      const history = (await ann.call("GET", `/v1/feedback/${hers.id}/history`)).json.data;
      assertEquals(history.map(({ key }: { key: string }) => key), [ann.id, annAgain.id]);
      assertEquals((await annAgain.call("DELETE", `/v1/feedback/${hers.id}`)).status, 200);
      assertEquals((await bob.call("GET", `/v1/feedback/${hers.id}/history`)).status, 404);
      assertEquals((await ann.call("GET", `/v1/feedback/${hers.id}/history`)).json.data.length, 3);
      assertEquals(await idsOf(admin.call), [his.id]);
    });
  });
}

Deno.test("a thumb that another key wrote in the same name is not replaced but refused with 409, by admin it is, and stays its writer's", async () => {
  await withGateway(keysOn, async (open) => {
    const admin = await keyOf(open, undefined, "admin");
    const one = await keyOf(open, undefined, "feedback"), other = await keyOf(open, undefined, "feedback");
    const completion_id = await answer(admin.call);
    for (const end_user of ["console", undefined]) {
      const first = await press(one.call, { completion_id, label: true, end_user, reason: "good" });
      const { status, json } = await other.call("POST", "/v1/feedback", { completion_id, label: false, end_user });
      assertEquals([status, json.error.code, json.error.param], [409, "label_of_another_key", "end_user"]);
      const now = (await one.call("GET", `/v1/feedback/${first.id}`)).json;
      assertEquals([now.label, now.reason, now.version], [true, "good", 1]);

      const mended = await press(admin.call, { completion_id, label: false, end_user });
      assertEquals([mended.id, mended.version, mended.key], [first.id, 2, admin.id]);
      assertEquals((await press(one.call, { completion_id, label: true, end_user })).version, 3);
    }
  });
});

Deno.test("the same idempotency key of two API keys answers each its own, and 409 is not kept as an answer", async () => {
  await withGateway(keysOn, async (open) => {
    const admin = await keyOf(open, undefined, "admin");
    const one = await keyOf(open, "ann", "feedback"), other = await keyOf(open, "bob", "feedback");
    const body = { completion_id: await answer(admin.call), label: true, end_user: "u" };
    const again = { "Idempotency-Key": "k" };
    const first = await press(one.call, body, again);
    assertEquals((await other.call("POST", "/v1/feedback", body, again)).status, 409);
    await one.call("DELETE", `/v1/feedback/${first.id}`);
    assertNotStrictEquals((await press(other.call, body, again)).id, first.id);
    assertStrictEquals((await press(one.call, body, again)).id, first.id);
  });
});

Deno.test("a reviewer's queue shows what anybody was answered, and of the thumbs on it only the reviewer's own", async () => {
  await withGateway(keysOn, async (open) => {
    const admin = await keyOf(open, undefined, "admin");
    const ann = await keyOf(open, "ann", "reviewer"), bob = await keyOf(open, "bob", "reviewer");
    const [first, second] = [await answer(admin.call), await answer(ann.call)];
    const queue = async () =>
      (await bob.call("GET", "/v1/answers?unlabelled=true")).json.data.map(({ id }: { id: string }) => id);
    assertEquals(await queue(), [second, first]);
    const hers = await press(ann.call, { completion_id: first, label: true, end_user: "ann" });
    assertEquals(await queue(), [second]);
    const labels = async ({ call }: KeyHolder) =>
      (await call("GET", `/v1/answers/${first}`)).json.labels.map(({ id }: { id: string }) => id);
    assertEquals(await labels(bob), []);
    assertEquals(await labels(ann), [hers.id]);
    assertEquals(await labels(admin), [hers.id]);
  });
});

Deno.test("a key without admin forgets of a person what it wrote itself, and is refused where that is nothing", async () => {
  await withGateway(keysOn, async (open) => {
    const admin = await keyOf(open, undefined, "admin");
    const one = await keyOf(open, undefined, "inference", "feedback"), other = await keyOf(open, undefined, "feedback");
    const forget = ({ call }: KeyHolder) => call("DELETE", "/v1/feedback?end_user=ann");
    const foreign = await answer(admin.call, { user: "ann" });
    const own = await answer(one.call, { user: "ann" }), judged = await answer(one.call, { user: "ann" });
    await press(one.call, { completion_id: foreign, label: true, end_user: "ann" }, { "Idempotency-Key": "k" });
    await press(other.call, { completion_id: judged, label: true, end_user: "zoe" });
    assertEquals((await forget(other)).status, 403);
    const { status, json } = await forget(one);
    assertEquals([status, json.deleted], [200, { labels: 1, completions: 1 }]);
    const left = async (id: string) => (await admin.call("GET", `/v1/answers/${id}`)).status;
    assertEquals([await left(foreign), await left(own), await left(judged)], [200, 404, 200]);
    assertEquals((await exported(admin.call)).map((row) => row.end_user), ["zoe"]);
    const { json: repeated } = await one.call(
      "POST",
      "/v1/feedback",
      { completion_id: foreign, label: true, end_user: "ann" },
      { "Idempotency-Key": "k" },
    );
    assertEquals(repeated.version, 1, "the kept answer went with what it told of");
    assertEquals((await forget(admin)).json.deleted.completions, 2);
    assertEquals(await exported(admin.call), []);
  });
});

Deno.test("where no key is needed everybody's thumbs are everybody's, and none names a key", async () => {
  await withGateway({}, async ({ call }) => {
    const thumb = await press(call, { completion_id: await answer(call), label: true, end_user: "ann" });
    assertEquals(thumb.key, null);
    assertEquals(await idsOf(call), [thumb.id]);
    assertEquals((await call("DELETE", "/v1/feedback?end_user=ann")).json.deleted.labels, 1);
  });
});
