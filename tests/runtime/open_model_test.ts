// The hash that a model is known by: once computed in a process, and computed anew whenever a file is another.

import assert from "node:assert/strict";
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
    assert.equal(files, 2);
    assert.equal(await hash(), first);
    assert.equal(opened, 0);
    const data = `${folder}/model.onnx_data`, changed = Deno.readFileSync(data);
    changed[changed.length - 1]! ^= 1;
    Deno.writeFileSync(data, changed);
    Deno.utimeSync(data, new Date(), new Date(Date.now() + 5000));
    const second = await hash();
    assert.deepEqual([second === first, opened], [false, files]);
    Deno.renameSync(data, `${folder}/away`);
    await assert.rejects(hash());
    Deno.renameSync(`${folder}/away`, data);
    assert.equal(await hash(), second);
  },
);
