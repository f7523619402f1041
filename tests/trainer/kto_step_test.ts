// One step of KTO, whole: the same numbers however the work is cut and shared, exact ones before anything is trained,
// and a stop with line numbers where a number is not finite.

import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import {
  type KtoBatch,
  ktoStep,
  type KtoStepResult,
  mismatchedPairs,
  NonFiniteError,
} from "../../services/trainer/kto_step.ts";
import { planRun } from "../../services/trainer/loop.ts";
import { GradientBlocks } from "../../services/trainer/parameters.ts";
import { parseTrainSettings } from "../../services/trainer/settings.ts";
import { rotate } from "../../shared/feedback/pairing.ts";
import { sharedTest } from "../feedback/shared_files.ts";
import { type OpenTraining, planned, prepare, withTraining } from "./fixture_training.ts";

const weights = { desirable: 1, undesirable: 1.25 };

/** A batch of rows, paired as TRL pairs them. */
const batchOf = (rows: KtoBatch["rows"]): KtoBatch => ({ rows, partners: rotate(rows) });

/** One step's numbers; gradients are copied out of the shared blocks. */
async function step(
  { model, pool, reference, layout }: OpenTraining,
  batch: KtoBatch,
  version = 0,
): Promise<KtoStepResult> {
  const blocks = new GradientBlocks(model.policy);
  const result = await ktoStep(pool, batch, reference, layout, weights, version, blocks);
  return { ...result, gradients: result.gradients.map((gradient) => gradient.slice()) };
}

function near(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what: string): void {
  assertEquals(actual.length, expected.length);
  let largest = 0;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(expected[i]!));
  for (let i = 0; i < expected.length; i++) {
    const off = Math.abs(actual[i]! - expected[i]!);
    assert(off <= tolerance * largest, `${what}, ${i}: ${actual[i]} and ${expected[i]}`);
  }
}

sharedTest(
  "fixtures/llama-genai",
  "z0, loss, log-probs and every gradient of a step are the same for 1, 2 and 3 workers and any micro-batch budget",
  async (folder) => {
    let first: KtoStepResult[] | undefined;
    for (const [workers, tokensPerMicroBatch] of [[1, 4096], [1, 1], [2, 128], [3, 64], [3, 4096]] as const) {
      await withTraining(folder, { workers, tokensPerMicroBatch }, async (training) => {
        const { batches } = planned(training.rows, { batchSize: 6, seed: 7 });
        const all = [...batches, batchOf(training.rows.slice(0, 4))];
        await prepare(training, all);
        const results: KtoStepResult[] = [];
        for (const batch of all) results.push(await step(training, batch));
        if (!first) {
          first = results;
          assert(first.some(({ kl }) => kl > 0), "no batch has a reference point above 0");
          return;
        }
        for (const [b, { kl, loss, gradients, logProbs, referenceLogProbs, tokens }] of results.entries()) {
          const what = `${workers} workers, ${tokensPerMicroBatch} tokens, batch ${b}`,
            expected: KtoStepResult = first[b]!;
          near([kl], [expected.kl], 1e-5, `${what}, z0`);
          near([loss], [expected.loss], 1e-6, `${what}, loss`);
          near(logProbs, expected.logProbs, 1e-6, `${what}, log-probs`);
          near(referenceLogProbs, expected.referenceLogProbs, 1e-6, `${what}, reference`);
          assertStrictEquals(tokens, expected.tokens);
          for (const [i, { name }] of training.model.compiled.parameters.entries()) {
            near(gradients[i]!, expected.gradients[i]!, 1e-5, `${what}, ${name}`);
          }
        }
      });
    }
  },
);

sharedTest(
  "fixtures/llama-genai",
  "under a fresh adapter every log-ratio is 0, z0 is 0 and the loss is half the mean weight, whatever the cut",
  async (folder) => {
    for (const [workers, tokensPerMicroBatch] of [[1, 4096], [2, 64]] as const) {
      await withTraining(folder, { workers, tokensPerMicroBatch, adapter: false }, async (training) => {
        const batches = [0, 4, 8].map((start) => batchOf(training.rows.slice(start, start + 4)));
        await prepare(training, batches);
        for (const batch of batches) {
          const { loss, kl, logProbs, referenceLogProbs, gradients } = await step(training, batch);
          const sum = batch.rows.reduce((sum, { label }) => sum + weights[label ? "desirable" : "undesirable"], 0);
          assertStrictEquals(loss, sum / batch.rows.length / 2);
          assertStrictEquals(kl, 0);
          assertEquals(logProbs, referenceLogProbs);
          assert(gradients.some((gradient) => gradient.some((value) => value !== 0)), "nothing would be learned");
        }
      });
    }
  },
);

/** The lines that a step's error names. */
async function refusedLines(training: OpenTraining, batch: KtoBatch, version = 0): Promise<number[]> {
  let lines: number[] = [];
  const error = await assertRejects(() => step(training, batch, version), NonFiniteError);
  assertMatch(error.message, /not finite.*\. Try a lower --learning-rate, or --dtype fp32\.$/);
  lines = /lines? ([\d, ]+)/.exec(error.message)![1]!.split(", ").map(Number);
  return lines;
}

sharedTest("fixtures/llama-genai", "a number that is not finite stops the step and names its lines", async (folder) => {
  await withTraining(folder, { workers: 2, tokensPerMicroBatch: 1 }, async (training) => {
    const { model, rows, reference } = training;
    // A reference value as a model of low precision could give it.
    const bad = rows[4]!, batch = batchOf(rows.slice(2, 6));
    await prepare(training, [batch]);
    reference.of(bad).fill(NaN);
    assertEquals(await refusedLines(training, batch), [bad.line]);
    // A policy that has blown up: the first pair already shows it.
    const healthy = batchOf(rows.slice(0, 4));
    await prepare(training, [healthy]);
    await step(training, healthy);
    model.policy.views[0]![3] = NaN;
    const lines = healthy.rows.map(({ line }) => line);
    for (const line of await refusedLines(training, healthy, 1)) assert(lines.includes(line));
    // Without a pair, the loss shows it.
    const alone: KtoBatch = { rows: [rows[0]!], partners: [-1] };
    assertEquals(await refusedLines(training, alone, 1), [rows[0]!.line]);
    model.policy.views[0]![3] = Infinity;
    assertEquals(await refusedLines(training, alone, 2), [rows[0]!.line]);
  });
});

Deno.test("a mismatched pair is cut to --max-length as rows are, and to the context where that is less", () => {
  const row = (index: number, prompt: number, completion: number) => ({
    index,
    line: index + 1,
    promptKey: `${index}`,
    promptIds: new Array(prompt).fill(1),
    completionIds: Array.from({ length: completion }, (_, i) => 100 * index + i),
    label: true,
  });
  const rows = [row(0, 50, 10), row(1, 10, 50)];
  const settings = parseTrainSettings({ out: "nowhere", maxLength: 60, pairing: "rotate", order: "file" });
  const lengths = (contextLength?: number) =>
    mismatchedPairs(planRun(rows, settings, contextLength).batches[0]!).map(({ completionIds }) => completionIds);
  assertEquals(lengths(), [rows[1]!.completionIds.slice(0, 10), rows[0]!.completionIds]);
  assertEquals(lengths(55), [rows[1]!.completionIds.slice(0, 5), rows[0]!.completionIds]);
});
