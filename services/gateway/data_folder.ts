// Files that a gateway has in its data folder for a while. It knows no routes.

import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { lockFile } from "../../shared/file_lock.ts";

/** A place for an upload until it is read; it goes with whoever asked for it. */
export interface Scratch extends AsyncDisposable {
  /** A file that is not there yet. */
  path: string;
}

/** The end of a folder's name until it has its lock. */
const unfinished = ".new";

/** In a folder of its own, whose lock dies with this process: so others see whether it is still of use. */
export async function openScratch(dataFolder: string): Promise<Scratch> {
  const folder = join(dataFolder, `scratch-${randomUUID()}`), making = `${folder}${unfinished}`;
  await Deno.mkdir(making, { mode: 0o700 });
  const lock = await lockFile(join(making, "lock"));
  // Under its name only once it is locked: whoever looks between the two would take it for left behind.
  await Deno.rename(making, folder);
  return {
    path: join(folder, "body"),
    async [Symbol.asyncDispose]() {
      await Deno.remove(folder, { recursive: true }).catch(() => {});
      lock?.close();
    },
  };
}

/** What has no lock and is that old, in milliseconds, was left by a process that was killed. */
const longestUpload = 24 * 60 * 60 * 1000, longestMaking = 60 * 1000;

/** Removes what gateways that were killed have left: people's words should not lie about where nobody deletes them. */
export async function removeLeftovers(dataFolder: string): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(dataFolder)) {
    if (!name.startsWith("scratch-")) continue;
    const path = join(dataFolder, name);
    const lock = isDirectory && !name.endsWith(unfinished) ? await lockOf(path) : "none";
    if (lock === "held") continue;
    if (lock === "none") {
      const made = (await Deno.stat(path).catch(() => undefined))?.mtime?.getTime() ?? Infinity;
      if (made > Date.now() - (isDirectory ? longestMaking : longestUpload)) continue;
    }
    await Deno.remove(path, { recursive: true }).catch(() => {});
    if (lock !== "none") lock.close();
  }
}

async function lockOf(folder: string): Promise<Deno.FsFile | "held" | "none"> {
  const file = await Deno.open(join(folder, "lock"), { write: true }).catch(() => undefined);
  if (!file) return "none";
  if (await file.tryLock(true)) return file;
  file.close();
  return "held";
}
