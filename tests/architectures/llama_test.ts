// A Llama model written from a checkpoint is the model that the exporters write: the same graph, numbers and tokens.

import { AutoModelForCausalLM, Tensor as HubTensor } from "@huggingface/transformers";
import assert from "node:assert/strict";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import {
  type LlamaConfig,
  llamaGraph,
  llamaInitialWeights,
  packWeights,
  parseLlamaConfig,
  type Weight,
} from "../../shared/architectures/llama.ts";
import { readModel, readTensorBytes } from "../../shared/onnx/read_model.ts";
import { readSafetensors, toFloat32 } from "../../shared/onnx/safetensors.ts";
import { Random } from "../../shared/random.ts";
import { sharedTest } from "../feedback/shared_files.ts";
import { integers, small, withModel } from "./small_models.ts";

const fixtures = ["llama-genai", "llama-untied-genai"];

async function readCheckpoint(folder: string): Promise<{ config: LlamaConfig; weights: Map<string, Weight> }> {
  const path = join(folder, "config.json");
  const config = parseLlamaConfig(JSON.parse(await Deno.readTextFile(path)), path);
  const weights = new Map<string, Weight>();
  for (const [name, tensor] of await readSafetensors(join(folder, "model.safetensors"))) {
    weights.set(name, { shape: tensor.shape, data: toFloat32(tensor) });
  }
  return { config, weights };
}

function emptyCache(config: LlamaConfig, rows: number): Record<string, Tensor> {
  const names = Array.from({ length: config.num_hidden_layers }, (_, i) => [`${i}.key`, `${i}.value`]).flat();
  const dims = [rows, config.num_key_value_heads, 0, config.head_dim!];
  return Object.fromEntries(
    names.map((name) => [`past_key_values.${name}`, new Tensor("float32", new Float32Array(), dims)]),
  );
}

/** Logits of one row fed in chunks of the given sizes through the cache, joined. */
async function inChunks(session: InferenceSession, config: LlamaConfig, ids: number[], sizes: number[]) {
  const logits: number[] = [];
  let cache = emptyCache(config, 1), done = 0;
  for (const size of sizes) {
    const mask = integers(Array(done + size).fill(1), [1, done + size]);
    const chunk = integers(ids.slice(done, done + size), [1, size]);
    const outputs = await session.run({ input_ids: chunk, attention_mask: mask, ...cache });
    logits.push(...outputs["logits"]!.data as Float32Array);
    cache = Object.fromEntries(
      Object.entries(outputs).flatMap(([name, tensor]) =>
        name === "logits" ? [] : [[name.replace("present", "past_key_values"), tensor]]
      ),
    );
    done += size;
  }
  return logits;
}

/** Largest difference, over the largest number. */
function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length);
  let difference = 0, largest = 0;
  for (let i = 0; i < expected.length; i++) {
    difference = Math.max(difference, Math.abs(actual[i]! - expected[i]!));
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return difference / largest;
}

for (const fixture of fixtures) {
  sharedTest(
    `fixtures/${fixture}`,
    `${fixture} written from its checkpoint has PyTorch's logits, whole and cached`,
    async (path) => {
      const { config, weights } = await readCheckpoint(path);
      const golden = JSON.parse(await Deno.readTextFile(join(path, "logits.json")));
      const expected = toFloat32((await readSafetensors(join(path, "logits.safetensors"))).get("logits")!);
      await withModel(config, weights, async (folder) => {
        const session = await InferenceSession.create(join(folder, "onnx/model.onnx"));
        const mask: number[][] = golden.attention_mask, length = mask[0]!.length, rowSize = length * config.vocab_size;
        const both = await session.run({
          input_ids: integers(golden.input_ids.flat(), [2, length]),
          attention_mask: integers(mask.flat(), [2, length]),
          ...emptyCache(config, 2),
        });
        const logits = both["logits"]!.data as Float32Array;
        for (let row = 0; row < 2; row++) {
          const real = mask[row]!.filter((each) => each === 1).length;
          const from = row * rowSize, to = from + real * config.vocab_size;
          assert.ok(distance(logits.subarray(from, to), expected.subarray(from, to)) < 1e-4, `row ${row}`);
        }
        const first = expected.subarray(0, rowSize);
        const cached = await inChunks(session, config, golden.input_ids[0], [21, 1, 1, length - 23]);
        assert.ok(distance(cached, first) < 1e-4, "prefill, two tokens one by one, then a chunk");
        await session.release();
      });
    },
  );

  sharedTest(
    `fixtures/${fixture}`,
    `${fixture} written here generates PyTorch's tokens in transformers.js`,
    async (path) => {
      const { config, weights } = await readCheckpoint(path);
      const { greedy } = JSON.parse(await Deno.readTextFile(join(path, "logits.json")));
      await withModel(config, weights, async (folder) => {
        const model = await AutoModelForCausalLM.from_pretrained(folder, { dtype: "fp32", local_files_only: true });
        const ids: number[] = greedy.prompt_ids;
        const prompt = new HubTensor("int64", BigInt64Array.from(ids.map(BigInt)), [1, ids.length]);
        const mask = new HubTensor("int64", new BigInt64Array(ids.length).fill(1n), [1, ids.length]);
        const options = {
          inputs: prompt,
          attention_mask: mask,
          do_sample: false,
          max_new_tokens: greedy.max_new_tokens,
        };
        const output = await model.generate(options as Parameters<typeof model.generate>[0]) as HubTensor;
        assert.deepEqual([...output.data as BigInt64Array].slice(ids.length).map(Number), greedy.base);
        await model.dispose();
      });
    },
  );

  sharedTest(
    `fixtures/${fixture}`,
    `${fixture}: the graph is the GenAI builder's, the tied head apart`,
    async (path) => {
      const { config, weights } = await readCheckpoint(path);
      const packed = packWeights(config, weights);
      const ours = llamaGraph(config, (name) => packed.get(name)!);
      const theirs = readModel(join(path, "onnx/model.onnx"));
      assert.deepEqual([ours.inputs, ours.outputs, ours.opsets], [theirs.inputs, theirs.outputs, theirs.opsets]);
      const tied = /\/(lm_head|embed_tokens)\//;
      const nodes = (graph: typeof ours) =>
        graph.nodes.filter((node) => !config.tie_word_embeddings || !tied.test(node.name));
      const rounded = ours.nodes.flatMap((node) => [...node.attributes.values()]);
      for (const each of rounded) if (each.kind === "float") each.value = Math.fround(each.value);
      assert.deepEqual(
        nodes(ours).sort((a, b) => a.name < b.name ? -1 : 1),
        nodes(theirs).sort((a, b) => a.name < b.name ? -1 : 1),
      );
      for (const [name, tensor] of theirs.initializers) {
        if (config.tie_word_embeddings && name === "lm_head.MatMul.weight") continue;
        const bytes = (each: typeof tensor) =>
          new Float32Array(readTensorBytes(each, join(path, "onnx")).slice().buffer);
        const mine = ours.initializers.get(name);
        assert.ok(mine, name);
        assert.deepEqual(mine.dims, tensor.dims);
        const apart = distance(bytes(mine), bytes(tensor));
        assert.ok(name.endsWith("_cache") ? apart < 1e-6 : apart === 0, `${name}: ${apart}`);
      }
    },
  );
}

Deno.test("ONNX Runtime transposes a tied table once, at load", async () => {
  await withModel(small, llamaInitialWeights(small, new Random(1)), async (folder) => {
    const optimizedModelFilePath = join(folder, "optimized.onnx");
    const session = await InferenceSession.create(join(folder, "onnx/model.onnx"), { optimizedModelFilePath });
    await session.release();
    const operators = readModel(optimizedModelFilePath).nodes.map((node) => node.operator);
    assert.ok(!operators.includes("Transpose"), `${operators}`);
  });
});
