// The hash that a model is known by: once computed in a process, and computed anew whenever a file is another.

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { hashModelFiles } from "../../shared/runtime/open_model.ts";
import { copyFolder, fixture, fixtureTest } from "../commands/run_task.ts";

fixtureTest(
  "a model is hashed once in a process, and again when one of its files changes or comes back",
  async (folder) => {
    await copyFolder(`${fixture("llama-dynamo")}/onnx`, folder);
    const path = `${folder}/model.onnx`;
    const open = Deno.open;
    let opened = 0;
    const hash = async () => {
      opened = 0;
      Deno.open = (...all) => {
        opened++;
        return open(...all);
      };
      try {
        return await hashModelFiles(path);
      } finally {
        Deno.open = open;
      }
    };
    const first = await hash(), files = opened;
    assertEquals(files, 2);
    assertStrictEquals(await hash(), first);
    assertStrictEquals(opened, 0);
    const data = `${folder}/model.onnx_data`, changed = Deno.readFileSync(data);
    changed[changed.length - 1]! ^= 1;
    Deno.writeFileSync(data, changed);
    Deno.utimeSync(data, new Date(), new Date(Date.now() + 5000));
    const second = await hash();
    assertEquals([second === first, opened], [false, files]);
    Deno.renameSync(data, `${folder}/away`);
    await assertRejects(() => hash());
    Deno.renameSync(`${folder}/away`, data);
    assertStrictEquals(await hash(), second);
  },
);
