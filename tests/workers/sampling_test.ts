// Drawing tokens: the probabilities of the definition, OpenAI's penalties against a plain reference, and raw log-probs.

import { assert, assertEquals } from "@std/assert";
import { Random } from "../../shared/random.ts";
import type { Sampling } from "../../workers/protocol.ts";
import { Sampler } from "../../workers/sampling.ts";

const plain: Sampling = {
  temperature: 1,
  topP: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  logitBias: new Map(),
  seed: 3,
};

function softmax(logits: number[], temperature = 1): number[] {
  const highest = Math.max(...logits), weights = logits.map((logit) => Math.exp((logit - highest) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Draws often and compares with the probabilities, to four standard deviations. */
function assertDrawn(logits: number[], sampling: Sampling, probabilities: number[]): void {
  const draws = 4000, counts = logits.map(() => 0), row = Float32Array.from(logits);
  const sampler = new Sampler(sampling, undefined);
  for (let i = 0; i < draws; i++) counts[sampler.next(row).token]!++;
  probabilities.forEach((share, token) => {
    const deviation = Math.sqrt(share * (1 - share) / draws);
    assert(Math.abs(counts[token]! / draws - share) <= 4 * deviation, `token ${token}: ${counts[token]} of ${draws}`);
  });
}

Deno.test("tokens are drawn with the probabilities of the softmax at the temperature", () => {
  const logits = [1, 3, -Infinity, 2];
  for (const temperature of [1, 0.5]) {
    assertDrawn(logits, { ...plain, temperature }, softmax(logits, temperature));
  }
  assertEquals(new Sampler({ ...plain, temperature: 0 }, undefined).next(Float32Array.from(logits)).token, 1);
});

Deno.test("under topP only the fewest likeliest tokens that reach it are drawn, in their proportions", () => {
  const logits = [0.5, 3, 1, 2.5, -1, 2.5];
  const order = [1, 3, 5, 2, 0, 4], probabilities = softmax(logits);
  for (const topP of [0.1, 0.5, 0.8, 0.95, 0.9999]) {
    let mass = 0;
    const nucleus = order.filter((token) => mass < topP && (mass += probabilities[token]!) > 0);
    const expected = logits.map((_, token) => nucleus.includes(token) ? probabilities[token]! / mass : 0);
    assertDrawn(logits, { ...plain, topP }, expected);
  }
});

Deno.test("penalties and bias choose the tokens that a plain reading of OpenAI's formula chooses", () => {
  const random = new Random(11), vocabulary = 12;
  for (let run = 0; run < 40; run++) {
    const [frequencyPenalty, presencePenalty] = [4 * random.next() - 2, 4 * random.next() - 2];
    const logitBias = new Map([[random.int(vocabulary), 6 * random.next() - 3], [vocabulary + 5, 100]]);
    const sampler = new Sampler({ ...plain, temperature: 0, frequencyPenalty, presencePenalty, logitBias }, undefined);
    const answer: number[] = [];
    for (let step = 0; step < 20; step++) {
      const logits = Float32Array.from({ length: vocabulary }, () => 3 * random.normal());
      const adjusted = Float32Array.from(logits, (logit, token) => {
        const count = answer.filter((each) => each === token).length;
        return logit - count * frequencyPenalty - (count > 0 ? presencePenalty : 0) + (logitBias.get(token) ?? 0);
      });
      const before = logits.slice(), { token, logProb } = sampler.next(logits);
      // Sums in another order may differ in the last bit: what was chosen must be as good as the best.
      assert(adjusted[token]! >= Math.max(...adjusted) - 1e-5, `run ${run}, step ${step}`);
      assertEquals(logits, before, "the model's logits were changed");
      assert(Math.abs(logProb - Math.log(softmax([...logits])[token]!)) < 1e-5, "the log-prob is not raw");
      answer.push(token);
    }
  }
});

Deno.test("the reported alternatives are the likeliest tokens, the likeliest first, with raw log-probs", () => {
  const logits = [0.5, 3, 1, 2.5, -1, 2.5], expected = softmax(logits).map(Math.log);
  const { top } = new Sampler({ ...plain, logitBias: new Map([[4, 100]]) }, 4).next(Float32Array.from(logits));
  assertEquals(top.map(({ token }) => token), [1, 3, 5, 2]);
  for (const { token, logProb } of top) assert(Math.abs(logProb - expected[token]!) < 1e-6);
  assertEquals(new Sampler(plain, 0).next(Float32Array.from(logits)).top, []);
  assertEquals(new Sampler(plain, 20).next(Float32Array.from(logits)).top.length, 6);
});
