// The data folder is its user's alone, since it holds what people wrote: also one that an older version or another tool
// has made. It does not know what the files are for.

import { join } from "node:path";

/** What is looked through: a folder that was chosen may hold things of others. */
const ours = /^(files|runs|adapters|in-use\.lock|prospect\.sqlite.*|scratch-.*)$/;

/** The rights of everybody but the user. */
const others = 0o077;

/** Makes a folder, or takes away the rights that others have on it and on what Prospect has in it. */
export async function makePrivateFolder(folder: string): Promise<void> {
  if (Deno.build.os === "windows") return await Deno.mkdir(folder, { recursive: true });
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  try {
    await close(folder);
    for await (const entry of Deno.readDir(folder)) {
      if (ours.test(entry.name)) await closeAll(join(folder, entry.name), entry);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.PermissionDenied || (error as { code?: string }).code === "EPERM")) throw error;
    // A volume that belongs to another user has the modes that its owner gave it.
    console.error(`${folder}: other users of this machine may be able to read it (${(error as Error).message}).`);
  }
}

async function closeAll(path: string, { isDirectory, isSymlink }: Deno.DirEntry): Promise<void> {
  if (isSymlink) return;
  await close(path);
  if (!isDirectory) return;
  for await (const entry of Deno.readDir(path)) await closeAll(join(path, entry.name), entry);
}

async function close(path: string): Promise<void> {
  // Files come and go while another process is at work.
  const mode = await Deno.lstat(path).then(({ mode }) => mode ?? 0, ignoreGone) ?? 0;
  if ((mode & others) !== 0) await Deno.chmod(path, mode & 0o700).catch(ignoreGone);
}

function ignoreGone(error: Error): undefined {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
