// What the newest exporters write otherwise, in the graphs that are compiled from their files: sizes of caches, scales of
// products in float16 files, attention that the CPU's kernel refuses. What comes of it in training is in tests/exports.

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Tensor } from "onnxruntime-node";
import { withWholeFolder } from "../../services/trainer/survey/whole_folder.ts";
import { compileBaseGeneration, compileGeneration } from "../../shared/compiler/compile.ts";
import { widenScales } from "../../shared/compiler/kernel_scales.ts";
import type { AttentionSizes } from "../../shared/compiler/linear_layers.ts";
import { readLowPrecision, refuseUnread } from "../../shared/compiler/low_precision.ts";
import { keepMapped } from "../../shared/compiler/weight_reads.ts";
import { type Graph, producers } from "../../shared/onnx/graph.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { readFeedback } from "../../shared/feedback/read.ts";
import { tokenizeRows } from "../../shared/feedback/tokenize.ts";
import { loadChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";
import { openModelFolder } from "../../shared/runtime/model_folder.ts";
import { ints, sessionFor } from "./sessions.ts";

const folder = fileURLToPath(new URL("../exports/llama32-genai/onnx", import.meta.url));
const config: AttentionSizes = JSON.parse(await Deno.readTextFile(`${folder}/../config.json`));
const file = (name: string) => `${folder}/${name}.onnx`;

/** ONNX bytes as a graph. */
async function read(bytes: Uint8Array): Promise<Graph> {
  const path = await Deno.makeTempFile({ dir: folder, suffix: ".tmp" });
  try {
    await Deno.writeFile(path, bytes);
    return readModel(path);
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("a cache whose head size has but a name in the file has a number in the graphs that answer", async () => {
  const named = readModel(file("model_q4")).inputs.filter(({ name }) => name.startsWith("past_"));
  assert(named.length === 4 && named.every(({ shape }) => shape[3] === "kv_cache_dim"));
  for (const graph of [compileBaseGeneration(file("model_q4")), compileGeneration(file("model_q4"), config)]) {
    const inputs = (await read(graph)).inputs.filter(({ name }) => name.startsWith("past_"));
    assertEquals(inputs.map(({ shape }) => shape.slice(1)), named.map(() => [1, "past_sequence_length", 16]));
  }
  const session = await sessionFor(compileBaseGeneration(file("model_q4")), folder);
  const empty = named.map(({ name }) => [name, new Tensor("float32", new Float32Array(0), [1, 1, 0, 16])]);
  const { logits } = await session.run({
    input_ids: ints([5, 6], [1, 2]),
    attention_mask: ints([1, 1], [1, 2]),
    ...Object.fromEntries(empty),
  });
  assertEquals(logits!.dims, [1, 2, 512]);
  await session.release();
});

Deno.test("4-bit products of a float16 file have constant scales of float32, so that ONNX Runtime packs them", () => {
  const stored = readModel(file("model_q4f16")).initializers;
  const opened = readModel(file("model_q4f16"));
  readLowPrecision(opened, file("model_q4f16"));
  widenScales(opened, folder);
  const graph = keepMapped(opened), writer = producers(graph);
  const products = graph.nodes.filter(({ operator }) => operator === "MatMulNBits");
  assertEquals(products.length, 11);
  for (const { name, inputs: [, weight, scale] } of products) {
    assertEquals(writer.get(scale!), undefined, `${name}: its scales are computed`);
    assertEquals(graph.initializers.get(scale!)?.dataType, "float32");
    assertEquals(stored.get(scale!.replace("/widened", ""))?.dataType, "float16");
    // An input with a default value would not be packed.
    for (const value of [weight, scale]) {
      assert(!graph.inputs.some((input) => input.name === value), `${name}: ${value}`);
    }
  }
});

Deno.test("8-bit products with scales of float16, which builders mix with 4-bit ones, are read", () => {
  const graph = readModel(file("model_q4f16")),
    product = graph.nodes.find(({ operator }) => operator === "MatMulNBits")!;
  product.attributes.set("bits", { kind: "int", value: 8 });
  assertEquals(graph.initializers.get(product.inputs[2]!)?.dataType, "float16");
  refuseUnread(graph, "model.onnx");
});

for (const [model, name] of [["qwen3-genai", "model_q4f16"], ["gemma2-genai", "model_q4"]] as const) {
  Deno.test(`${model}/${name}, which the CPU's kernel refuses as it is, answers with its oracle's log-probs`, async () => {
    const root = join(folder, "../..", model), path = `${root}/onnx/${name}.onnx`;
    const { tokenizer, read } = await withWholeFolder(root, async (whole) => ({
      tokenizer: loadChatTokenizer(openModelFolder(whole)),
      read: (await readFeedback(`${whole}/data.jsonl`)).rows[0],
    }));
    const { rows: [row] } = tokenizeRows([read!], tokenizer, { maxLength: 1024, dropDuplicates: false });
    const { promptIds, completionIds } = row!, ids = [...promptIds, ...completionIds];
    const inputs = readModel(path).inputs.filter((input) => input.name.startsWith("past_"));
    const session = await sessionFor(compileBaseGeneration(path), `${root}/onnx`);
    const { logits } = await session.run({
      input_ids: ints(ids, [1, ids.length]),
      attention_mask: ints(ids.map(() => 1), [1, ids.length]),
      ...Object.fromEntries(
        inputs.map((input) => [input.name, new Tensor("float32", new Float32Array(0), [1, 1, 0, 16])]),
      ),
    });
    await session.release();
    const data = logits!.data as Float32Array, vocabulary = logits!.dims[2]!;
    const sum = completionIds.reduce((total, id, i) => {
      const start = (promptIds.length + i - 1) * vocabulary, scores = data.subarray(start, start + vocabulary);
      return total + scores[id]! - Math.log(scores.reduce((all, each) => all + Math.exp(each), 0));
    }, 0);
    const expected = JSON.parse(await Deno.readTextFile(`${root}/log_probs.json`))[name][0];
    assert(Math.abs(sum / expected - 1) < (name === "model_q4" ? 1e-3 : 1e-2), `${sum}, stock ${expected}`);
  });
}
