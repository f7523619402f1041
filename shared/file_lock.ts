// A lock on a file that one process at a time has, and that the system gives back when that process ends. It does not know
// what is guarded by it.

/** Takes the lock, making the file where there is none; closing it gives the lock back. undefined where another has it. */
export async function lockFile(path: string): Promise<Deno.FsFile | undefined> {
  const file = await Deno.open(path, { create: true, write: true, mode: 0o600 });
  if (await file.tryLock(true)) return file;
  file.close();
  return undefined;
}
