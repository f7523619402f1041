// `deno task train` as a process: the files of its contract, machine-readable output, the cache, full training.

import { assert, assertEquals, assertMatch, assertNotMatch, assertStrictEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { findModel, openModel } from "../../services/trainer/model.ts";
import { readFeedback } from "../../shared/feedback/read.ts";
import { tokenizeRows } from "../../shared/feedback/tokenize.ts";
import { createReporter } from "../../shared/progress.ts";
import { readAdapter } from "../../shared/runtime/adapter.ts";
import { StockSession } from "../../workers/stock_session.ts";
import { fixture, fixtureTest, parseLines, readLines, succeed } from "./run_task.ts";

const model = fixture("llama-genai"), data = `${model}/data.jsonl`;

const metricsKeys = [
  "epoch",
  "grad_norm",
  "kl",
  "learning_rate",
  "logps/chosen",
  "logps/rejected",
  "loss",
  "rewards/chosen",
  "rewards/margins",
  "rewards/rejected",
  "step",
  "tokens_per_second",
];

const json = (path: string) => JSON.parse(Deno.readTextFileSync(path));

/** What a page would fetch from elsewhere. */
const foreign =
  /\b(?:src|href)\s*=\s*["']?(?!#|data:)[^\s"'>]|<link\b|@import|url\(\s*["']?(?!#|data:)|\bfetch\(|\bimport\(/i;

fixtureTest("train writes every file of its contract, and with --json nothing but JSON lines", async (cache) => {
  const out = `${cache}/run`;
  const settings = ["--model", model, "--data", data, "--out", out, "--held-out", 0.3, "--batch-size", 4];
  const { stdout, stderr } = await succeed("train", [...settings, "--epochs", 2, "--seed", 5, "--json"], { cache });
  const events = parseLines(stdout);
  const named = (name: string) => events.filter(({ event }) => event === name);
  for (const name of ["reference", "step", "evaluation", "done"]) assert(named(name).length > 0, `no ${name} event`);
  assertNotMatch(stderr, / at |Error/);

  const metrics = readLines(`${out}/metrics.jsonl`);
  const run = json(`${out}/run.json`);
  assertEquals(metrics.map(({ step }) => step), metrics.map((_, i) => i + 1));
  for (const line of metrics) assertEquals(Object.keys(line).toSorted(), metricsKeys);
  assertEquals(named("step").map(({ event: _, ...line }) => line), metrics);
  assertEquals(metrics.at(-1)!.epoch, 2);

  const { result } = run;
  assertEquals(Object.keys(result.auc).toSorted(), ["high", "low", "value"]);
  assert(result.auc.low <= result.auc.value && result.auc.value <= result.auc.high);
  assert(result.tokens_per_second > 0);
  assertEquals(result.steps, metrics.length);
  assertStrictEquals(result.reference.cached, 0);
  assert(result.reference.computed > 12, "every row, and mismatched pairs");
  assertEquals(named("done")[0], { event: "done", ...result });
  assertEquals(run.settings.seed, 5);
  assertEquals(run.settings.batchSize, 4);
  assertEquals(run.settings.beta, 0.1);
  assertMatch(run.model.key, /[0-9a-f]{64}/);
  assertMatch(run.data.sha256, /^[0-9a-f]{64}$/);
  assertEquals(run.data.rows.train + run.data.rows.held_out, 12);
  assertStrictEquals(run.versions.deno, Deno.version.deno);

  const expected = await readAdapter(`${model}/adapter`), { config, tensors } = await readAdapter(`${out}/adapter`);
  assertEquals(new Set(tensors.keys()), new Set(expected.tensors.keys()));
  const needed = ["base_model_name_or_path", "bias", "lora_alpha", "lora_dropout", "peft_type", "r", "target_modules"];
  const saved = json(`${out}/adapter/adapter_config.json`);
  for (const key of [...needed, "task_type", "fan_in_fan_out"]) {
    assert(key in saved, `adapter_config.json has no ${key}`);
  }
  assertEquals(config.r, 8);
  assertEquals(config.lora_alpha, 16);
  assertEquals([...saved.target_modules].toSorted(), [...expected.config.target_modules].toSorted());

  const report = Deno.readTextFileSync(`${out}/report.html`);
  assertMatch(report, /^<!doctype html>/i);
  assertNotMatch(
    report.replaceAll(/<(?:p|td|pre|dd|code)\b[^>]*>[^<]*/g, ""),
    foreign,
    "the page needs other files",
  );
  for (const text of ["AUC", "kl", "margin"]) assert(report.includes(text), `no "${text}"`);
  const prompts = readLines<{ prompt: { content: string }[] }>(data).map(({ prompt }) => prompt.at(-1)!.content);
  assert(prompts.some((prompt) => report.includes(prompt)), "no answers before and after");

  // The same rows in other batches: only pairs that nobody has scored yet are left to compute, then none.
  const again = [...settings, "--epochs", 1];
  await succeed("train", [...again, "--seed", 5, "--out", `${cache}/again`], { cache });
  const { reference } = json(`${cache}/again/run.json`).result;
  assertEquals(reference, { computed: 0, cached: result.reference.computed });
  await succeed("score", ["--model", model, "--data", data, "--out", `${cache}/scores.jsonl`], { cache });
  assert(readLines(`${cache}/scores.jsonl`).every(({ cached }) => cached === true));
});

fixtureTest("a file with one class of labels trains, with a warning", async (cache) => {
  const path = `${cache}/up.jsonl`;
  const up = readLines(data).filter(({ label }) => label === true).map((row) => JSON.stringify(row));
  await Deno.writeTextFile(path, up.join("\n"));
  const args = ["--model", model, "--data", path, "--out", `${cache}/run`, "--max-steps", 1];
  const { stderr } = await succeed("train", args, { cache });
  assertMatch(stderr, /Warning: .*up\.jsonl: all \d+ training rows are desirable/);
  assertEquals(json(`${cache}/run/run.json`).result.auc, null);
  const [line] = readLines(`${cache}/run/metrics.jsonl`);
  assertEquals(line!["rewards/rejected"], null);
  assert(existsSync(`${cache}/run/adapter/adapter_model.safetensors`));
});

for (const name of ["llama-genai", "llama-untied-genai"]) {
  fixtureTest(
    `${name}: --full leaves a model that stock transformers.js opens and that answers otherwise`,
    async (cache) => {
      const base = fixture(name), rows = `${base}/data.jsonl`, out = `${cache}/run`;
      const settings = ["--model", base, "--data", rows, "--out", out, "--full", "--learning-rate", 1e-3];
      const more = [
        "--schedule",
        "constant",
        "--warmup-ratio",
        0,
        "--held-out",
        0,
        "--max-steps",
        2,
        "--batch-size",
        6,
      ];
      await succeed("train", [...settings, ...more], { cache });
      assert(!existsSync(`${out}/adapter`));
      const [first] = readLines(`${out}/metrics.jsonl`);
      assertStrictEquals(first!.kl, 0);
      assertStrictEquals(first!["rewards/chosen"], 0);
      const score = async (folder: string) => {
        await succeed("score", ["--model", folder, "--data", rows, "--out", `${cache}/scores.jsonl`], { cache });
        return readLines<{ log_prob: number; cached: boolean }>(`${cache}/scores.jsonl`);
      };
      const before = await score(base), after = await score(`${out}/model`);
      assert(after.every(({ cached }) => !cached), "the tuned model took the base model's log-probs from the cache");
      before.forEach(({ log_prob }, i) =>
        assert(Math.abs(log_prob - after[i]!.log_prob) > 1e-3, `row ${i} is unchanged`)
      );

      const opened = openModel(await findModel(`${out}/model`, "fp32", createReporter({ json: false })), "fp32");
      const tokenized = tokenizeRows((await readFeedback(rows)).rows, opened.tokenizer, { maxLength: 1024 });
      const stock = await StockSession.open({ folder: `${out}/model`, dtype: "fp32", device: "cpu" });
      try {
        for (const [i, row] of tokenized.rows.entries()) {
          const sum = (await stock.score(row)).reduce((sum, value) => sum + value, 0);
          assert(Math.abs(sum - after[i]!.log_prob) <= 1e-3, `row ${i}: ${sum} and ${after[i]!.log_prob}`);
        }
      } finally {
        await stock.model.dispose();
      }
    },
  );
}
