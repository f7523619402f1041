// Unfinished downloads: `FILE.KEY.partial` beside the file that is to be, KEY saying which content it is a part of. One
// process at a time has one, by a lock that dies with it. It does not know where the content comes from.

import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";

export interface PartialFile extends Disposable {
  path: string;
  file: Deno.FsFile;
  /** Bytes that are there. */
  size: number;
}

/**
 * Opens the unfinished file with that key, or begins one, and removes those with other keys, which nobody goes on with.
 *
 * @param onWait called where another process has it, before its end is waited for
 * @returns undefined where the target itself is there by now
 */
export async function openPartial(
  target: string,
  key: string,
  onWait: () => void | Promise<void>,
): Promise<PartialFile | undefined> {
  const path = `${target}.${key}.partial`;
  for (;;) {
    const file = await Deno.open(path, { read: true, write: true, create: true });
    try {
      if (!await file.tryLock(true)) {
        await onWait();
        await file.lock(true);
      }
      // Who had it before may have given it its final name, or removed it.
      const mine = await file.stat(), there = await Deno.stat(path).catch(() => undefined);
      const isStill = there !== undefined && there.ino === mine.ino;
      if (isStill && !existsSync(target)) {
        await removeOthers(target, path);
        return { path, file, size: mine.size, [Symbol.dispose]: () => file.close() };
      }
      if (isStill) await Deno.remove(path);
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
    if (existsSync(target)) return undefined;
  }
}

/** Removes unfinished files of the same target that no process has open. */
async function removeOthers(target: string, own: string): Promise<void> {
  const folder = dirname(target), name = basename(target);
  for await (const { name: other } of Deno.readDir(folder)) {
    const path = join(folder, other), isPartial = other.startsWith(`${name}.`) && other.endsWith(".partial");
    // The key has no dot: model.onnx.data is another file than model.onnx.
    if (!isPartial || path === own || other.slice(name.length + 1, -".partial".length).includes(".")) continue;
    using file = await Deno.open(path, { read: true, write: true }).catch(() => null);
    if (file && await file.tryLock(true)) await Deno.remove(path).catch(() => {});
  }
}
