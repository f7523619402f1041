// A run that is stopped, softly or not, and resumed ends as if nothing had happened.

import { assert, assertEquals, assertMatch, assertNotMatch, assertStrictEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { fixture, fixtureTest, parseLines, readLines, runTask, startTask, succeed, withFolder } from "./run_task.ts";

const model = fixture("llama-genai");
const base = ["--model", model, "--data", `${model}/data.jsonl`, "--batch-size", 4, "--epochs", 20];
const settings = [...base, "--learning-rate", 2e-3, "--held-out", 0.2, "--seed", 3, "--json"];

const adapterBytes = (out: string) => Deno.readFileSync(`${out}/adapter/adapter_model.safetensors`);
/** Metrics without the one that a clock decides. */
const metricsOf = (out: string) => readLines(`${out}/metrics.jsonl`).map(({ tokens_per_second: _, ...line }) => line);
const stepsOf = (out: string) => existsSync(`${out}/metrics.jsonl`) ? readLines(`${out}/metrics.jsonl`).length : 0;
const between = (low: number, high: number) => low + Math.floor(Math.random() * (high - low));

fixtureTest(
  "interrupted, then killed at random moments and resumed, a run ends with the same adapter to the byte",
  async (cache) => {
    const whole = `${cache}/whole`, out = `${cache}/run`;
    const began = performance.now();
    await succeed("train", [...settings, "--out", whole], { cache });
    const took = performance.now() - began, total = stepsOf(whole);
    assert(total >= 40, `only ${total} steps`);

    const early = startTask("train", [...settings, "--out", out], { cache });
    const delay = between(0, took / 2);
    await new Promise((resolve) => setTimeout(resolve, delay));
    early.process.kill("SIGKILL");
    await early.ended;

    const soft = startTask("train", [...settings, "--out", out, "--resume"], { cache });
    const softAt = between(3, 15);
    await soft.sees('"event":"step"', softAt);
    soft.process.kill("SIGINT");
    const { code, stderr, stdout } = await soft.ended;
    assertEquals(code, 130, stderr);
    assertMatch(stderr, /Interrupted after step \d+; go on with the same command and --resume\./);
    assertNotMatch(stderr, / {4}at /);
    parseLines(stdout);
    const reached = Number(/after step (\d+)/.exec(stderr)![1]);
    assertStrictEquals(stepsOf(out), reached);
    assert(existsSync(`${out}/checkpoint/state.safetensors`), "no checkpoint");
    assert(!existsSync(`${out}/adapter`), "an unfinished run left an adapter");

    const killedAt = [];
    for (let kill = 0; kill < 2; kill++) {
      const hard = startTask("train", [...settings, "--out", out, "--resume"], { cache });
      await hard.sees('"event":"step"', between(1, 10));
      hard.process.kill("SIGKILL");
      await hard.ended;
      killedAt.push(stepsOf(out));
      assert(killedAt[kill]! >= reached);
    }

    const last = await succeed("train", [...settings, "--out", out, "--resume"], { cache });
    const moments = `killed after ${delay} ms, stopped at ${reached}, killed at ${killedAt}`;
    assertEquals(parseLines(last.stdout).filter(({ event }) => event === "step").length, total - reached, moments);
    assertEquals(metricsOf(out), metricsOf(whole), moments);
    assertEquals(adapterBytes(out), adapterBytes(whole), moments);
    const auc = (folder: string) => JSON.parse(Deno.readTextFileSync(`${folder}/run.json`)).result.auc;
    assertEquals(auc(out), auc(whole), moments);

    // What is done stays done, and another run's settings do not go on from here.
    await succeed("train", [...settings, "--out", out, "--resume"], { cache });
    assertEquals(adapterBytes(out), adapterBytes(whole));
    const others = [["--learning-rate", 1e-3], ["--seed", 4], ["--data", `${model}/data_standard.jsonl`]];
    const said = [
      /of a run with --learning-rate 0\.002 where this one has --learning-rate 0\.001; /,
      /of a run with --seed 3 where this one has --seed 4(, other rows)?; /,
      /of a run with other rows; /,
    ];
    for (const [i, other] of others.entries()) {
      const { code, stderr } = await runTask("train", [...settings, ...other, "--out", out, "--resume"], { cache });
      assertEquals(code, 2, stderr);
      assertMatch(stderr, said[i]!);
    }
    assertEquals(metricsOf(out), metricsOf(whole), "a refused --resume touched the run");
    assertEquals(adapterBytes(out), adapterBytes(whole));
  },
);

fixtureTest(
  "--resume where there is nothing yet starts from the beginning, and a damaged checkpoint is refused by name",
  async (cache) => {
    const out = `${cache}/run`, short = [...settings, "--max-steps", 2, "--out", out, "--resume"];
    await succeed("train", short, { cache });
    assertEquals(stepsOf(out), 2);
    const path = `${out}/checkpoint/state.safetensors`, bytes = await Deno.readFile(path);
    for (const damaged of [bytes.slice(0, bytes.length / 2), new Uint8Array(100).fill(7), new Uint8Array(0)]) {
      await Deno.writeFile(path, damaged);
      const { code, stderr } = await runTask("train", short, { cache });
      assertEquals(code, 2, stderr);
      assertMatch(stderr, /state\.safetensors/);
      assertNotMatch(stderr, / {4}at /);
    }
  },
);

Deno.test("two signals 50 ms apart are one press: the step is finished and a checkpoint written", async () => {
  await withFolder(async (cache) => {
    const out = `${cache}/run`;
    // The embedded model with steps that take far longer than 50 ms.
    const run = startTask("train", ["--batch-size", 256, "--max-steps", 4, "--out", out, "--json"], { cache });
    await run.sees('"event":"step"', 1);
    run.process.kill("SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 50));
    run.process.kill("SIGINT");
    const { code, stderr } = await run.ended;
    assertEquals(code, 130, stderr);
    assertMatch(stderr, /Interrupted after step \d; go on with the same command and --resume\./);
    assert(existsSync(`${out}/checkpoint/state.safetensors`), "no checkpoint");
  });
});
