// Files that a gateway has in its data folder for a while. It knows no routes.

import { randomUUID } from "node:crypto";
import { join } from "node:path";

/** A file for an upload until it is read; whoever makes it removes it. */
export const scratchFile = (dataFolder: string): string => join(dataFolder, `scratch-${randomUUID()}`);

/** Scratch files that old, in milliseconds, belong to a gateway that was killed; younger ones may be another's. */
const longestUpload = 24 * 60 * 60 * 1000;

/** Removes what gateways that were killed have left: people's words should not lie about where nobody deletes them. */
export async function removeLeftovers(dataFolder: string): Promise<void> {
  for await (const { name } of Deno.readDir(dataFolder)) {
    if (!name.startsWith("scratch-")) continue;
    const path = join(dataFolder, name), { mtime } = await Deno.stat(path);
    if (mtime && mtime.getTime() < Date.now() - longestUpload) await Deno.remove(path);
  }
}
