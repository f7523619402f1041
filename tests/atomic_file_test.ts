import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { join } from "node:path";
import { ensureWritableFolder, writeFailure, writeFileAtomic } from "../shared/atomic_file.ts";
import { InputError } from "../shared/errors.ts";

Deno.test("a file is replaced whole and nothing else is left in the folder", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "run.json");
  await writeFileAtomic(path, "a longer first content");
  await writeFileAtomic(path, "second");
  assertEquals(await Deno.readTextFile(path), "second");
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  await writeFileAtomic(path, bytes);
  assertEquals(await Deno.readFile(path), bytes);
  assertEquals([...Deno.readDirSync(folder)].map((entry) => entry.name), ["run.json"]);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a write that fails says where, keeps what was there and leaves no temporary file", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.mkdir(join(folder, "taken", "inner"), { recursive: true });
  const error = await assertRejects(() => writeFileAtomic(join(folder, "taken"), "x"), InputError);
  assert(error.message.startsWith(join(folder, "taken")), error.message);
  await assertRejects(() => writeFileAtomic(join(folder, "no", "such", "file"), "x"), Error, "does not exist");
  assertEquals([...Deno.readDirSync(folder)].map((entry) => entry.name), ["taken"]);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a folder is created with its parents, and a file in its place is named", async () => {
  const folder = await Deno.makeTempDir();
  const deep = join(folder, "a", "b");
  await ensureWritableFolder(deep);
  await ensureWritableFolder(deep);
  assertEquals([...Deno.readDirSync(deep)], []);
  const file = join(folder, "file");
  await Deno.writeTextFile(file, "");
  const error = await assertRejects(() => ensureWritableFolder(file), InputError);
  assert(error.message.startsWith(`${file}: `));
  await assertRejects(() => ensureWritableFolder(join(file, "below")), InputError, join(file, "below"));
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a full disk becomes a sentence about the disk", () => {
  // As Deno reports it (seen on /dev/full, which tests without -A may not open).
  const full = Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
  const failure = writeFailure("runs/1/adapter_model.safetensors", full);
  assert(failure instanceof InputError);
  assertMatch(failure.message, /^runs\/1\/adapter_model\.safetensors: the disk is full/);
});

Deno.test("an error that is no file error is passed on untouched", () => {
  const bug = new TypeError("x is not a function");
  assertStrictEquals(writeFailure("path", bug), bug);
});
