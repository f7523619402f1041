// What people wrote is read by the user alone who runs the gateway, also where an older version has left it open.

import { assert, assertEquals } from "@std/assert";
import { openStore } from "../../shared/store/open_store.ts";
import { withFolder } from "../commands/run_task.ts";

const modeOf = async (path: string) => ((await Deno.lstat(path)).mode! & 0o777).toString(8);

/** The modes of all that lies in a folder, and its own, by path. */
async function modesIn(folder: string): Promise<Record<string, string>> {
  const modes: Record<string, string> = { "": await modeOf(folder) };
  const look = async (path: string) => {
    for await (const { name, isDirectory } of Deno.readDir(`${folder}/${path}`)) {
      modes[path + name] = await modeOf(`${folder}/${path}${name}`);
      if (isDirectory) await look(`${path}${name}/`);
    }
  };
  await look("");
  return modes;
}

const open = (mode: string) => mode.slice(1) !== "00";

Deno.test("a new data folder and all that the store makes in it are its user's alone, whatever the umask", async () => {
  await withFolder(async (folder) => {
    const before = Deno.umask(0);
    try {
      const database = await openStore(`${folder}/data`, undefined);
      await database.run("DELETE FROM api_keys");
      const modes = await modesIn(`${folder}/data`);
      await database.close();
      assertEquals(modes[""], "700");
      assert("prospect.sqlite" in modes && "prospect.sqlite-wal" in modes && "prospect.sqlite-shm" in modes);
      assertEquals(Object.entries(modes).filter(([, mode]) => open(mode)), []);
    } finally {
      Deno.umask(before);
    }
  });
});

Deno.test("a data folder that others could read is closed with its uploads, runs and reports; what is not ours stays", async () => {
  await withFolder(async (folder) => {
    const before = Deno.umask(0o022), data = `${folder}/data`;
    try {
      (await openStore(data, undefined)).close();
      for (const path of ["files", "runs/ftjob-1/adapter", "notes"]) {
        await Deno.mkdir(`${data}/${path}`, { recursive: true });
      }
      const files = [
        "files/file-1",
        "runs/ftjob-1/report.html",
        "runs/ftjob-1/adapter/adapter_config.json",
        "scratch-1",
      ];
      for (const path of [...files, "notes/mine.txt"]) await Deno.writeTextFile(`${data}/${path}`, "words");
      for (const path of Object.keys(await modesIn(data))) {
        const { isDirectory } = await Deno.stat(`${data}/${path}`);
        await Deno.chmod(`${data}/${path}`, isDirectory ? 0o755 : 0o644);
      }
      await Deno.symlink(`${folder}/elsewhere`, `${data}/files/link`);
      await (await openStore(data, undefined)).close();
      const modes = await modesIn(data);
      const left = Object.entries(modes).filter(([path, mode]) => open(mode) && path !== "files/link");
      assertEquals(left.map(([path]) => path).sort(), ["notes", "notes/mine.txt"]);
      for (const path of files) assertEquals(modes[path], "600", path);
    } finally {
      Deno.umask(before);
    }
  });
});
