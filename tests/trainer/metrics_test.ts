import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { stepMetrics } from "../../services/trainer/metrics.ts";

const fixtures = new URL("../../../shared/fixtures/", import.meta.url).pathname;
const numbers = { step: 1, epoch: 0.5, loss: 0.5, kl: 0, gradNorm: 1, learningRate: 0.01, tokensPerSecond: 100 };

Deno.test("the means are those that TRL logs for the same rows", async () => {
  const golden = await Deno.readTextFile(`${fixtures}llama-genai/golden.json`).then(JSON.parse).catch(() => undefined);
  if (golden === undefined) return console.log("skipped: no fixtures");
  for (const [name, beta] of [["kto_beta0.1", 0.1], ["kto_beta0.5", 0.5]] as const) {
    for (const batch of golden.kto[name].batches) {
      const metrics = stepMetrics({
        ...numbers,
        beta,
        logProbs: batch.completion_logps,
        referenceLogProbs: batch.ref_logps,
        desirable: batch.label,
      });
      for (const key of ["rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected"]) {
        const [ours, theirs] = [metrics[key as keyof typeof metrics]!, batch.trl_metrics[key]];
        // TRL leaves a key out when the batch lacks the class.
        if (theirs === undefined) assertEquals(ours, null, key);
        else {assert(
            Math.abs(ours - theirs) < 1e-5 * Math.max(1, Math.abs(theirs)),
            `${key}: ${ours}, TRL ${theirs}`,
          );}
      }
    }
  }
});

Deno.test("a class that the batch lacks is null, not 0 and not NaN", () => {
  const metrics = stepMetrics({
    ...numbers,
    beta: 0.1,
    logProbs: new Float32Array([-3, -5]),
    referenceLogProbs: new Float64Array([-4, -4]),
    desirable: [true, true],
  });
  assertStrictEquals(metrics["rewards/chosen"], 0);
  assertEquals(metrics["logps/chosen"], -4);
  assertEquals(metrics["rewards/rejected"], null);
  assertEquals(metrics["rewards/margins"], null);
  assertEquals(metrics["logps/rejected"], null);
});

Deno.test("rows that do not line up are refused", () => {
  const rows = { logProbs: [-1, -2], referenceLogProbs: [-1], desirable: [true, false] };
  assertThrows(() => stepMetrics({ ...numbers, beta: 0.1, ...rows }), RangeError);
});
