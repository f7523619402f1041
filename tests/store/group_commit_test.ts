// What a commit is asked for, by what is in it. That writes are atomic, database_test.ts tries on real databases.

import { assert, assertEquals } from "@std/assert";
import { GroupCommit, type WriteConnection } from "../../shared/store/group_commit.ts";
import type { Durability, Isolation } from "../../shared/store/queries.ts";

function groupsOn(begin: WriteConnection["begin"]): GroupCommit {
  const connection: WriteConnection = {
    begin,
    execute: () => Promise.resolve(),
    all: () => Promise.resolve([]),
    get: () => Promise.resolve(undefined),
    run: () => Promise.resolve(0),
    release: () => {},
  };
  return new GroupCommit(() => Promise.resolve(connection), (error) => error);
}

Deno.test("a commit waits for the disk where one of its writes does, and never splits a group for those that do not", async () => {
  const begun: [Isolation, Durability][] = [];
  const writes = groupsOn((...asked) => Promise.resolve(void begun.push(asked)));
  const write = (durability?: Durability) => writes.write(() => Promise.resolve(), "snapshot", durability);
  await Promise.all([write("later"), write("later")]);
  await Promise.all([write("later"), write("now"), write("later"), write()]);
  await write("later");
  await writes.close();
  assertEquals(begun.map(([, durability]) => durability), ["later", "now", "later"]);
});

Deno.test("the network is looked at between the commits of one who writes all the time", async () => {
  let groups = 0, over = false;
  const writes = groupsOn(() => {
    groups++;
    for (const end = performance.now() + 4; performance.now() < end;);
    return Promise.resolve();
  });
  const writing = (async () => {
    while (!over) await writes.write(() => Promise.resolve());
  })();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const echoed = listener.accept().then(async (server) => {
    const byte = new Uint8Array(1);
    while (await server.read(byte) !== null) await server.write(byte);
    server.close();
  });
  const client = await Deno.connect({ port: listener.addr.port });
  const rounds: number[] = [];
  for (let i = 0; i < 5; i++) {
    const before = groups;
    await client.write(new Uint8Array(1));
    await client.read(new Uint8Array(1));
    rounds.push(groups - before);
  }
  client.close();
  over = true;
  await Promise.all([writing, echoed, writes.close()]);
  // There and back are two looks. A loop that never rests looks in every 61st turn.
  assert(Math.min(...rounds) < 30, `commits in a round trip: ${rounds}`);
});
