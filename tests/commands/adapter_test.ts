// The commands with adapters: PEFT's gives TRL's numbers under `score` and `evaluate`, decides rank and alpha under
// `--init-adapter`, and what `train` writes is read by all of them. More than plain LoRA is refused by every command.

import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { copyFolder, fixture, fixtureTest, parseLines, readLines, runTask, succeed } from "./run_task.ts";

const model = fixture("llama-genai"), data = `${model}/data.jsonl`, adapter = `${model}/adapter`;
const on = ["--model", model, "--data", data, "--workers", 1];

interface Batch {
  completion_logps: number[];
  rewards: number[];
  label: boolean[];
}

fixtureTest("score and evaluate under PEFT's adapter give TRL's policy log-probs and rewards", async (folder) => {
  const options = { cache: `${folder}/cache` };
  const { kto } = JSON.parse(Deno.readTextFileSync(`${model}/golden.json`));
  const batches = kto["kto_beta0.1"].batches as Batch[];
  await succeed("score", [...on, "--adapter", adapter, "--out", `${folder}/scores.jsonl`], options);
  const scores = readLines<{ log_prob: number }>(`${folder}/scores.jsonl`).map(({ log_prob }) => log_prob);
  const expected = batches.flatMap(({ completion_logps }) => completion_logps);
  assertEquals(scores.length, expected.length);
  scores.forEach((score, i) => assert(Math.abs(score - expected[i]!) <= 2e-4, `row ${i}: ${score}, ${expected[i]}`));

  const { stdout } = await succeed("evaluate", [...on, "--adapter", adapter, "--json"], options);
  const [{ rewards }] = parseLines(stdout) as [{ rewards: { chosen: number; rejected: number } }];
  for (const [name, wanted] of [["chosen", true], ["rejected", false]] as const) {
    const golden = batches.flatMap((batch) => batch.rewards.filter((_, i) => batch.label[i] === wanted));
    const mean = golden.reduce((sum, reward) => sum + reward, 0) / golden.length;
    assert(Math.abs(rewards[name] - mean) <= 2e-5, `${name}: ${rewards[name]}, TRL ${mean}`);
  }
});

fixtureTest("an adapter to go on from decides rank, alpha and modules, which is said and recorded", async (folder) => {
  const options = { cache: `${folder}/cache` }, out = `${folder}/run`;
  const wishes = ["--lora-rank", 7, "--lora-alpha", 3, "--target-modules", "q_proj"];
  const few = ["--max-steps", 2, "--held-out", 0, "--out", out];
  const { stdout } = await succeed("train", [...on, ...few, ...wishes, "--init-adapter", adapter], options);
  assertMatch(stdout, /Going on from \S+adapter: rank 4, alpha 8, on .*q_proj.*--lora-rank.* are not used/);
  const { settings } = JSON.parse(Deno.readTextFileSync(`${out}/run.json`));
  assertEquals([settings.loraRank, settings.loraAlpha, settings.targetModules.length], [4, 8, 7]);
  const config = JSON.parse(Deno.readTextFileSync(`${out}/adapter/adapter_config.json`));
  assertEquals(config, JSON.parse(Deno.readTextFileSync(`${adapter}/adapter_config.json`)));

  const log = (folder: string) => readLines<{ log_prob: number }>(folder).map(({ log_prob }) => log_prob);
  const ours = ["--adapter", `${out}/adapter`];
  await succeed("score", [...on, ...ours, "--out", `${folder}/tuned.jsonl`], options);
  await succeed("score", [...on, "--adapter", adapter, "--out", `${folder}/start.jsonl`], options);
  assertNotEquals(log(`${folder}/tuned.jsonl`), log(`${folder}/start.jsonl`), "nothing was trained");
  await succeed("evaluate", [...on, ...ours, "--json"], options);
  await succeed("generate", ["--model", model, "--prompt", "hi", "--max-new-tokens", 4, ...ours], options);
});

fixtureTest("an adapter on some layers only names them so that PEFT adapts no others", async (folder) => {
  const options = { cache: `${folder}/cache` }, out = `${folder}/run`, chosen = "layers.1.self_attn.q_proj";
  const few = ["--max-steps", 1, "--held-out", 0, "--out", out];
  await succeed("train", [...on, ...few, "--target-modules", chosen], options);
  const config = JSON.parse(Deno.readTextFileSync(`${out}/adapter/adapter_config.json`));
  assertEquals(config.target_modules, [`model.${chosen}`]);
});

fixtureTest("every command refuses DoRA and a rank that is not the config's in one sentence", async (folder) => {
  const broken: [string, Record<string, unknown>, RegExp][] = [
    ["dora", { use_dora: true }, /dora\/adapter_config\.json: use_dora: true is not supported .*merge the adapter/],
    ["rank", { r: 6 }, /rank\/adapter_model\.safetensors: tensor "\S+" has shape \[4, \d+\]; with rank 6/],
  ];
  for (const [name, change, names] of broken) {
    await copyFolder(adapter, `${folder}/${name}`);
    const path = `${folder}/${name}/adapter_config.json`;
    await Deno.writeTextFile(path, JSON.stringify({ ...JSON.parse(await Deno.readTextFile(path)), ...change }));
    const with_ = (flag: string) => [flag, `${folder}/${name}`];
    const runs: [string, (string | number)[]][] = [
      ["train", [...on, ...with_("--init-adapter"), "--out", `${folder}/out`]],
      ["score", [...on, ...with_("--adapter"), "--out", `${folder}/s.jsonl`]],
      ["evaluate", [...on, ...with_("--adapter")]],
      ["generate", ["--model", model, "--prompt", "hi", ...with_("--adapter")]],
    ];
    for (const [task, args] of runs) {
      const { code, stderr } = await runTask(task, args, { cache: `${folder}/cache` });
      assertEquals(code, 2, `${task}: ${stderr}`);
      assertMatch(stderr, names);
      assertEquals(stderr.trim().split("\n").length, 1, `${task}: ${stderr}`);
    }
  }
});
