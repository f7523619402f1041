// Who uses a data folder: many at once, or one that replaces it. The system gives the lock back when its process ends. It
// does not know what is in the folder.

import { join } from "node:path";

export const folderLockName = "in-use.lock";

/**
 * Takes the lock, together with others or alone; closing it gives it back. undefined where another's use stands against
 * that.
 */
export async function lockFolder(folder: string, use: "shared" | "alone"): Promise<Deno.FsFile | undefined> {
  const file = await Deno.open(join(folder, folderLockName), { create: true, read: true, write: true, mode: 0o600 });
  if (await file.tryLock(use === "alone")) return file;
  file.close();
  return undefined;
}
