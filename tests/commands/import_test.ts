// `--model` with a checkpoint that has no ONNX file, and `deno task import`, as processes: the same numbers as the
// exporter's file, the user's folder untouched, a line that says what happens.

import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { copyFile, mkdir, readdir } from "node:fs/promises";
import { existsSync } from "node:fs";
import { fixture, fixtureTest, parseLines, readLines, runTask, succeed } from "./run_task.ts";

const model = fixture("llama-untied-genai"), data = `${model}/data.jsonl`;
const files = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];

/** The fixture as a repository without ONNX files has it. */
async function checkpoint(folder: string): Promise<string> {
  const path = `${folder}/checkpoint`;
  await mkdir(path);
  for (const file of files) await copyFile(`${model}/${file}`, `${path}/${file}`);
  return path;
}

fixtureTest(
  "a checkpoint is scored, trained and answers like the exported file, and stays as it is",
  async (folder) => {
    const path = await checkpoint(folder), cache = `${folder}/cache`, out = `${folder}/scores.jsonl`;
    const scored = await succeed("score", ["--model", path, "--data", data, "--out", out, "--json"], { cache });
    assertMatch(
      scored.stderr,
      /checkpoint has no fp32 ONNX file: writing one from its safetensors into .*\/cache\/imported\//,
    );
    const progress = parseLines(scored.stdout).filter(({ label }) => label === "importing checkpoint");
    assert(progress.at(-1)!["done"] === progress.at(-1)!["total"]);
    const { ref_logps } = JSON.parse(await Deno.readTextFile(`${model}/golden.json`));
    readLines<{ log_prob: number }>(out).forEach(({ log_prob }, i) => {
      assert(Math.abs(log_prob - ref_logps[i]) < 1e-4, `row ${i}: ${log_prob}, not ${ref_logps[i]}`);
    });

    const steps = ["--epochs", 1, "--batch-size", 4, "--held-out", 0, "--seed", 3];
    const run = (from: string, to: string) =>
      succeed("train", ["--model", from, "--data", data, "--out", `${folder}/${to}`, ...steps], { cache });
    assertMatch((await run(path, "mine")).stderr, /using the one that was written/);
    await run(model, "theirs");
    const [mine, theirs] = ["mine", "theirs"].map((name) => readLines(`${folder}/${name}/metrics.jsonl`));
    mine!.forEach(({ loss }, i) => {
      const other = theirs![i]!["loss"] as number;
      assert(Math.abs(loss as number - other) < 1e-4, `step ${i}: ${loss}, not ${other}`);
    });

    const ask = async (from: string) => {
      const args = ["--prompt", "Return the", "--max-new-tokens", 8, "--adapter", `${folder}/mine/adapter`];
      return (await succeed("generate", ["--model", from, ...args], { cache })).stdout;
    };
    assertStrictEquals(await ask(path), await ask(model));
    assertEquals((await readdir(path)).sort(), files);
  },
);

fixtureTest("import writes a model folder, never over another, and refuses in one sentence", async (folder) => {
  const path = await checkpoint(folder), out = `${folder}/deep/out`, cache = folder;
  const { stdout } = await succeed("import", ["--model", path, "--out", out], { cache });
  assertEquals(stdout, `Written to ${out}.\n`);
  for (const file of ["onnx/model.onnx", "onnx/model.onnx_data", "tokenizer.json", "generation_config.json"]) {
    assert(existsSync(`${out}/${file}`), file);
  }
  const refuses = async (args: string[], message: RegExp) => {
    const ended = await runTask("import", args, { cache });
    assertEquals(ended.code, 2, ended.stderr);
    assertMatch(ended.stderr, message);
    assertEquals(ended.stderr.trim().split("\n").length, 1);
  };
  await refuses(["--model", path, "--out", out], /out is there already; remove it or choose another folder\.$/m);
  await refuses(["--model", path], /--out is needed/);
  await refuses(
    ["--model", "owner/name", "--out", `${out}2`],
    /no folder owner\/name here: .* of the hub is downloaded/,
  );
  await mkdir(`${folder}/none`);
  await refuses(["--model", `${folder}/none`, "--out", `${out}2`], /none\/config\.json is missing/);
  await refuses(["--model", fixture("gpt2-optimum"), "--out", `${out}2`], /model_type "gpt2" is not one/);
  assert(!existsSync(`${out}2`));
});
