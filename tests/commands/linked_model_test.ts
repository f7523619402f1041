// A model folder of links, as Hugging Face's own cache has it: the commands read and train what the links lead to.

import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { copyFolder, fixture, fixtureTest, succeed } from "./run_task.ts";

/** A folder with a link to a file of `blobs` for every file of `from`. */
async function linkFolder(from: string, to: string, blobs: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  await Deno.mkdir(blobs, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) {
      await linkFolder(join(from, name), join(to, name), blobs);
      continue;
    }
    const blob = join(blobs, crypto.randomUUID());
    await Deno.copyFile(join(from, name), blob);
    await Deno.symlink(blob, join(to, name));
  }
}

const files = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

fixtureTest("a model of links is scored, trained whole and answers as the model itself does", async (folder) => {
  const plain = `${folder}/plain/dynamo`, linked = `${folder}/linked/dynamo`, data = `${plain}/data.jsonl`;
  await copyFolder(fixture("llama-dynamo"), plain);
  await linkFolder(plain, linked, `${folder}/blobs`);
  const run = async (model: string) => {
    const out = join(model, "..");
    const ours = { cache: `${out}/cache` }, from = ["--model", model, "--data", data, "--workers", 1];
    await succeed("score", [...from, "--out", `${out}/scores.jsonl`], ours);
    await succeed("train", [...from, "--out", `${out}/run`, "--full", "--max-steps", 1, "--held-out", 0], ours);
    const { stdout } = await succeed("generate", ["--model", model, "--prompt", "Return", "--max-new-tokens", 4], ours);
    await Deno.writeTextFile(`${out}/answer.txt`, stdout);
    return out;
  };
  const one = await run(plain), other = await run(linked);
  const same = (file: string) =>
    assertEquals(Deno.readFileSync(`${other}/${file}`), Deno.readFileSync(`${one}/${file}`));
  for (const file of ["scores.jsonl", "answer.txt"]) same(file);
  assertEquals(files(`${other}/run/model`), files(`${one}/run/model`));
  assertEquals(files(`${other}/run/model/onnx`), ["model.onnx", "model.onnx_data"]);
  for (const file of ["onnx/model.onnx", "onnx/model.onnx_data", "config.json"]) same(`run/model/${file}`);
});
