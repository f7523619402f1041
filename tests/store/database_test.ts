// Writes that share commits, reads beside them, and values that come back as they were: the same on both databases.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { InputError } from "../../shared/errors.ts";
import { openDatabase, type Queries } from "../../shared/store/database.ts";
import { databaseTest, placeTest } from "./databases.ts";

databaseTest("of many writes at once those that fail take nothing else with them", async (database) => {
  await database.run("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)");
  const outcomes = await Promise.allSettled(Array.from({ length: 300 }, (_, i) =>
    database.write(async (queries) => {
      await queries.run("INSERT INTO notes (id, text) VALUES ($1, $2)", [i, "kept"]);
      if (i % 3 === 0) throw new Error(`write ${i} changed its mind`);
      // A statement that fails inside a write, which PostgreSQL would make the whole transaction fail for.
      if (i % 3 === 1) await queries.run("INSERT INTO notes (id, text) VALUES ($1, $2)", [i, "the same again"]);
      return i;
    })));
  outcomes.forEach((outcome, i) => {
    if (i % 3 === 2) assertEquals(outcome, { status: "fulfilled", value: i });
    else assertEquals(outcome.status, "rejected");
  });
  assertEquals((outcomes[3] as PromiseRejectedResult).reason.message, "write 3 changed its mind");
  const rows = await database.all<{ id: number }>("SELECT id FROM notes ORDER BY id");
  assertEquals(rows.map(({ id }) => id), Array.from({ length: 100 }, (_, i) => 3 * i + 2));
});

databaseTest("a write that hides a failed statement is undone, not kept by half", async (database) => {
  await database.run("CREATE TABLE notes (id INTEGER PRIMARY KEY)");
  const hiding = database.write(async (queries) => {
    await queries.run("INSERT INTO notes (id) VALUES (1)");
    await queries.run("INSERT INTO nowhere (id) VALUES (1)").catch(() => {});
  });
  const beside = database.run("INSERT INTO notes (id) VALUES (2)");
  const [hidden] = await Promise.allSettled([hiding]);
  assertEquals(await beside, 1);
  const rows = await database.all<{ id: number }>("SELECT id FROM notes ORDER BY id");
  // SQLite goes on after a failed statement, PostgreSQL does not: either way the promise tells what is there.
  assertEquals(rows.map(({ id }) => id), hidden.status === "fulfilled" ? [1, 2] : [2]);
});

databaseTest("reads never see half a write", async (database) => {
  await database.run("CREATE TABLE accounts (name TEXT PRIMARY KEY, amount INTEGER)");
  await database.run("INSERT INTO accounts (name, amount) VALUES ($1, $2), ($3, $4)", ["a", 100, "b", 0]);
  let moving = true;
  const moves = (async () => {
    for (let i = 0; i < 20; i++) {
      await database.write(async (queries) => {
        await queries.run("UPDATE accounts SET amount = amount - 1 WHERE name = 'a'");
        await setTimeout(2);
        await queries.run("UPDATE accounts SET amount = amount + 1 WHERE name = 'b'");
      });
    }
    moving = false;
  })();
  let seen = 0;
  const amounts = new Set<number>();
  while (moving) {
    const [row] = await database.all<{ sum: number; b: number }>(
      `SELECT CAST(SUM(amount) AS BIGINT) AS sum, MAX(CASE WHEN name = 'b' THEN amount END) AS b FROM accounts`,
    );
    assertEquals(row?.sum, 100);
    amounts.add(row!.b);
    seen++;
    await setTimeout(1);
  }
  await moves;
  assert(seen > 5 && amounts.size > 5, `only ${seen} reads of ${amounts.size} states`);
});

databaseTest("a write reads what it has written itself, and writes take turns", async (database) => {
  await database.run("CREATE TABLE counter (value INTEGER)");
  await database.run("INSERT INTO counter (value) VALUES (0)");
  const add = () =>
    database.write(async (queries) => {
      const [row] = await queries.all<{ value: number }>("SELECT value FROM counter");
      await setTimeout(1);
      await queries.run("UPDATE counter SET value = $1", [row!.value + 1]);
      return (await queries.all<{ value: number }>("SELECT value FROM counter"))[0]!.value;
    });
  const results = await Promise.all(Array.from({ length: 20 }, add));
  assertEquals(results, Array.from({ length: 20 }, (_, i) => i + 1));
});

placeTest("two processes' writes take turns too", async ({ where }) => {
  const [one, two] = [await openDatabase(where), await openDatabase(where)];
  try {
    await one.run("CREATE TABLE counter (value INTEGER)");
    await one.run("INSERT INTO counter (value) VALUES (0)");
    await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        (i % 2 ? one : two).write(async (queries) => {
          const [row] = await queries.all<{ value: number }>("SELECT value FROM counter");
          await setTimeout(1);
          await queries.run("UPDATE counter SET value = $1", [row!.value + 1]);
        })),
    );
    assertEquals(await two.all("SELECT value FROM counter"), [{ value: 40 }]);
  } finally {
    await Promise.all([one.close(), two.close()]);
  }
});

databaseTest("however many long questions are asked, short ones are answered beside them", async (database) => {
  const counted = (n: number) =>
    `WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ${n})
     SELECT COUNT(*) AS n FROM numbers`;
  let answered = 0;
  const long = Array.from({ length: 3 }, () => database.scan(counted(2_000_000)).then(() => answered++));
  // It may be the second that is answered meanwhile, but never waits for all.
  for (let i = 0; i < 3; i++) await database.all(counted(3));
  assert(answered < 2, `${answered} long questions were answered first`);
  await Promise.all(long);
  assertEquals(answered, 3);
});

databaseTest("values come back as they were, and placeholders may come in any order and twice", async (database) => {
  await database.run("CREATE TABLE kept (id INTEGER PRIMARY KEY, text TEXT, big BIGINT, real DOUBLE PRECISION)");
  const texts = ["", "ünï 👍🏽 \n\t'\"\\ $1 ?", "x".repeat(100_000)];
  for (const [i, text] of texts.entries()) {
    const sql = "INSERT INTO kept (id, text, big, real) VALUES ($4, $2, $1, $3)";
    assertEquals(await database.run(sql, [Number.MAX_SAFE_INTEGER - i, text, -0.1 - i, i]), 1);
  }
  await database.run("INSERT INTO kept (id) VALUES (9)");
  assertEquals(await database.all("SELECT * FROM kept ORDER BY id"), [
    ...texts.map((text, id) => ({ id, text, big: Number.MAX_SAFE_INTEGER - id, real: -0.1 - id })),
    { id: 9, text: null, big: null, real: null },
  ]);
  const sql = "SELECT id FROM kept WHERE (id > $2 OR id = $1) AND id <> $2 ORDER BY id";
  assertEquals((await database.all<{ id: number }>(sql, [0, 1])).map(({ id }) => id), [0, 2, 9]);
  assertEquals(await database.run("UPDATE kept SET real = 0 WHERE id < 2"), 2);
});

databaseTest("text that would not come back is refused in words", async (database) => {
  await database.run("CREATE TABLE kept (text TEXT)");
  for (const text of ["a\0b", "\ud800", "x\udc00"]) {
    await assertRejects(() => database.run("INSERT INTO kept (text) VALUES ($1)", [text]), InputError);
    await assertRejects(() => database.all("SELECT * FROM kept WHERE text = $1", [text]), InputError);
  }
  assertEquals(await database.all("SELECT * FROM kept"), []);
});

databaseTest(
  "after a full disk or a broken connection promises tell what is there, and writes go on",
  async (database) => {
    await database.run("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)");
    const pages = "PRAGMA max_page_count";
    const [before] = database.kind === "sqlite" ? await database.all<{ max_page_count: number }>(pages) : [];
    const note = (id: number, size: number, meanwhile?: (queries: Queries) => Promise<unknown>) =>
      database.write(async (queries) => {
        await meanwhile?.(queries);
        await queries.run("INSERT INTO notes (id, text) VALUES ($1, $2)", [id, "x".repeat(size)]);
      });
    const breaking = before ? `${pages} = 1` : "SELECT pg_terminate_backend(pg_backend_pid())";
    const outcomes = await Promise.allSettled([
      note(0, 1),
      note(1, 1_000_000, (queries) => queries.all(breaking)),
      note(2, 1),
    ]);
    assertEquals(outcomes[1]?.status, "rejected");
    const kept = outcomes.flatMap(({ status }, id) => status === "fulfilled" ? [id] : []);
    const ids = async () =>
      (await database.all<{ id: number }>("SELECT id FROM notes ORDER BY id")).map(({ id }) => id);
    assertEquals(await ids(), kept);
    if (before) await database.write((queries) => queries.all(`${pages} = ${before.max_page_count}`));
    await note(3, 1_000_000);
    assertEquals(await ids(), [...kept, 3]);
  },
);

databaseTest(
  "what was being written when it is closed is kept, and nothing is taken after",
  async (database, place) => {
    await database.run("CREATE TABLE notes (id INTEGER)");
    const writes = Array.from({ length: 50 }, (_, i) => database.run("INSERT INTO notes (id) VALUES ($1)", [i]));
    const closed = database.close();
    await assertRejects(() => database.run("INSERT INTO notes (id) VALUES (99)"), Error, "closed");
    await Promise.all([...writes, closed]);
    const again = await openDatabase(place.where);
    try {
      assertEquals((await again.all("SELECT id FROM notes")).length, 50);
    } finally {
      await again.close();
    }
  },
);

placeTest("a lock has one holder among all processes, and is free once that one is killed", async ({ where }) => {
  const database = await openDatabase(where);
  const hold = async (name: string) => {
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "-A", fileURLToPath(new URL("lock_holder.ts", import.meta.url)), where, name],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    const { value } = await process.stdout.pipeThrough(new TextDecoderStream()).getReader().read();
    return { process, said: value?.trim() };
  };
  try {
    const first = await hold("one");
    assertEquals(first.said, "held");
    const second = await hold("one");
    assertEquals(second.said, "another's");
    await second.process.status;
    assertEquals(await database.lock("one"), undefined);
    const other = await database.lock("two");
    assert(other, "another lock is another's business");
    first.process.kill("SIGKILL");
    await first.process.status;
    let mine = await database.lock("one");
    // A server hears of its clients' ends a little later.
    for (const end = Date.now() + 10_000; !mine && Date.now() < end; mine = await database.lock("one")) {
      await setTimeout(20);
    }
    assert(mine);
    await mine.release();
    await mine.ended;
    const again = await database.lock("one");
    assert(again, "what was given back can be taken");
    await Promise.all([again.release(), other.release()]);
  } finally {
    await database.close();
  }
});

placeTest(
  "what is durable later is seen by everybody at once, alone and beside what is durable now",
  async ({ where }) => {
    const mine = await openDatabase(where), others = await openDatabase(where);
    try {
      await mine.run("CREATE TABLE notes (id INTEGER PRIMARY KEY)");
      const ids = async () =>
        (await others.all<{ id: number }>("SELECT id FROM notes ORDER BY id")).map(({ id }) => id);
      const add = (id: number, durability: "now" | "later") =>
        mine.write((queries) => queries.run("INSERT INTO notes (id) VALUES ($1)", [id]), "snapshot", durability);
      await add(1, "later");
      assertEquals(await ids(), [1]);
      // Together they share a commit, which is durable for the sake of one of them.
      await Promise.all([add(2, "later"), add(3, "now"), add(4, "later")]);
      assertEquals(await ids(), [1, 2, 3, 4]);
      const failed = add(4, "later");
      await assertRejects(() => failed);
      assertEquals(await ids(), [1, 2, 3, 4]);
    } finally {
      await Promise.all([mine.close(), others.close()]);
    }
  },
);
