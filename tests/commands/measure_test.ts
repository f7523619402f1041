// `deno task score`, `evaluate` and `generate` as processes: what they print and write, against TRL's numbers.

import {
  assert,
  assertEquals,
  assertMatch,
  assertNotMatch,
  assertNotStrictEquals,
  assertStrictEquals,
} from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { findModel, openModel } from "../../services/trainer/model.ts";
import { Builder } from "../../shared/onnx/builder.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { writeModel } from "../../shared/onnx/write_model.ts";
import { createReporter } from "../../shared/progress.ts";
import { embeddedFeedback } from "../../shared/runtime/embedded_model.ts";
import { copyFolder, fixture, fixtureTest, readLines, runTask, startTask, succeed, withFolder } from "./run_task.ts";

const model = fixture("llama-genai"), data = `${model}/data.jsonl`;
const golden = () => JSON.parse(Deno.readTextFileSync(`${model}/golden.json`));
interface Score {
  index: number;
  log_prob: number;
  tokens: number;
  cached: boolean;
}

/** Log-probs under the fixture's adapter, which no batch of the goldens has trained yet. */
const policyLogProbs = (): number[] =>
  golden().kto["kto_beta0.1"].batches.flatMap((batch: { completion_logps: number[] }) => batch.completion_logps);

function near(actual: number[], expected: number[], tolerance: number, what: string): void {
  assertEquals(actual.length, expected.length, what);
  actual.forEach((value, i) =>
    assert(Math.abs(value - expected[i]!) <= tolerance, `${what}, ${i}: ${value} and ${expected[i]}`)
  );
}

fixtureTest(
  "score writes a line per row, from the cache where it can, and under an adapter without it",
  async (cache) => {
    const out = `${cache}/scores.jsonl`, args = ["--model", model, "--data", data, "--out", out];
    const read = () => readLines<Score>(out);
    const completions = golden().tokens.rows.map(({ completion_ids }: { completion_ids: number[] }) =>
      completion_ids.length
    );
    for (const cached of [false, true]) {
      const { stdout } = await succeed("score", args, { cache });
      assertMatch(stdout, /12 rows, \d+ tokens/);
      const scores = read();
      for (const line of scores) assertEquals(Object.keys(line), ["index", "log_prob", "tokens", "cached"]);
      assertEquals(scores.map(({ index }) => index), Array.from({ length: 12 }, (_, i) => i));
      assertEquals(scores.map(({ tokens }) => tokens), completions);
      assert(scores.every((score) => score.cached === cached));
      near(scores.map(({ log_prob }) => log_prob), golden().ref_logps, 1e-4, "reference");
    }
    for (const _ of ["first", "second"]) {
      await succeed("score", [...args, "--adapter", `${model}/adapter`], { cache });
      assert(read().every(({ cached }) => !cached));
      near(read().map(({ log_prob }) => log_prob), policyLogProbs(), 2e-4, "policy");
    }
  },
);

Deno.test("a kill of score costs no more than the rows since the last 256", async () => {
  await withFolder(async (cache) => {
    const args = ["--data", embeddedFeedback, "--out", `${cache}/scores.jsonl`];
    const { process, ended } = startTask("score", args, { cache });
    const kept = () => {
      try {
        using database = new DatabaseSync(`${cache}/reference.sqlite`, { readOnly: true });
        return Number(database.prepare("SELECT count(*) AS rows FROM reference").get()!.rows);
      } catch {
        return 0;
      }
    };
    while (kept() === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    process.kill("SIGKILL");
    const { code, stderr } = await ended;
    assertNotStrictEquals(code, 0, stderr);
    assert(kept() >= 200, `${kept()} rows are in the cache`);
  });
});

fixtureTest("a model that the compiler refuses is scored by transformers.js, and score says so", async (cache) => {
  const changed = `${cache}/routed`, path = `${changed}/onnx/model.onnx`, out = `${cache}/scores.jsonl`;
  await copyFolder(model, changed);
  const graph = readModel(path, { inlineLimit: Infinity });
  // Logits times the largest of (1, 1/2): an operator that routing among experts uses, and that changes nothing.
  const build = new Builder(graph, "routed");
  for (const node of graph.nodes) node.outputs = node.outputs.map((output) => output === "logits" ? "raw" : output);
  const bytes = new Uint8Array(Float32Array.of(1, 0.5).buffer);
  graph.initializers.set("pair", { name: "pair", dataType: "float32", dims: [2], data: { kind: "inline", bytes } });
  const [most] = build.operators("TopK", ["pair", build.ints([1])], 2);
  build.operator("Mul", ["raw", most!], {}, { output: "logits" });
  await Deno.writeFile(path, writeModel(graph));
  const args = ["--model", changed, "--data", data, "--out", out];
  const { stderr } = await succeed("score", args, { cache });
  assertMatch(stderr, /TopK.*Scoring with transformers\.js instead/);
  const scores = readLines<Score>(out);
  assertEquals(scores.length, 12);
  near(scores.map(({ log_prob }) => log_prob), golden().ref_logps, 1e-4, "reference");
  const again = await succeed("score", args, { cache });
  assertNotMatch(again.stderr, /transformers\.js/, "all is in the cache, so nothing was scored");
  assertEquals(readLines<Score>(out), scores.map((score) => ({ ...score, cached: true })));
  // An adapter has no place in stock logits, and training needs the compiler.
  for (const more of [["score", "--adapter", `${model}/adapter`], ["train"]] as const) {
    const { code, stderr } = await runTask(more[0], [...args, ...more.slice(1)], { cache });
    assertEquals(code, 2, stderr);
    assertMatch(stderr, /TopK/);
  }
});

fixtureTest("evaluate reports AUC, margin, class means and counts as the log-probs have them", async (cache) => {
  const args = ["--model", model, "--data", data, "--json"];
  const evaluate = async (...more: string[]) => {
    const { stdout } = await succeed("evaluate", [...args, ...more], { cache });
    assertEquals(stdout.trim().split("\n").length, 1, "not one line");
    return JSON.parse(stdout);
  };
  const result = await evaluate("--adapter", `${model}/adapter`);
  assertEquals(Object.keys(result).toSorted(), ["auc", "counts", "margin", "rewards"]);
  assertEquals(result.counts, { desirable: 7, undesirable: 5 });
  const policy = policyLogProbs(), reference: number[] = golden().ref_logps;
  const labels: boolean[] = golden().tokens.rows.map(({ label }: { label: boolean }) => label);
  const rewards = policy.map((value, i) => 0.1 * (value - reference[i]!));
  const [up, down] = [true, false].map((label) => rewards.filter((_, i) => labels[i] === label)) as [
    number[],
    number[],
  ];
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  near([result.rewards.chosen, result.rewards.rejected], [mean(up), mean(down)], 1e-4, "rewards");
  near([result.margin], [mean(up) - mean(down)], 1e-4, "margin");
  const won = up.flatMap((a) => down.map((b) => a > b ? 1 : a === b ? 0.5 : 0));
  near([result.auc.value], [mean(won)], 1e-9, "AUC");
  assert(result.auc.low <= result.auc.value && result.auc.value <= result.auc.high);

  const base = await evaluate();
  assertEquals(base.rewards, { chosen: 0, rejected: 0 }, "the base model is its own reference");
  assertStrictEquals(base.margin, 0);
  assertEquals(base.auc.value, 0.5);

  const { stdout, stderr } = await succeed("evaluate", [...args.slice(0, -1), "--adapter", `${model}/adapter`], {
    cache,
  });
  assertMatch(stderr, /^policy: 12\/12 rows/m);
  assertMatch(stdout, /Rows: 7 desirable, 5 undesirable\./);
});

fixtureTest(
  "generate prints the model's own greedy answer, the adapter's with one, and draws by its seed",
  async (cache) => {
    const { greedy } = golden(),
      { tokenizer } = openModel(await findModel(model, "fp32", createReporter({ json: false })), "fp32");
    const args = [
      "--model",
      model,
      "--prompt",
      "What is the capital of France?",
      "--max-new-tokens",
      greedy.max_new_tokens,
    ];
    const generate = async (...more: (string | number)[]) =>
      (await succeed("generate", [...args, ...more], { cache })).stdout;
    const text = (ids: number[]) => tokenizer.decode(ids, { skipSpecialTokens: true }).trim() + "\n";
    const adapter = ["--adapter", `${model}/adapter`];
    const hot = (seed: number) => generate("--temperature", 1, "--seed", seed);
    const [base, tuned, one, same, two] = await Promise.all([generate(), generate(...adapter), hot(1), hot(1), hot(2)]);
    assertStrictEquals(base, text(greedy.base));
    assertStrictEquals(tuned, text(greedy.lora));
    assertStrictEquals(same, one);
    assertNotStrictEquals(two, one);
  },
);
