// Keeps two commands from writing to one place at once. The system gives the lock back when its process ends, however it
// ends; a file that a killed process leaves locks nothing. It does not know what is written.

import { basename, dirname, join } from "node:path";
import { writeFailure } from "./atomic_file.ts";
import { InputError } from "./errors.ts";
import { lockFile } from "./file_lock.ts";

/** A place that is this process's to write. */
export interface OutputLock extends Disposable {
  /** Gives the place back; a second call does nothing. */
  release(): void;
}

/** Whether an open file is still the one that its path names. */
async function isAt(file: Deno.FsFile, path: string): Promise<boolean> {
  const [held, there] = await Promise.all([file.stat(), Deno.stat(path).catch(() => undefined)]);
  return there !== undefined && there.ino === held.ino;
}

async function lockAt(path: string, out: string): Promise<OutputLock> {
  try {
    for (;;) {
      const file = await lockFile(path);
      if (!file) {
        throw new InputError(
          `${out}: another command is writing here; wait until it has ended, or choose another --out.`,
        );
      }
      // Whoever had it before may have removed the file in between: a lock on that keeps nobody out.
      if (!await isAt(file, path)) {
        file.close();
        continue;
      }
      let held = true;
      const release = () => {
        if (!held) return;
        held = false;
        try {
          Deno.removeSync(path);
        } catch {
          // The folder is gone, or may not be written any more.
        }
        file.close();
      };
      return { release, [Symbol.dispose]: release };
    }
  } catch (error) {
    throw writeFailure(out, error);
  }
}

/** Takes an existing folder to write in. @throws {InputError} where another has it, or it cannot be written */
export const lockOutputFolder = (out: string): Promise<OutputLock> => lockAt(join(out, ".writing.lock"), out);

/** Takes a file, or a folder that is not there yet, in an existing folder. @throws {InputError} as above */
export const lockOutputPath = (out: string): Promise<OutputLock> =>
  lockAt(join(dirname(out), `.${basename(out)}.writing.lock`), out);
