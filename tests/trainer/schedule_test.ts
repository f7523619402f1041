import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { learningRateAt, type Schedule, SCHEDULES } from "../../services/trainer/schedule.ts";

const fixtures = new URL("../../../shared/fixtures/", import.meta.url).pathname;

function rates(schedule: Schedule, warmupSteps: number, totalSteps: number, learningRate = 0.01): number[] {
  return Array.from(
    { length: totalSteps },
    (_, step) => learningRateAt(step, { schedule, learningRate, warmupSteps, totalSteps }),
  );
}

function assertClose(actual: number[], expected: number[]): void {
  assertEquals(actual.length, expected.length);
  actual.forEach((rate, step) => {
    assert(Math.abs(rate - expected[step]!) <= 1e-12, `step ${step}: ${rate} but ${expected[step]}`);
  });
}

Deno.test("the rates are those that TRL's runs used", async () => {
  const golden = await Deno.readTextFile(`${fixtures}llama-genai/golden.json`).then(JSON.parse).catch(() => undefined);
  if (golden === undefined) return console.log("skipped: no fixtures");
  const used = golden.trajectory.steps.map((step: { lr_used: number }) => step.lr_used);
  assertClose(rates("linear", 0, 6), used);
  assertClose(rates("cosine", 1, 4), golden.trajectory_accum.lr_used);
});

Deno.test("warm-up rises from 0 in equal steps, whatever follows it", () => {
  for (const schedule of SCHEDULES) {
    assertClose(rates(schedule, 4, 10, 1).slice(0, 5), [0, 0.25, 0.5, 0.75, 1]);
  }
  assertClose(rates("constant", 2, 5, 1), [0, 0.5, 1, 1, 1]);
  assertClose(rates("linear", 2, 6, 1), [0, 0.5, 1, 0.75, 0.5, 0.25]);
});

Deno.test("a run that goes on beyond its plan, or is all warm-up, never gets a negative or rising rate", () => {
  for (const schedule of ["linear", "cosine"] as const) {
    const options = { schedule, learningRate: 1, warmupSteps: 2, totalSteps: 6 };
    for (const step of [6, 7, 20]) assertStrictEquals(learningRateAt(step, options), 0);
    assertEquals(learningRateAt(3, { ...options, warmupSteps: 6 }), 0.5);
  }
});
