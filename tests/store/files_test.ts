// The list of files: what is added is found, pages hold every file once, what is forgotten is gone.

import { assertEquals, assertRejects } from "@std/assert";
import { addFile, deleteFile, findFile, listFiles, newFileId, type StoredFile } from "../../shared/store/files.ts";
import { databaseTest } from "./databases.ts";

const file = (changes: Partial<StoredFile> = {}): StoredFile => ({
  id: newFileId(),
  createdAt: 1_764_000_000_000,
  filename: "thumbs.jsonl",
  purpose: "fine-tune",
  bytes: 6_000_000_000,
  path: "files/x",
  ...changes,
});

databaseTest("a file comes back as it was added, and is gone once forgotten", async (database) => {
  const added = file({ filename: "ä \"b\" 'c'" });
  await addFile(database, added);
  assertEquals(await findFile(database, added.id), added);
  await assertRejects(() => addFile(database, added), "the same id twice");
  assertEquals(await deleteFile(database, added.id), true);
  assertEquals(await deleteFile(database, added.id), false);
  assertEquals(await findFile(database, added.id), undefined);
});

databaseTest("pages of one purpose are full although most files are for another", async (database) => {
  const uploads: string[] = [];
  for (let i = 0; i < 12; i++) {
    const added = file({ purpose: i % 4 === 0 ? "fine-tune" : "fine-tune-results" });
    if (added.purpose === "fine-tune") uploads.unshift(added.id);
    await addFile(database, added);
  }
  const ids = async (limit: number, after?: string) =>
    (await listFiles(database, limit, { after, purpose: "fine-tune" })).map(({ id }) => id);
  assertEquals(await ids(2), uploads.slice(0, 2));
  assertEquals(await ids(2, uploads[1]), uploads.slice(2));
  assertEquals((await listFiles(database, 100)).length, 12);
});
