// A database that is frozen, lost, locked or full: what was acknowledged is there, the rest is refused in one way and
// within a bound, others go on, and all is well again by itself.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { openDatabase } from "../../shared/store/database.ts";
import { exportFeedback } from "../../shared/store/export_feedback.ts";
import { currentWatermark, getLabel, putLabel } from "../../shared/store/labels.ts";
import { StoreUnavailableError } from "../../shared/store/unavailable.ts";
import { withFolder } from "../commands/run_task.ts";
import { databaseTest, placeTest } from "./databases.ts";
import { collect, storeAll, thumb } from "./records.ts";

/** Starts tests/store/frozen_writer.ts and freezes it in the midst of its write. */
async function startFrozen(where: string, completionId: string, endUser: string) {
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "-A", fileURLToPath(new URL("frozen_writer.ts", import.meta.url))],
      ...[where, completionId, endUser],
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const { value } = await process.stdout.pipeThrough(new TextDecoderStream()).getReader().read();
  assertEquals(value?.trim(), "inside");
  process.kill("SIGSTOP");
  return process;
}

/** Asks again and again until it is answered. */
async function untilAnswered<Result>(ask: () => Promise<Result>): Promise<Result> {
  for (const end = Date.now() + 30_000;; await setTimeout(50)) {
    try {
      return await ask();
    } catch (error) {
      assert(error instanceof StoreUnavailableError, `${error}`);
      if (Date.now() > end) throw error;
    }
  }
}

placeTest(
  "a process frozen in the midst of a write keeps nobody from writing, and no snapshot grows",
  async (place) => {
    const database = await openDatabase(place.where);
    await storeAll(database, "a", "b");
    const frozen = await startFrozen(place.where, "a", "ann");
    try {
      const began = performance.now();
      for (let person = 0; person < 20; person++) {
        await putLabel(database, thumb(person % 2 ? "a" : "b", { endUser: `${person}` }));
      }
      const taken = performance.now() - began;
      assert(taken < 4000, `twenty thumbs took ${Math.round(taken)} ms beside a frozen writer`);
      const watermark = await currentWatermark(database);
      const rows = await collect(exportFeedback(database, {}, { watermark }));
      assert(rows.length >= 20);
      frozen.kill("SIGCONT");
      await frozen.stdin.getWriter().write(new TextEncoder().encode("on\n"));
      assertEquals((await frozen.status).code, 0);
      assertEquals(await collect(exportFeedback(database, {}, { watermark })), rows);
      assertEquals((await collect(exportFeedback(database))).length, 21, "what it was writing was written in the end");
    } finally {
      await database.close();
    }
  },
  ["postgres"],
);

placeTest("a person's thumb that a frozen process holds is refused after a while, and taken later", async (place) => {
  const database = await openDatabase(place.where);
  await storeAll(database, "a");
  const frozen = await startFrozen(place.where, "a", "ann");
  try {
    const label = await untilAnswered(() => putLabel(database, thumb("a", { endUser: "ann", label: false })));
    assertEquals(label.version, 1);
  } finally {
    frozen.kill("SIGKILL");
    await frozen.status;
    await frozen.stdin.abort();
    await database.close();
  }
}, ["postgres"]);

placeTest("a server that is gone and comes back is refused meanwhile and used again", async (place) => {
  const database = await openDatabase(place.where);
  try {
    await storeAll(database, "a");
    const label = await putLabel(database, thumb("a"));
    const resume = await place.interrupt();
    try {
      await assertRejects(() => putLabel(database, thumb("a", { endUser: "lost" })), StoreUnavailableError);
      await assertRejects(() => getLabel(database, label.id), StoreUnavailableError);
      await assertRejects(() => database.lock("x"), StoreUnavailableError);
    } finally {
      await resume();
    }
    await untilAnswered(() => putLabel(database, thumb("a", { endUser: "ann" })));
    assertEquals(await getLabel(database, label.id), label);
  } finally {
    await database.close();
  }
}, ["postgres"]);

placeTest(
  "a file that another process locks is read meanwhile, and writes are refused after a while",
  async (place) => {
    const database = await openDatabase(place.where);
    const other = new DatabaseSync(place.where);
    try {
      await storeAll(database, "a");
      const label = await putLabel(database, thumb("a"));
      other.exec("BEGIN IMMEDIATE");
      const refused = assertRejects(() => putLabel(database, thumb("a", { endUser: "b" })), StoreUnavailableError);
      assertEquals(await getLabel(database, label.id), label);
      assertEquals((await collect(exportFeedback(database))).length, 1);
      await refused;
      other.exec("ROLLBACK");
      await putLabel(database, thumb("a", { endUser: "c" }));
    } finally {
      other.close();
      await database.close();
    }
  },
  ["sqlite"],
);

databaseTest(
  "a group of writes that the database breaks off is refused as one that may be sent again",
  async (database) => {
    await database.run("CREATE TABLE notes (text TEXT)");
    const full = "PRAGMA max_page_count = 1";
    const breaking = database.kind === "sqlite" ? full : "SELECT pg_terminate_backend(pg_backend_pid())";
    const broken = database.write(async (queries) => {
      await queries.all(breaking);
      await queries.run("INSERT INTO notes (text) VALUES ($1)", ["x".repeat(1_000_000)]);
    });
    await assertRejects(() => broken, StoreUnavailableError);
  },
);

Deno.test("a disk that is full refuses writes until there is room again, and loses nothing", async () => {
  await withFolder(async (folder) => {
    const mount = (args: string[]) => new Deno.Command(args[0]!, { args: args.slice(1), stderr: "null" }).output();
    const place = `${folder}/disk`;
    await Deno.mkdir(place);
    const mounted = await mount(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place]).catch(() => undefined);
    if (!mounted?.success) return console.log("skipped: no small disk can be mounted here");
    try {
      const database = await openDatabase(`${place}/store.sqlite`);
      try {
        await storeAll(database, "a");
        await Deno.writeFile(`${place}/ballast`, new Uint8Array(3 * 2 ** 20));
        let kept = 0;
        const fill = async () => {
          for (;; kept++) await putLabel(database, thumb("a", { endUser: `${kept}`, reason: "x".repeat(10_000) }));
        };
        await assertRejects(() => fill(), StoreUnavailableError);
        await Deno.remove(`${place}/ballast`);
        await putLabel(database, thumb("a", { endUser: "later" }));
        assertEquals((await collect(exportFeedback(database))).length, kept + 1);
      } finally {
        await database.close();
      }
    } finally {
      await mount(["umount", place]);
    }
  });
});
