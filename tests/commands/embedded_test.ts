// The embedded model: what train and evaluate judge of its world, and that both judge alike.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { embeddedFeedback } from "../../shared/runtime/embedded_model.ts";
import { succeed, withFolder } from "./run_task.ts";

Deno.test("train judges the embedded model before and after as evaluate judges it without and with the adapter", async () => {
  if (!existsSync(embeddedFeedback)) return console.log(`skipped: no ${embeddedFeedback}`);
  await withFolder(async (cache) => {
    const data = `${cache}/data.jsonl`, out = `${cache}/run`;
    await Deno.writeTextFile(data, Deno.readTextFileSync(embeddedFeedback).split("\n").slice(0, 96).join("\n"));
    const { stdout } = await succeed(
      "train",
      ["--data", data, "--out", out, "--max-steps", 4, "--warmup-ratio", 0, "--learning-rate", 0.01],
      { cache },
    );
    const { desirable_rate: rate, auc } = JSON.parse(Deno.readTextFileSync(`${out}/run.json`)).result;
    assert.deepEqual(Object.keys(rate).toSorted(), ["after", "before", "prompts"]);
    assert(rate.prompts >= 200, `only ${rate.prompts} prompts`);
    assert(rate.before > 0.2 && rate.before < 0.6, `the base model is judged desirable on ${rate.before}`);
    assert(rate.after !== rate.before, "training changed no answer");
    assert(auc.low <= auc.value && auc.value <= auc.high);
    assert.match(stdout, /Judged desirable on \d+ unseen prompts: [\d.]+% before, [\d.]+% after\./);

    const evaluate = async (...more: string[]) =>
      JSON.parse((await succeed("evaluate", ["--data", data, "--json", ...more], { cache })).stdout).desirable_rate;
    assert.deepEqual(await evaluate(), { value: rate.before, prompts: rate.prompts });
    assert.deepEqual(await evaluate("--adapter", `${out}/adapter`), { value: rate.after, prompts: rate.prompts });
  });
});
