// The embedded model: what train and evaluate judge of its world, and that both judge alike.

import { assert, assertEquals, assertMatch } from "@std/assert";
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
    const { desirable_rate: rate, auc, behaviour } = JSON.parse(Deno.readTextFileSync(`${out}/run.json`)).result;
    assertEquals(Object.keys(rate).toSorted(), ["after", "before", "prompts"]);
    assert(rate.prompts >= 200, `only ${rate.prompts} prompts`);
    assert(rate.before > 0.2 && rate.before < 0.6, `the base model is judged desirable on ${rate.before}`);
    assert(rate.after !== rate.before, "training changed no answer");
    assert(auc.low <= auc.value && auc.value <= auc.high);
    assertMatch(stdout, /Judged desirable on \d+ unseen prompts: [\d.]+% before, [\d.]+% after\./);

    // The same answers are measured, and the page and the last lines show it.
    const { tokens, words, refusals } = behaviour;
    assertEquals([behaviour.prompts, refusals.prompts], [rate.prompts, rate.prompts]);
    assert(tokens.before > 2 && tokens.after > 2 && tokens.after !== tokens.before, JSON.stringify(tokens));
    assert(words.before > 2 && words.before < tokens.before, JSON.stringify(words));
    // A tenth of what the embedded model was pretrained on refuses.
    assert(refusals.before > 0.03 * rate.prompts && refusals.before < 0.25 * rate.prompts, JSON.stringify(refusals));
    assert(refusals.difference.low < refusals.difference.high);
    assertEquals(behaviour.agreement, null, "the embedded world's questions state no view");
    const report = Deno.readTextFileSync(`${out}/report.html`);
    assertMatch(report, /How answers changed/);
    assert(report.includes(`${tokens.after.toFixed(1)} tokens, before ${tokens.before.toFixed(1)}`));
    assertMatch(report, /Agreement with the user: not measured/);
    assertMatch(
      stdout,
      /Answers to \d+ held-out prompts: [\d.]+ → [\d.]+ tokens; refusals \d+ → \d+ of \d+ \(\d+%\); agreement/,
    );

    const evaluate = async (...more: string[]) =>
      JSON.parse((await succeed("evaluate", ["--data", data, "--json", ...more], { cache })).stdout).desirable_rate;
    assertEquals(await evaluate(), { value: rate.before, prompts: rate.prompts });
    assertEquals(await evaluate("--adapter", `${out}/adapter`), { value: rate.after, prompts: rate.prompts });
  });
});
