// Opening a database: new ones, those of other versions, damaged ones, servers that are not there, several at once, and
// files whose writer was killed.

import { assert, assertEquals, assertNotMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { InputError } from "../../shared/errors.ts";
import { findCompletion } from "../../shared/store/completions.ts";
import { openDatabase } from "../../shared/store/database.ts";
import { getLabel, putLabel } from "../../shared/store/labels.ts";
import { migrate, newestVersion, versionOf } from "../../shared/store/migrations.ts";
import { openPostgresDatabase } from "../../shared/store/postgres_database.ts";
import { openSqliteDatabase } from "../../shared/store/sqlite_database.ts";
import { withFolder } from "../commands/run_task.ts";
import { placeTest } from "./databases.ts";
import { count, tablesOf, thumb } from "./records.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** The tables of version 1. */
const firstTables = [
  "api_keys",
  "choices",
  "completions",
  "idempotent_answers",
  "label_events",
  "label_tags",
  "labels",
  "staged_rows",
];

async function refusal(where: string): Promise<string> {
  let message = "";
  const error = await assertRejects(() => openDatabase(where), InputError);
  message = error.message;
  assertNotMatch(message, /\n/);
  return message;
}

/** Starts tests/store/label_writer.ts on a database. */
function startWriter(where: string, labels: number): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", "tests/store/label_writer.ts", where, String(labels)],
    cwd: root,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

placeTest("a new database gets every table, and is opened again as it is", async ({ where }) => {
  for (let time = 0; time < 2; time++) {
    const database = await openDatabase(where);
    try {
      const tables = await tablesOf(database);
      assert(firstTables.every((table) => tables.includes(table)), `there are only ${tables}`);
      for (const table of tables) assertStrictEquals(await count(database, table), 0, table);
      const versions = await database.all<{ version: number }>("SELECT version FROM migrations ORDER BY version");
      assertEquals(versions, Array.from({ length: newestVersion }, (_, i) => ({ version: i + 1 })));
    } finally {
      await database.close();
    }
  }
});

placeTest("before an old database is changed it is copied, for its owner's eyes", async ({ where }) => {
  const copy = `${where}.before-v${newestVersion}`;
  const told: string[] = [];
  await (await openDatabase(where, (sentence) => told.push(sentence))).close();
  assertEquals(told.length, 0, "a new one has nothing to keep");
  await Deno.remove(where);

  const old = openSqliteDatabase(where);
  await migrate(old, 1);
  await old.run(
    `INSERT INTO completions (id, created_at, source, model, prompt, parameters, prompt_tokens)
     VALUES ('a', 1, 'chat', 'base', '"a question"', '{}', 3)`,
  );
  const tables = await tablesOf(old), rows = await old.all("SELECT * FROM completions");
  await old.close();
  await (await openDatabase(where, (sentence) => told.push(sentence))).close();
  assertEquals(told.length, 1);
  assert(told[0]!.includes(copy), `${told}`);
  assertEquals(Deno.statSync(copy).mode! & 0o777, 0o600);
  const kept = openSqliteDatabase(copy);
  try {
    assertEquals(await versionOf(kept, "sqlite"), 1);
    assertEquals(await tablesOf(kept), tables);
    assertEquals(await kept.all("SELECT * FROM completions"), rows);
  } finally {
    await kept.close();
  }
  await (await openDatabase(where, (sentence) => told.push(sentence))).close();
  assertEquals(told.length, 1, "nothing is copied where nothing is changed");
}, ["sqlite"]);

placeTest("a database of version 1 gets what it lacks and keeps what it has", async ({ kind, where }) => {
  const old = kind === "sqlite" ? openSqliteDatabase(where) : await openPostgresDatabase(where);
  await migrate(old, 1);
  assertEquals(await tablesOf(old), firstTables);
  for (
    const sql of [
      `INSERT INTO completions (id, created_at, source, model, prompt, parameters, prompt_tokens)
       VALUES ('a', 1, 'chat', 'base', '"a question"', '{}', 3)`,
      `INSERT INTO choices (completion_id, choice, content, finish_reason, tokens) VALUES ('a', 0, '"x"', 'stop', 1)`,
      `INSERT INTO label_events (label_id, kind, at, version, completion_id, choice, end_user, label, reason, tags)
       VALUES ('label-1', 'set', 2, 1, 'a', 0, 'ann', 1, '"old"', '["t"]')`,
      `INSERT INTO labels (id, completion_id, choice, end_user, created_at, sequence) VALUES ('label-1', 'a', 0, 'ann', 2, 1)`,
    ]
  ) await old.run(sql);
  await old.close();
  const database = await openDatabase(where);
  try {
    assert((await tablesOf(database)).length > firstTables.length);
    assertStrictEquals(await count(database, "migrations"), newestVersion);
    assertEquals((await findCompletion(database, "a"))?.prompt, "a question");
    const label = await getLabel(database, "label-1");
    const { reason, tags, keyId, writer } = label!;
    assertEquals({ reason, tags, keyId, writer }, { reason: "old", tags: ["t"], keyId: null, writer: null });
    assertEquals((await putLabel(database, thumb("a", { endUser: "ann" }))).version, 2);
  } finally {
    await database.close();
  }
});

placeTest("a database of a newer version is refused by both numbers", async ({ where }) => {
  const database = await openDatabase(where);
  await database.run("INSERT INTO migrations (version, at) VALUES ($1, 0)", [newestVersion + 6]);
  await database.close();
  const message = await refusal(where);
  assert(message.includes(`version ${newestVersion + 6}`) && message.includes(`knows ${newestVersion}`), message);
  assert(!message.includes("secret"), message);
});

Deno.test("a file that is no database is refused by name and left as it is", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/store.sqlite`;
    const bytes = new TextEncoder().encode("This is a shopping list. ".repeat(1000));
    await Deno.writeFile(path, bytes);
    assert((await refusal(path)).startsWith(`${path}: `));
    assertEquals(await Deno.readFile(path), bytes);
    assert((await refusal(folder)).startsWith(`${folder}: `), "a folder");
  });
});

Deno.test("a server that cannot be reached and a URL that is none are refused without the password", async () => {
  const urls = ["postgres://me:hunter2@127.0.0.1:1/store", "postgresql://me:hunter2@no.such.host.invalid/store"];
  for (const url of urls) {
    const message = await refusal(url);
    assert(message.includes(new URL(url).host) && message.includes("store"), message);
    assert(!message.includes("hunter2"), message);
  }
  assert(!(await refusal("postgres://me:hunter2@[::/store")).includes("hunter2"));
});

placeTest("processes that open a new database at once all get it", async ({ where }) => {
  const writers = Array.from({ length: 4 }, () => startWriter(where, 1));
  for (const writer of writers) {
    const { code, stderr } = await writer.output();
    assertStrictEquals(code, 0, new TextDecoder().decode(stderr));
  }
  const database = await openDatabase(where);
  try {
    assertStrictEquals(await count(database, "migrations"), newestVersion);
    assertEquals(await count(database, "labels"), 4);
  } finally {
    await database.close();
  }
});

placeTest("a writer killed amid its writes has lost none that it acknowledged", async ({ where }) => {
  const acknowledged: string[] = [];
  for (let kill = 0; kill < 4; kill++) {
    const writer = startWriter(where, 1_000_000);
    const errors = new Response(writer.stderr).text();
    // Killed at another number of labels each time, at whatever it is doing then.
    const enough = acknowledged.length + 50 + 170 * kill;
    let rest = "", killed = false;
    for await (const text of writer.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      // A last line without an end was not acknowledged.
      rest = lines.pop() as string;
      acknowledged.push(...lines);
      // What is read after the kill was written before it.
      if (acknowledged.length >= enough && !killed) {
        killed = true;
        writer.kill("SIGKILL");
      }
    }
    assertEquals((await writer.status).signal, "SIGKILL", await errors);
    const database = await openDatabase(where);
    try {
      for (const id of acknowledged) assert(await getLabel(database, id), `label ${id} is lost after kill ${kill}`);
      const events = await count(database, "label_events");
      assertStrictEquals(await count(database, "labels"), events, "a label and its event are written together");
    } finally {
      await database.close();
    }
  }
  assert(acknowledged.length > 500);
});
