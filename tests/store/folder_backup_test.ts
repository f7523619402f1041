// Copies of data folders: made while others write, put back only where nobody is at work.

import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { join } from "node:path";
import { InputError } from "../../shared/errors.ts";
import { addFile, newFileId } from "../../shared/store/files.ts";
import { backUpFolder, restoreFolder } from "../../shared/store/folder_backup.ts";
import { putLabel } from "../../shared/store/labels.ts";
import { openStore } from "../../shared/store/open_store.ts";
import { succeed, withFolder } from "../commands/run_task.ts";
import { count, storeAll, thumb } from "./records.ts";

async function addUpload(database: Awaited<ReturnType<typeof openStore>>, data: string): Promise<string> {
  const id = newFileId(), path = join("files", id);
  await Deno.mkdir(join(data, "files"), { recursive: true });
  await Deno.writeTextFile(join(data, path), `content of ${id}`);
  await addFile(database, { id, createdAt: 1, filename: "a.jsonl", purpose: "fine-tune", bytes: 9, path });
  return path;
}

Deno.test("a copy made while labels and files come has what it names, and is put back with all of it", async () => {
  await withFolder(async (folder) => {
    const data = join(folder, "data"), copy = join(folder, "copy");
    const database = await openStore(data, undefined);
    await storeAll(database, "a");
    let going = true, set = 0;
    const paths: string[] = [];
    const busy = (async () => {
      while (going) {
        await putLabel(database, thumb("a", { endUser: `${set++}` }));
        paths.push(await addUpload(database, data));
      }
    })();
    while (set < 20) await new Promise((resolve) => setTimeout(resolve, 5));
    const atLeast = paths.length;
    await succeed("backup", ["--data-dir", data, "--out", copy], { cache: join(folder, "cache") });
    going = false;
    await busy;
    await assertRejects(() => restoreFolder(copy, data, true), Error, "uses it; stop them first");
    await database.close();
    assertStrictEquals(Deno.statSync(join(copy, "prospect.sqlite")).mode! & 0o077, 0, "others may read the copy");

    await assertRejects(() => restoreFolder(copy, data, false), Error, "add --replace");
    await succeed("restore", ["--from", copy, "--data-dir", data, "--replace"], { cache: join(folder, "cache") });
    const restored = await openStore(data, undefined);
    try {
      const labels = await count(restored, "labels"),
        files = await restored.all<{ path: string }>("SELECT path FROM files");
      assert(labels >= atLeast && labels <= set, `${labels} of ${set} labels`);
      assert(files.length >= atLeast);
      for (const { path } of files) assertMatch(await Deno.readTextFile(join(data, path)), /^content of/);
    } finally {
      await restored.close();
    }
    const beside = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    assertEquals(beside.filter((name) => name !== "cache"), ["copy", "data"], "nothing is left over");
  });
});

Deno.test("a copy that cannot be made or put back leaves everything as it was, and says why", async () => {
  await withFolder(async (folder) => {
    const data = join(folder, "data"), copy = join(folder, "copy");
    const refused = (work: Promise<unknown>, why: RegExp) =>
      assertRejects(() => work, InputError).then((error) => assertMatch(error.message, why));
    await refused(backUpFolder(data, copy, true), /there is no prospect.sqlite in it/);
    await (await openStore(data, undefined)).close();
    await refused(backUpFolder(data, join(data, "copy"), true), /lies in the data folder/);
    await Deno.mkdir(copy);
    await refused(backUpFolder(data, copy, true), /is there already/);
    await refused(restoreFolder(copy, data, true), /there is no prospect.sqlite in it/);
    await Deno.writeTextFile(join(copy, "prospect.sqlite"), "no database ".repeat(1000));
    await refused(restoreFolder(copy, data, true), /cannot be read|damaged/);
    await (await openStore(data, undefined)).close();
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["copy", "data"]);
  });
});
