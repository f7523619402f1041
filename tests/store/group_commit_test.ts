// What a commit is asked for, by what is in it. That writes are atomic, database_test.ts tries on real databases.

import assert from "node:assert/strict";
import { GroupCommit, type WriteConnection } from "../../shared/store/group_commit.ts";
import type { Durability, Isolation } from "../../shared/store/queries.ts";

Deno.test("a commit waits for the disk where one of its writes does, and never splits a group for those that do not", async () => {
  const begun: [Isolation, Durability][] = [];
  const connection: WriteConnection = {
    begin: (...asked) => Promise.resolve(void begun.push(asked)),
    execute: () => Promise.resolve(),
    all: () => Promise.resolve([]),
    get: () => Promise.resolve(undefined),
    run: () => Promise.resolve(0),
    release: () => {},
  };
  const writes = new GroupCommit(() => Promise.resolve(connection), (error) => error);
  const write = (durability?: Durability) => writes.write(() => Promise.resolve(), "snapshot", durability);
  await Promise.all([write("later"), write("later")]);
  await Promise.all([write("later"), write("now"), write("later"), write()]);
  await write("later");
  await writes.close();
  assert.deepEqual(begun.map(([, durability]) => durability), ["later", "now", "later"]);
});
