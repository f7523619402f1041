// `bench train` as a user runs it, with tiny settings: that every table is there and means what it says. How fast
// anything is, no test asks.

import { assert, assertEquals, assertMatch, assertNotEquals, assertNotMatch, assertStrictEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { nodeFlops } from "../../services/trainer/bench/flops.ts";
import { countedAgain } from "../../services/trainer/bench/memory.ts";
import { countTokens, syntheticRows } from "../../services/trainer/bench/rows.ts";
import { linearLayers } from "../../shared/compiler/linear_layers.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { openModelFolder } from "../../shared/runtime/model_folder.ts";
import { sharedTest, withFile } from "../feedback/shared_files.ts";

const script = fileURLToPath(new URL("../../scripts/bench.ts", import.meta.url));

async function bench(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const command = new Deno.Command(Deno.execPath(), { args: ["run", "--allow-all", script, ...args] });
  const { code, stdout, stderr } = await command.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

/** A peer that checks what it was told and makes its numbers up. */
const peer = `
const request = JSON.parse(Deno.readTextFileSync(Deno.args[0]));
Deno.statSync(request.model + "/model.safetensors");
const { rows, batch_size, warmup_steps, steps, lora_rank, lora_alpha, beta, threads } = request;
if (rows.length !== batch_size * (warmup_steps + steps)) throw new Error("rows");
if (!rows.every(({ prompt_ids, completion_ids }) => prompt_ids.length > 0 && completion_ids.length > 0)) throw new Error("ids");
if (rows.filter(({ label }) => label).length !== rows.length / 2) throw new Error("labels");
if (lora_rank !== 8 || lora_alpha !== 16 || beta !== 0.1 || threads !== 1) throw new Error("settings");
console.log("a library says hello");
for (const precomputed of [true, false]) {
  const line = { name: "Peer", precomputed, tokens_per_second: 1e-3, seconds_per_step: 2, peak_bytes: 1e12 };
  console.log(JSON.stringify(line));
}`;

Deno.test("bench alone lists the benches, and an unknown one is refused", async () => {
  const listed = await bench();
  assertEquals(listed.code, 0);
  assertMatch(listed.out, /^ {2}train .*a training step/m);
  assertNotMatch(listed.out, /job/);
  const unknown = await bench("nothing");
  assertEquals(unknown.code, 2);
  assertMatch(unknown.err, /There is no bench "nothing"/);
});

Deno.test("unusable settings are refused by the name of their flag", async () => {
  const { code, err } = await bench("train", "--batch-size", "1");
  assertEquals(code, 2);
  assertMatch(err, /^--batch-size cannot be 1: /m);
});

sharedTest("fixtures/llama-genai", "bench train prints ours, the peer, their ratios and all growth", async (model) => {
  await withFile(peer, async (file) => {
    const command = `${Deno.execPath()} run --allow-read ${file}`;
    const { code, out, err } = await bench("train", "--quick", "--model", model, "--workers", "1", "--peer", command);
    assertStrictEquals(code, 0, err);
    const row = (name: string) => new RegExp(`^${name}( +[\\d.,]+){2} +\\d+ MB`, "m");
    assertMatch(out, row("Prospect, reference precomputed"));
    assertMatch(out, row("Prospect, reference scored in the step"));
    assertMatch(out, /^Peer, reference precomputed +0.001 +2 +1000.00 GB/m);
    assertMatch(out, /^Peer, reference scored in the step +[\d.,]+× +0.\d+×$/m);
    assertMatch(out, /That is \d+% of the [\d.,]+ GFLOP\/s .* on 1 thread\./);
    for (
      const [title, values] of [["sequence length", [16, 32]], ["batch", [2, 4]], ["workers", [1, 2]]] as const
    ) {
      assertMatch(out, new RegExp(`^growth with ${title} +tokens/s +s/step +peak memory$`, "m"));
      for (const value of values) assertMatch(out, row(`${value}`));
    }
    assertMatch(err, /steps: \d+\/\d+ steps/);
  }, ".ts");
});

sharedTest(
  "fixtures/llama-genai",
  "a peer that answers nonsense, fails or is not there ends with code 2",
  async (model) => {
    const quick = ["train", "--quick", "--no-growth", "--model", model, "--workers", "1", "--peer"];
    const missing = await bench(...quick, "/no/such/peer");
    assertEquals(missing.code, 2);
    assertMatch(missing.out, /^Prospect, reference precomputed/m);
    assertMatch(missing.err, /--peer: \/no\/such\/peer cannot be run/);
    await withFile(`console.log('{"name":"x"}')`, async (file) => {
      const { code, err } = await bench(...quick, `${Deno.execPath()} run ${file}`);
      assertEquals(code, 2);
      assertMatch(err, /printed {"name":"x"}; see --help/);
    }, ".ts");
  },
);

sharedTest(
  "fixtures/llama-genai",
  "with --json the result is one event, and its operations are those of a step",
  async (model) => {
    const { code, out, err } = await bench(
      "train",
      "--quick",
      "--no-growth",
      "--model",
      model,
      "--workers",
      "1",
      "--json",
    );
    assertStrictEquals(code, 0, err);
    const events = out.trim().split("\n").map((line) => JSON.parse(line));
    assertEquals([...new Set(events.map(({ event }) => event))], ["progress", "bench"]);
    const { measurements, gemm, growth } = events.at(-1);
    assertEquals(measurements.map(({ precomputed }: { precomputed: boolean }) => precomputed), [true, false]);
    assertEquals(growth, []);
    const folder = openModelFolder(model);
    const weights = linearLayers(readModel(folder.onnxFile("fp32")), folder.config)
      .reduce((sum, { inSize, outSize }) => sum + inSize * outSize, 0);
    // Forward for (x, y'), forward and backward for (x, y), on 4 rows of 32 tokens; attention, head and padding on top.
    const least = 2 * 3 * weights * 4 * 32 * 0.8;
    assert(gemm.step_flops > least && gemm.step_flops < 5 * least, `${gemm.step_flops} against ${least}`);
  },
);

Deno.test("a product has two operations per multiply-add, whatever is transposed or batched", () => {
  const node = (op_name: string, inputs: number[][], output: number[]) =>
    nodeFlops({
      args: {
        op_name,
        input_type_shape: inputs.map((float) => ({ float })),
        output_type_shape: [{ float: output }],
      },
    });
  assertStrictEquals(node("MatMul", [[3, 32, 64], [64, 128]], [3, 32, 128]), 2 * 3 * 32 * 64 * 128);
  assertStrictEquals(node("MatMul", [[2, 4, 8, 16], [2, 4, 16, 8]], [2, 4, 8, 8]), 2 * 8 * 8 * 16 * 8);
  assertStrictEquals(node("Gemm", [[96, 64], [96, 8]], [64, 8]), 2 * 96 * 64 * 8);
  assertStrictEquals(node("GroupQueryAttention", [[1, 10, 64]], [1, 10, 64]), 2 * 2 * 10 * 10 * 64);
  assertStrictEquals(node("Mul", [[96, 64], [96, 64]], [96, 64]), 0);
});

Deno.test("only what several mappings of the model's files share is counted as counted again", () => {
  const mapping = (range: string, path: string, rss: number, pss: number) =>
    `${range} r--p 00000000 fe:00 1234   ${path}\nSize:   999 kB\nRss:    ${rss} kB\nPss:    ${pss} kB\n`;
  const smaps = mapping("7f00-7f10", "/models/a/onnx/model.onnx", 100, 50) +
    mapping("7f20-7f30", "/models/a/onnx/model.onnx", 100, 50) +
    mapping("7f40-7f50", "/models/another/model.onnx", 10, 5) + mapping("7f60-7f70", "", 300, 300);
  assertStrictEquals(countedAgain(smaps, "/models/a/onnx"), 100 * 1024);
});

Deno.test("made-up rows are the same for the same seed, near the length asked for, and of both classes", () => {
  const shape = { rows: 200, tokens: 190, vocabulary: 500, seed: 3 };
  const rows = syntheticRows(shape);
  assertEquals(rows, syntheticRows(shape));
  assertNotEquals(rows, syntheticRows({ ...shape, seed: 4 }));
  assert(Math.abs(countTokens(rows) / 200 - 190) < 10);
  assertEquals(rows.filter(({ label }) => label).length, 100);
  assert(rows.every(({ promptIds, completionIds }) => [...promptIds, ...completionIds].every((id) => id < 500)));
});
