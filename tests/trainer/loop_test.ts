// Whole runs of the trainer: TRL's six steps, the plan of batches, early stopping, and what a run leaves behind when it
// fails or starts anew in an old folder.

import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertNotMatch,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { existsSync } from "node:fs";
import { NonFiniteError } from "../../services/trainer/kto_step.ts";
import { automaticLearningRate, parseTrainSettings } from "../../services/trainer/settings.ts";
import { train } from "../../services/trainer/train.ts";
import { InterruptedError } from "../../shared/errors.ts";
import type { TokenizedRow } from "../../shared/feedback/tokenize.ts";
import { readAdapter, writeAdapter } from "../../shared/runtime/adapter.ts";
import { silent } from "../../shared/progress.ts";
import { fixture, fixtureTest } from "../commands/run_task.ts";
import { floatTensors, planned, readMetrics, runQuietly } from "./fixture_training.ts";

interface Trajectory {
  steps: { loss: number; lr_used: number; logged: Record<string, number> }[];
}

/** The settings of the goldens' trajectory. */
const trl = (folder: string) => ({
  initAdapter: `${folder}/adapter`,
  pairing: "rotate",
  order: "file",
  batchSize: 4,
  epochs: 2,
  learningRate: 0.01,
  schedule: "linear",
  warmupRatio: 0,
  weightDecay: 0.01,
  maxGradNorm: 1,
  beta: 0.1,
  desirableWeight: 1,
  undesirableWeight: 1.25,
  heldOut: 0,
});

const logged = ["kl", "grad_norm", "rewards/chosen", "rewards/rejected", "rewards/margins"] as const;

for (const name of ["llama-genai", "llama-untied-genai", "llama-optimum", "llama-dynamo", "llama-genai-mha"]) {
  fixtureTest(`${name}: six steps are TRL's, metric by metric, and so is the adapter after them`, async (folder) => {
    const source = fixture(name);
    const { trajectory } = JSON.parse(Deno.readTextFileSync(`${source}/golden.json`)) as { trajectory: Trajectory };
    const { metrics } = await runQuietly(source, folder, { ...trl(source), workers: 2, tokensPerMicroBatch: 128 });
    assertEquals(metrics.length, trajectory.steps.length);
    for (const [i, line] of metrics.entries()) {
      const { loss, lr_used, logged: expected } = trajectory.steps[i]!;
      const near = (actual: number | null, wanted: number | undefined, tolerance: number, what: string) => {
        if (wanted === undefined) return assertEquals(actual, null, `step ${i + 1}, ${what}: TRL has none`);
        assert(Math.abs(actual! - wanted) <= tolerance, `step ${i + 1}, ${what}: ${actual} where TRL has ${wanted}`);
      };
      assertEquals(line.step, i + 1);
      near(line.epoch, expected.epoch, 1e-9, "epoch");
      near(line.loss, loss, 1e-3, "loss");
      near(line.learning_rate, lr_used, 1e-9, "learning rate");
      for (const key of logged) near(line[key], expected[key], 1e-3, key);
      for (const key of ["logps/chosen", "logps/rejected"] as const) near(line[key], expected[key], 1e-2, key);
    }
    const { tensors } = await readAdapter(`${folder}/run/adapter`);
    let compared = 0;
    for (const [key, { shape, data }] of await floatTensors(`${source}/golden.safetensors`)) {
      if (!key.startsWith("trajectory/final/")) continue;
      const ours = tensors.get(key.slice("trajectory/final/".length))!;
      assertEquals(ours.shape, shape);
      data.forEach((value, i) => assert(Math.abs(value - ours.data[i]!) <= 1e-3, `${key}, ${i}`));
      compared++;
    }
    assertEquals(compared, tensors.size);
  });
}

fixtureTest("the first step of a fresh adapter reports reward 0, kl 0 and half the mean weight", async (folder) => {
  const source = fixture("llama-genai");
  const { metrics: [first] } = await runQuietly(source, folder, {
    ...trl(source),
    initAdapter: undefined,
    maxSteps: 1,
    workers: 2,
    tokensPerMicroBatch: 64,
  });
  assertStrictEquals(first!.loss, (1 + 1.25 + 1 + 1.25) / 4 / 2);
  assertStrictEquals(first!.kl, 0);
  for (const key of ["rewards/chosen", "rewards/rejected", "rewards/margins"] as const) {
    assertStrictEquals(first![key], 0);
  }
  assert(first!.grad_norm > 0);
});

fixtureTest(
  "early stopping ends a run whose held-out AUC no longer rises, and resuming does not wake it",
  async (folder) => {
    const source = fixture("llama-genai");
    // Too small a rate to change the order of any two rewards.
    const settings = {
      heldOut: 0.4,
      batchSize: 4,
      epochs: 6,
      learningRate: 1e-12,
      schedule: "constant",
      warmupRatio: 0,
    };
    const stopped = await runQuietly(source, `${folder}/stopped`, {
      ...settings,
      earlyStop: 2,
      initAdapter: `${source}/adapter`,
    });
    const whole = await runQuietly(source, `${folder}/whole`, { ...settings, initAdapter: `${source}/adapter` });
    const perEpoch = whole.metrics.length / 6;
    assertEquals(stopped.metrics.length, 3 * perEpoch, "one evaluation to beat, then two without a rise");
    assertEquals(stopped.result.steps, stopped.metrics.length);
    assertStrictEquals(stopped.result.auc?.value, whole.result.auc?.value);
    const resumed = await runQuietly(source, `${folder}/stopped`, {
      ...settings,
      earlyStop: 2,
      initAdapter: `${source}/adapter`,
      resume: true,
    });
    assertEquals(resumed.metrics, stopped.metrics, "a resumed run went on after it had stopped early");
  },
);

fixtureTest(
  "a run that stops early leaves the adapter of its best evaluation, also where it was interrupted after that",
  async (folder) => {
    const source = fixture("llama-genai");
    // Far too large a rate: what comes after the best is worse.
    const settings = {
      heldOut: 0.4,
      batchSize: 4,
      epochs: 8,
      learningRate: 0.05,
      schedule: "constant",
      warmupRatio: 0,
      workers: 1,
    };
    const stopped = await runQuietly(source, `${folder}/stopped`, { ...settings, earlyStop: 3 });
    const kept = stopped.result.kept_step!;
    assert(kept < stopped.result.steps, `the best is the last: ${kept} of ${stopped.result.steps}`);
    const until = await runQuietly(source, `${folder}/until`, { ...settings, maxSteps: kept });
    assertStrictEquals(stopped.result.auc?.value, until.result.auc?.value);
    const adapter = (out: string) => Deno.readFile(`${folder}/${out}/run/adapter/adapter_model.safetensors`);
    assertEquals(await adapter("stopped"), await adapter("until"));

    const metrics = `${folder}/again/run/metrics.jsonl`;
    const interrupted = () => existsSync(metrics) && Deno.readTextFileSync(metrics).split("\n").length - 1 > kept;
    const again = { ...settings, earlyStop: 3 };
    await assertRejects(() => runQuietly(source, `${folder}/again`, again, interrupted), InterruptedError);
    const resumed = await runQuietly(source, `${folder}/again`, { ...again, resume: true });
    assertStrictEquals(resumed.result.kept_step, kept);
    assertEquals(await adapter("again"), await adapter("until"));
  },
);

fixtureTest("a run shows how far the evaluation of what is held out is", async (folder) => {
  const source = fixture("llama-genai"), shown: (Record<string, number | string> | undefined)[] = [];
  const progress = ({ label }: { label: string }) => ({
    advance: (_: number, extra?: Record<string, number | string>) => void (label === "training" && shown.push(extra)),
    done() {},
  });
  const cache = Deno.env.get("PROSPECT_CACHE");
  Deno.env.set("PROSPECT_CACHE", `${folder}/cache`);
  const settings = { model: source, data: `${source}/data.jsonl`, out: `${folder}/run`, heldOut: 0.4, maxSteps: 1 };
  await train(parseTrainSettings({ ...settings, tokensPerMicroBatch: 32 }), { ...silent, progress }, () => false);
  if (cache === undefined) Deno.env.delete("PROSPECT_CACHE");
  else Deno.env.set("PROSPECT_CACHE", cache);
  assert(shown.some((extra) => /^[1-9]\d*\/\d+$/.test(`${extra?.["held-out"]}`)), JSON.stringify(shown));
  assertEquals(Object.keys(shown.at(-1)!), ["loss"]);
});

fixtureTest(
  "a run that meets a number that is not finite ends with the lines and leaves no adapter",
  async (folder) => {
    const source = fixture("llama-genai"), adapter = await readAdapter(`${source}/adapter`);
    // Finite numbers, as an adapter must have them, whose products are not.
    for (const { data } of adapter.tensors.values()) data.fill(1e30);
    await writeAdapter(`${folder}/broken`, adapter);
    const run = runQuietly(source, folder, { ...trl(source), initAdapter: `${folder}/broken` });
    assertMatch((await assertRejects(() => run, NonFiniteError)).message, /not finite .* row of line [1-4]\./);
    for (const name of ["adapter", "run.json", "report.html", "checkpoint"]) {
      assert(!existsSync(`${folder}/run/${name}`), `${name} is there`);
    }
  },
);

fixtureTest("a run that starts anew in the folder of another forgets the other's checkpoint", async (folder) => {
  const source = fixture("llama-genai"), settings = trl(source);
  const { metrics: whole } = await runQuietly(source, folder, settings);
  // Ends as a kill would: no checkpoint of its own yet, two lines in metrics.jsonl.
  const killed = runQuietly(source, folder, settings, () => {
    if (readMetrics(`${folder}/run`).length === 2) throw new Error("killed");
    return false;
  });
  await assertRejects(() => killed, Error, "killed");
  assertEquals(readMetrics(`${folder}/run`).length, 2);
  const untimed = (lines: typeof whole) => lines.map(({ tokens_per_second: _, ...line }) => line);
  assertEquals(untimed((await runQuietly(source, folder, { ...settings, resume: true })).metrics), untimed(whole));
});

fixtureTest("a run that goes on with another number of workers says that its bytes may differ", async (folder) => {
  const source = fixture("llama-genai"), settings = { ...trl(source), workers: 1 };
  const stopped = runQuietly(source, folder, settings, () => existsSync(`${folder}/run/metrics.jsonl`));
  await assertRejects(() => stopped, InterruptedError);
  const more = await runQuietly(source, folder, { ...settings, workers: 2, resume: true });
  assertMatch(more.warnings.join("\n"), /began with 1 worker: with 2, .* not to the same bytes/);
  const same = await runQuietly(source, folder, { ...settings, resume: true });
  assertNotMatch(same.warnings.join("\n"), /began with/);
});

/** Rows that differ in label, prompt and number only. */
const rows = (labels: boolean[]): TokenizedRow[] =>
  labels.map((label, index) => ({
    index,
    line: index + 1,
    promptKey: `${index}`,
    promptIds: [1],
    completionIds: [index, 2],
    label,
  }));

Deno.test("every epoch has the same batches and pairs, in another order, with both classes in each batch", () => {
  const labels = Array.from({ length: 48 }, (_, i) => i >= 36);
  const plan = planned(rows(labels), { batchSize: 8, epochs: 3, seed: 4 });
  assertEquals(plan.stepsPerEpoch, 6);
  assertEquals(plan.totalSteps, 18);
  const epochs = [0, 1, 2].map((epoch) => Array.from({ length: 6 }, (_, i) => plan.batchAt(6 * epoch + i)));
  for (const epoch of epochs) assertEquals(new Set(epoch), new Set(plan.batches));
  assertNotEquals(epochs[1], epochs[0]);
  assertNotEquals(epochs[2], epochs[1]);
  const seen = plan.batches.flatMap(({ rows }) => rows.map(({ index }) => index));
  assertEquals(seen.toSorted((a, b) => a - b), labels.map((_, i) => i));
  for (const { rows, partners } of plan.batches) {
    const desirable = rows.filter(({ label }) => label).length;
    assert(desirable >= 1 && desirable <= 3, `${desirable} of ${rows.length} rows are desirable, a quarter of all are`);
    assertEquals(partners.toSorted((a, b) => a - b), rows.map((_, i) => i), "an answer is paired twice or never");
    partners.forEach((partner, i) => assertNotStrictEquals(partner, i, "a row is paired with itself"));
  }
  const same = planned(rows(labels), { batchSize: 8, epochs: 3, seed: 4 });
  assertEquals(same.batches, plan.batches);
  assertEquals(Array.from({ length: 18 }, (_, i) => same.batchAt(i)), epochs.flat());
  assertNotEquals(planned(rows(labels), { batchSize: 8, epochs: 3, seed: 5 }).batches, plan.batches);
});

Deno.test("a run that takes part of its batches needs those alone, whichever epoch they are of", () => {
  const labels = Array.from({ length: 48 }, (_, i) => i % 2 === 0);
  const indexOf = (batches: unknown[], all: readonly unknown[]) => batches.map((batch) => all.indexOf(batch));
  const needed = (maxSteps: number | undefined, from: number) => {
    const plan = planned(rows(labels), { batchSize: 8, epochs: 3, seed: 4, maxSteps });
    const taken = Array.from({ length: Math.max(0, plan.totalSteps - from) }, (_, i) => plan.batchAt(from + i));
    const indices = indexOf(plan.batchesFrom(from), plan.batches);
    assertEquals(new Set(indices), new Set(indexOf(taken, plan.batches)));
    assertEquals(indices, [...new Set(indices)].toSorted((a, b) => a - b));
    return indices.length;
  };
  assertEquals([2, 6, 9, undefined].map((maxSteps) => needed(maxSteps, 0)), [2, 6, 6, 6]);
  assertEquals(needed(7, 6), 1, "a resumed run needs the batch that is left");
  assertEquals(needed(8, 6), 2);
  assertStrictEquals(needed(undefined, 18), 0);
});

fixtureTest(
  "--max-steps has the reference scored for the batches that are taken and what is held out",
  async (folder) => {
    const source = fixture("llama-genai"), settings = { ...trl(source), heldOut: 0.2, epochs: 3 };
    const computed = async (maxSteps: number | undefined, more: Record<string, unknown> = {}) =>
      (await runQuietly(source, folder, { ...settings, maxSteps, ...more })).result.reference.computed;
    const one = await computed(1);
    assert(one >= 2 * 4 && one <= 2 * 4 + 4, `${one} sequences for one batch of 4 rows`);
    assert(await computed(undefined) > 0, "one step had scored the whole plan");
  },
);

Deno.test("the automatic learning rate goes by the width, under the name that GPT-2 has for it too", () => {
  assertEquals(automaticLearningRate({ hidden_size: 1152 }, false), 5e-4);
  assertEquals(automaticLearningRate({ n_embd: 64 }, false), 9e-3);
  assertEquals(automaticLearningRate({}, false), 1e-3);
});

Deno.test("the file's order stays the file's order in every epoch, and --max-steps cuts a run short", () => {
  const plan = planned(rows([true, false, true, false, false, true, false]), {
    batchSize: 3,
    epochs: 4,
    order: "file",
    pairing: "rotate",
    maxSteps: 7,
  });
  assertEquals(plan.totalSteps, 7);
  const indices = [0, 1, 2, 3, 4, 5].map((step) => plan.batchAt(step).rows.map(({ index }) => index));
  assertEquals(indices, [[0, 1, 2], [3, 4, 5], [6], [0, 1, 2], [3, 4, 5], [6]]);
  assertEquals(plan.batches.map(({ partners }) => partners), [[2, 0, 1], [2, 0, 1], [-1]]);
});
