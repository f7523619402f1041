// Uploaded files keep no row of a person who was deleted. It knows where uploads lie, and no routes.

import { join } from "node:path";
import { moveFileAtomic } from "../../shared/atomic_file.ts";
import { namesPeople } from "../../shared/feedback/without_people.ts";
import type { Database } from "../../shared/store/database.ts";
import { findFile, listFiles, noteSize, type StoredFile } from "../../shared/store/files.ts";
import { markForgettingFile } from "../../shared/store/forget_in_runs.ts";
import { forgottenSince, personHash } from "../../shared/store/forgotten.ts";
import { StoreUnavailableError } from "../../shared/store/unavailable.ts";
import { waitForLock } from "../../shared/store/wait_for_lock.ts";
import { openScratch } from "./data_folder.ts";
import { copyWithout } from "./feedback_files.ts";

/** Files that are looked for at once. */
const filesAtOnce = 100;

/** How long another deletion may be at uploads, in milliseconds. */
const patience = 10 * 60_000;

/** Files of so many bytes are looked through here: a thread for each would take a thousand times as long. */
const smallFile = 64 * 1024;

/** Takes a person's rows out of all uploads. */
export async function forgetInUploads(database: Database, dataFolder: string, endUser: string): Promise<void> {
  const people = [personHash(endUser)];
  let after: string | undefined;
  for (;;) {
    const files = await listFiles(database, filesAtOnce, { after, purpose: "fine-tune" });
    for (const file of files) await takeOut(database, dataFolder, file, people);
    after = files.at(-1)?.id;
    if (files.length < filesAtOnce) return;
  }
}

/** The same for a file that was under way while people were deleted. @param begun `forgottenMark` as it was then */
export async function forgetInUpload(
  database: Database,
  dataFolder: string,
  file: StoredFile,
  begun: number,
): Promise<void> {
  const people = [...await forgottenSince(database, begun)];
  if (people.length > 0) await takeOut(database, dataFolder, file, people);
}

async function takeOut(
  database: Database,
  dataFolder: string,
  { id, path }: StoredFile,
  people: readonly string[],
): Promise<void> {
  const place = join(dataFolder, path), gone = new Set(people);
  const { size } = await Deno.stat(place).catch(() => ({ size: 0 }));
  if (size <= smallFile && !await namesPeople(place, (name) => gone.has(personHash(name))).catch(() => true)) return;
  // Of two at once, each would bring back the rows that the other takes out.
  const lock = await waitForLock(database, "uploads", patience);
  if (!lock) throw new StoreUnavailableError("another deletion is still under way");
  const isThere = async () => await findFile(database, id) !== undefined;
  try {
    await using scratch = await openScratch(dataFolder);
    const bytes = await copyWithout(place, scratch.path, people);
    if (bytes === undefined) return;
    // Jobs begin anew once the rows are gone; a gateway that dies in between has told them as well.
    const mark = () => database.write((queries) => markForgettingFile(queries, id));
    await mark();
    await moveFileAtomic(scratch.path, place);
    await noteSize(database, id, bytes);
    await mark();
    if (!await isThere()) await Deno.remove(place);
  } catch (error) {
    // Somebody has deleted the file meanwhile.
    if (await isThere()) throw error;
  } finally {
    await lock.release();
  }
}
