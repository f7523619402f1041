// Where registered adapters are kept: named by their content, whole or not there, and nothing else under that name.

import {
  assert,
  assertEquals,
  assertMatch,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { existsSync, readdirSync, statSync } from "node:fs";
import { InputError } from "../../shared/errors.ts";
import {
  checkRegistered,
  findRegistered,
  hashAdapterFiles,
  isKept,
  isVersion,
  keepAdapter,
  keptFolder,
  setAside,
  UnusableAdapterError,
} from "../../shared/runtime/kept_adapters.ts";
import { withFolder } from "../commands/run_task.ts";

const config = "adapter_config.json", weights = "adapter_model.safetensors", prompts = "trained_prompts.json";

async function write(folder: string, files: Record<string, string>): Promise<string> {
  await Deno.mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(`${folder}/${name}`, text);
  return folder;
}

const withAdapter = (use: (data: string, source: string) => Promise<void>) =>
  withFolder(async (folder) => {
    const files = { [config]: "{}", [weights]: "w".repeat(3 * 2 ** 20), [prompts]: "[]", "notes.txt": "not kept" };
    await use(`${folder}/data`, await write(`${folder}/run/adapter`, files));
  });

const registered = (version: string, folder = keptFolder(version)) => ({ name: "new", version, folder });

Deno.test("a kept adapter is a read-only copy that says by its name what is in it; what becomes of the original is nothing to it", () =>
  withAdapter(async (data, source) => {
    const version = await keepAdapter(data, source), folder = `${data}/${keptFolder(version)}`;
    assertStrictEquals(version, (await hashAdapterFiles(source)).version);
    assertEquals(readdirSync(folder).sort(), [config, weights, prompts].sort());
    for (const name of readdirSync(folder)) assertEquals(statSync(`${folder}/${name}`).mode & 0o777, 0o400);
    assertStrictEquals(statSync(folder).mode & 0o077, 0);
    await write(source, { [weights]: "overwritten" });
    await Deno.remove(`${source}/${config}`);
    assertStrictEquals(await checkRegistered(data, registered(version)), folder);
    assertEquals(readdirSync(`${data}/adapters`), [version]);
  }));

Deno.test("any change of any file that was kept is seen, the list of trained prompts' too, and mended by keeping the true files again", () =>
  withAdapter(async (data, source) => {
    const version = await keepAdapter(data, source), folder = `${data}/${keptFolder(version)}`;
    const changes: (() => Promise<void>)[] = [
      ...[config, weights, prompts].flatMap((name) => [
        () => Deno.writeTextFile(`${folder}/${name}`, "altered", { append: true }),
        () => Deno.remove(`${folder}/${name}`),
      ]),
    ];
    for (const change of changes) {
      for (const name of readdirSync(folder)) await Deno.chmod(`${folder}/${name}`, 0o600);
      await change();
      assertEquals(await isKept(data, version), false);
      const error = await assertRejects(() => checkRegistered(data, registered(version)), UnusableAdapterError);
      assertMatch(error.message, /^base:new cannot answer: its files are no longer those that were registered/);
      assert(!error.message.includes(data), "whoever asks for a model is told no path");
      assertStrictEquals(await keepAdapter(data, source), version);
      assertEquals(await isKept(data, version), true);
    }
    setAside(data, version);
    await assertRejects(
      () => checkRegistered(data, registered(version)),
      Error,
      "its files are not in this process's data folder",
    );
  }));

Deno.test("an adapter that an older Prospect registered is kept when it is first asked for, if it is still what was registered", () =>
  withAdapter(async (data, source) => {
    const { older, version } = await hashAdapterFiles(source), first = "runs/job/adapter";
    assertNotStrictEquals(older, version);
    await Deno.mkdir(`${data}/runs/job`, { recursive: true });
    await Deno.rename(source, `${data}/${first}`);
    const folder = await findRegistered(data, registered(older, first));
    assertEquals(folder, `${data}/${keptFolder(older)}`);
    assert(existsSync(`${folder}/${prompts}`), "the gate still needs to know what it was trained on");
    await write(`${data}/${first}`, { [weights]: "overwritten" });
    assertStrictEquals(await checkRegistered(data, registered(older, first)), folder);
    await write(`${data}/runs/other/adapter`, { [config]: "{}", [weights]: "overwritten" });
    await assertRejects(
      () => findRegistered(data, registered("f".repeat(64), "runs/other/adapter")),
      UnusableAdapterError,
    );
    await assertRejects(() => keepAdapter(data, `${data}/${first}`, older), InputError);
    assertEquals(readdirSync(`${data}/adapters`), [older]);
  }));

Deno.test("many who keep the same adapter at once leave one whole copy and nothing beside it", () =>
  withAdapter(async (data, source) => {
    const versions = await Promise.all(Array.from({ length: 8 }, () => keepAdapter(data, source)));
    assertEquals(new Set(versions).size, 1);
    assertEquals(readdirSync(`${data}/adapters`), [versions[0]!]);
    const files = await hashAdapterFiles(`${data}/${keptFolder(versions[0]!)}`);
    assert(isVersion(files, versions[0]!));
  }));
