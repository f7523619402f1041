// Uploaded files keep no row of a person who was deleted. It knows where uploads lie, and no routes.

import { join } from "node:path";
import { takeOutPeople } from "../../shared/feedback/without_people.ts";
import type { Database } from "../../shared/store/database.ts";
import { listFiles, noteSize, type StoredFile } from "../../shared/store/files.ts";
import { forgottenSince, personHash } from "../../shared/store/forgotten.ts";

/** Files that are looked for at once. */
const filesAtOnce = 100;

/** Takes a person's rows out of all uploads. */
export async function forgetInUploads(database: Database, dataFolder: string, endUser: string): Promise<void> {
  let after: string | undefined;
  for (;;) {
    const files = await listFiles(database, filesAtOnce, { after, purpose: "fine-tune" });
    for (const file of files) await takeOut(database, dataFolder, file, (name) => name === endUser);
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
  const gone = await forgottenSince(database, begun);
  if (gone.size > 0) await takeOut(database, dataFolder, file, (name) => gone.has(personHash(name)));
}

async function takeOut(
  database: Database,
  dataFolder: string,
  { id, path }: StoredFile,
  isGone: (name: string) => boolean,
): Promise<void> {
  try {
    const bytes = await takeOutPeople(join(dataFolder, path), isGone);
    if (bytes !== undefined) await noteSize(database, id, bytes);
  } catch (error) {
    // Somebody has deleted the file meanwhile.
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}
