// Writes files so that a reader sees the old content or the new content and never half of it, and says in plain
// words why a write failed. It does not know what the files hold, and it keeps no backups.

import { basename, dirname, join } from "node:path";
import { WriteError } from "./errors.ts";

/**
 * Replaces `path` with `data` in one step: a temporary file in the same folder, flushed to the disk, then renamed.
 * The folder must exist (see `ensureWritableFolder`). When anything fails the temporary file is removed and the old
 * file is untouched.
 *
 * @throws {InputError} naming the path when the disk is full, the folder is missing or the path cannot be written.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const temporary = join(dirname(path), `.${basename(path)}.${crypto.randomUUID()}.tmp`);
  try {
    const file = await Deno.open(temporary, { write: true, createNew: true });
    try {
      for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
      // Without this a crash after the rename may leave a file of the right name and length zero.
      await file.sync();
    } finally {
      file.close();
    }
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw writeFailure(path, error);
  }
  await syncFolder(dirname(path));
}

/**
 * Moves a file, whose content is on the disk, to its place on the same disk in one step that survives a power cut.
 *
 * @throws {InputError} naming the place when it cannot be written.
 */
export async function moveFileAtomic(from: string, to: string): Promise<void> {
  try {
    await Deno.rename(from, to);
  } catch (error) {
    throw writeFailure(to, error);
  }
  await syncFolder(dirname(to));
}

/**
 * Creates the folder (and its parents) where needed and proves that a file can be made in it.
 *
 * @throws {InputError} naming the path when it is a file, when a parent is a file, or when it cannot be written.
 */
export async function ensureWritableFolder(path: string): Promise<void> {
  const probe = join(path, `.writable.${crypto.randomUUID()}.tmp`);
  try {
    await Deno.mkdir(path, { recursive: true });
    // Permission bits do not tell (read-only mounts, quotas, root), so one empty file is really made.
    (await Deno.open(probe, { write: true, createNew: true })).close();
    await Deno.remove(probe);
  } catch (error) {
    throw writeFailure(path, error);
  }
}

/**
 * Proves that a file can be written at `path`, before the work that it is for. Creates the folder where needed.
 *
 * @throws {InputError} naming the path when it is a folder, or as `ensureWritableFolder` does.
 */
export async function ensureWritableFile(path: string): Promise<void> {
  await ensureWritableFolder(dirname(path));
  const taken = await Deno.stat(path).then(({ isDirectory }) => isDirectory, () => false);
  if (taken) throw new WriteError(`${path}: ${WRITE_FAILURES.EISDIR}`);
}

/**
 * Turns what the operating system says about a failed write into one sentence that names the path.
 * An error that is not about files comes back as it is, because hiding a programming mistake would not help.
 */
export function writeFailure(path: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  if (error instanceof Deno.errors.NotCapable) {
    return new WriteError(`${path}: Deno does not let this command write here; choose another place`);
  }
  const reason = code === undefined ? undefined : WRITE_FAILURES[code];
  return reason === undefined ? error : new WriteError(`${path}: ${reason}`);
}

const WRITE_FAILURES: Record<string, string> = {
  ENOSPC: "the disk is full; free some space and run again, nothing that was there before is lost",
  EDQUOT: "the disk quota is used up; free some space and run again, nothing that was there before is lost",
  EFBIG: "the file would be larger than this file system allows",
  EROFS: "the file system is read-only",
  EACCES: "no permission to write here",
  EPERM: "no permission to write here",
  ENOENT: "the folder does not exist and cannot be created",
  ENOTDIR: "a part of this path is a file, so it cannot be a folder",
  EEXIST: "there is a file of this name, so it cannot be a folder",
  EISDIR: "there is a folder of this name, so it cannot be a file",
  ENOTEMPTY: "there is a folder of this name, so it cannot be a file",
  ENAMETOOLONG: "the name is too long",
};

/** Makes the rename itself survive a power cut. Not every platform lets a folder be opened, and that is no failure. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await Deno.open(path, { read: true });
    try {
      await folder.sync();
    } finally {
      folder.close();
    }
  } catch {
    // The content is already on the disk and the rename has happened; only its durability is less certain.
  }
}
