// Identifiers of a process that begins with an older clock than the one before it had.

import { assertEquals } from "@std/assert";
import { openDatabase } from "../../shared/store/database.ts";
import { addFile, listFiles, newFileId } from "../../shared/store/files.ts";
import { databaseTest } from "./databases.ts";

databaseTest(
  "what is listed by its id is listed with the newest first, though the clock was set back before the process began",
  async (database, { where }) => {
    const add = async (id: string) => {
      await addFile(database, { id, createdAt: 1, filename: "a", purpose: "fine-tune", bytes: 1, path: id });
      return id;
    };
    const ahead = Date.now() + 10 * 365 * 86_400_000;
    const before = await add(`file-${ahead.toString(16).padStart(12, "0")}${"f".repeat(24)}`);
    const absurd = await add(`file-${"f".repeat(36)}`);
    await (await openDatabase(where)).close();
    const after = await add(newFileId());
    assertEquals((await listFiles(database, 10)).map(({ id }) => id), [absurd, after, before]);
  },
);
