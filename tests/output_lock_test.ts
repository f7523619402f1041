// A place has one writer at a time, and a killed one leaves it free.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../shared/errors.ts";
import { lockOutputFolder, lockOutputPath } from "../shared/output_lock.ts";
import { withFolder } from "./commands/run_task.ts";

const names = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name);

Deno.test("a folder that one command writes in is refused to a second one, and free after", async () => {
  await withFolder(async (folder) => {
    const first = await lockOutputFolder(folder);
    const error = await assertRejects(() => lockOutputFolder(folder), InputError);
    assert(error.message.startsWith(`${folder}: another command is writing here;`), error.message);
    first.release();
    first.release();
    assertEquals(names(folder), []);
    using _again = await lockOutputFolder(folder);
  });
});

Deno.test("two files in one folder can be written at once, one file not", async () => {
  await withFolder(async (folder) => {
    using _one = await lockOutputPath(`${folder}/one.jsonl`);
    using _two = await lockOutputPath(`${folder}/two.jsonl`);
    await assertRejects(() => lockOutputPath(`${folder}/one.jsonl`), InputError);
  });
});

Deno.test("a lock's file that a killed process left locks nothing", async () => {
  await withFolder(async (folder) => {
    const holder = new Deno.Command(Deno.execPath(), {
      args: ["eval", HOLDER, new URL("../shared/output_lock.ts", import.meta.url).href, folder],
      stdout: "piped",
    }).spawn();
    const reader = holder.stdout.getReader();
    await reader.read();
    await assertRejects(() => lockOutputFolder(folder), InputError);
    holder.kill("SIGKILL");
    await holder.status;
    await reader.cancel();
    assertEquals(names(folder), [".writing.lock"]);
    (await lockOutputFolder(folder)).release();
    assertEquals(names(folder), []);
  });
});

/** Takes a folder, says so, and keeps it. */
const HOLDER = `
  const { lockOutputFolder } = await import(Deno.args[0]);
  globalThis.lock = await lockOutputFolder(Deno.args[1]);
  console.log("held");
  await new Promise(() => setInterval(() => {}, 1000));
`;
