// Adapters that PEFT wrote, on every fixture: the generation graph under the adapter gives PEFT's logits and greedy
// tokens, in each spelling of one adapter that PEFT's settings allow. In low precision, where PEFT has no numbers, the
// graph that answers and the graph that trains have to agree. A fixture that is refused says so by its sentence.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { findModel, type OpenModel, openModel } from "../../services/trainer/model.ts";
import { ParameterBlock } from "../../services/trainer/parameters.ts";
import { adapterFeeds, adapterPart, readAdapterOf } from "../../services/trainer/trained_part.ts";
import { compileGeneration, compileScoring } from "../../shared/compiler/compile.ts";
import { microBatchFeeds } from "../../shared/compiler/feeds.ts";
import { head } from "../../shared/compiler/score_head.ts";
import { tree } from "../../shared/compiler/specialize.ts";
import { RefusedModelError } from "../../shared/errors.ts";
import { packRows } from "../../shared/feedback/micro_batch.ts";
import { readSafetensors, toFloat32 } from "../../shared/onnx/safetensors.ts";
import { createReporter } from "../../shared/progress.ts";
import { type Adapter, readAdapter, writeAdapter } from "../../shared/runtime/adapter.ts";
import { sessionOptions } from "../../shared/runtime/session.ts";
import { GenerationGraph } from "../../workers/generation_graph.ts";
import { answerAll } from "../../workers/serving_session.ts";
import { fixture, withFolder } from "../commands/run_task.ts";
import { FIXTURES, sharedTest } from "../feedback/shared_files.ts";
import { floats, ints } from "../compiler/sessions.ts";

interface Batch {
  input_ids: number[][];
  attention_mask: number[][];
  position_ids: number[][];
}

type Feeds = ReturnType<typeof adapterFeeds>;

const open = async (folder: string, dtype: string): Promise<OpenModel> =>
  openModel(await findModel(folder, dtype, createReporter({ json: false })), dtype);

/** The precisions that a folder has, as `--dtype` calls them. */
function dtypesOf(folder: string): string[] {
  const names = {
    "model.onnx": "fp32",
    "model_fp16.onnx": "fp16",
    "model_q4.onnx": "q4",
    "model_quantized.onnx": "q8",
  };
  return Object.entries(names).filter(([file]) => existsSync(join(folder, "onnx", file))).map(([, dtype]) => dtype);
}

/** Logits of the prompt pass of the generation graph, [rows, length, vocabulary] flat. */
async function logitsUnder(model: OpenModel, batch: Batch, adapter: Feeds): Promise<Float32Array> {
  const graph = compileGeneration(model.path, model.folder.config);
  const session = await InferenceSession.create(graph, sessionOptions(join(model.folder.path, "onnx")));
  try {
    const rows = batch.input_ids.length, length = batch.input_ids[0]!.length;
    const feeds: Record<string, Tensor> = {};
    for (const { name, shape, type } of session.inputMetadata.filter((each) => each.isTensor)) {
      if (name.includes(".lora_")) {
        const given = adapter[name];
        const empty = shape.map((size) => typeof size === "number" ? size : 0);
        feeds[name] = given ? floats(given.data, given.shape) : floats([], empty);
      } else if (name.startsWith("past_key_values.")) {
        const dims = shape.map((size, axis) => axis === 0 ? rows : typeof size === "number" ? size : 0);
        const none = type === "float16" ? new Uint16Array(0) : new Float32Array(0);
        feeds[name] = new Tensor(type as "float32", none as Float32Array, dims);
      } else feeds[name] = ints(batch[name as keyof Batch].flat(), [rows, length]);
    }
    const { logits } = await session.run(feeds);
    return Float32Array.from(logits!.data as Float32Array);
  } finally {
    await session.release();
  }
}

/** Largest difference where the mask is 1. */
function worst(actual: Float32Array, expected: Float32Array, mask: number[]): number {
  const vocabulary = expected.length / mask.length;
  assertEquals(actual.length, expected.length);
  return expected.reduce(
    (most, each, i) => mask[Math.floor(i / vocabulary)] === 1 ? Math.max(most, Math.abs(actual[i]! - each)) : most,
    0,
  );
}

/** Runs, or says by which sentence the model was refused. */
async function unlessRefused(what: string, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof RefusedModelError)) throw error;
    console.log(`skipped: ${what} is refused: ${error.message}`);
  }
}

async function goldenLogits(folder: string): Promise<{ batch: Batch; base: Float32Array; lora: Float32Array }> {
  const tensors = await readSafetensors(`${folder}/logits.safetensors`);
  const read = (name: string) => toFloat32(tensors.get(name)!);
  const batch = JSON.parse(await Deno.readTextFile(`${folder}/logits.json`)) as Batch;
  return { batch, base: read("logits"), lora: read("logits_lora") };
}

for (const name of FIXTURES) {
  sharedTest(`fixtures/${name}`, `${name}: PEFT's adapter gives PEFT's logits and greedy tokens`, async (folder) => {
    await unlessRefused(name, async () => {
      const model = await open(folder, "fp32"), { batch, base, lora } = await goldenLogits(folder);
      const feeds = adapterFeeds(await readAdapterOf(model, `${folder}/adapter`));
      const mask = batch.attention_mask.flat();
      assert(worst(await logitsUnder(model, batch, {}), base, mask) <= 1e-4, "the base model's logits");
      const difference = worst(await logitsUnder(model, batch, feeds), lora, mask);
      assert(difference <= 1e-4, `logits under the adapter are off by ${difference}`);

      const { greedy } = JSON.parse(await Deno.readTextFile(`${folder}/golden.json`));
      const graph = await GenerationGraph.open({
        device: "cpu",
        folder: `${folder}/onnx`,
        graph: compileGeneration(model.path, model.folder.config),
        threads: 1,
      });
      const options = { temperature: 0, stopIds: model.tokenizer.eosTokenIds };
      const request = { promptIds: greedy.prompt_ids, seed: 0, maxNewTokens: greedy.max_new_tokens };
      assertEquals(await answerAll({ graph, adapter: graph.adapter(feeds) }, "none", [request], options), [
        greedy.lora,
      ]);
      await graph.release();
    });
  });

  sharedTest(
    `fixtures/${name}`,
    `${name}: in every precision the graph that answers and the graph that trains agree under an adapter`,
    async (folder) => {
      for (const dtype of dtypesOf(folder)) {
        await unlessRefused(`${name} in ${dtype}`, async () => {
          const model = await open(folder, dtype), part = await adapterPart(`${folder}/adapter`, model);
          const { batch } = await goldenLogits(folder), ids = batch.input_ids[0]!;
          const sequence = { promptIds: ids.slice(0, 20), completionIds: ids.slice(20) };
          const compiled = await compileScoring(model.path, model.folder.config, part.trained);
          const policy = new ParameterBlock(compiled.parameters);
          part.fill(policy);
          const packed = packRows([sequence], compiled.tokenMultiple);
          const session = await InferenceSession.create(compiled.scoring, sessionOptions(compiled.folder));
          const results = await session.run({
            ...microBatchFeeds(packed, session.inputNames.includes(tree.ends)),
            ...Object.fromEntries(compiled.parameters.map(({ name, shape }, i) => [
              name,
              floats(policy.views[i]!.slice(), shape),
            ])),
          });
          await session.release();
          const scored = results[head.logProbs]!.data as Float32Array;
          const one = { input_ids: [ids], attention_mask: [ids.map(() => 1)], position_ids: [ids.map((_, i) => i)] };
          const logits = await logitsUnder(model, one, adapterFeeds(part.adapter!));
          const vocabulary = logits.length / ids.length;
          let ours = 0, served = 0;
          sequence.completionIds.forEach((id, i) => {
            const row = logits.subarray((19 + i) * vocabulary, (20 + i) * vocabulary);
            const highest = row.reduce((most, each) => Math.max(most, each), -Infinity);
            const total = row.reduce((sum, each) => sum + Math.exp(each - highest), 0);
            served += row[id]! - highest - Math.log(total);
            ours += scored[i]!;
          });
          const off = Math.abs(ours / served - 1), most = { fp32: 1e-5, fp16: 2e-3, q4: 1e-3, q8: 3e-2 }[dtype]!;
          assert(off <= most, `${dtype}: log-probs ${ours} where the generation graph gives ${served}`);
        });
      }
    },
  );
}

/** One adapter in other words: each changes settings and perhaps matrices, and means the same. */
const spellings: Record<string, (adapter: Adapter) => void> = {
  "a regular expression": ({ config }) =>
    config.target_modules = "model\\.layers\\.(?P<layer>\\d+)\\.(self_attn|mlp)\\.(?:[qkvo]|gate|up|down)_proj",
  "all-linear": ({ config }) => config.target_modules = "all-linear",
  "layer numbers": ({ config }) => config.layers_to_transform = [0, 1],
  "an exclusion": ({ config }) => config.exclude_modules = ["lm_head", "embed_tokens"],
  "rank-stabilised scaling": ({ config }) => {
    config.use_rslora = true;
    config.lora_alpha = 4;
  },
  "another rank by a pattern": ({ config, tensors }) => {
    config.rank_pattern = { "layers.1.mlp.*": 6 };
    config.alpha_pattern = { "mlp.*": 12, "layers.0.mlp.*": 1 };
    // The first pattern that fits decides, so layer 0's MLP has alpha 12 and rank 4: its B is made smaller to fit.
    for (const [name, tensor] of tensors) {
      if (name.includes("layers.0.mlp") && name.includes("lora_B")) {
        tensor.data = tensor.data.map((each) => each * 2 / 3);
      }
      if (!name.includes("layers.1.mlp")) continue;
      const [rows, columns] = tensor.shape as [number, number];
      const wide = name.includes("lora_A") ? [6, columns] as const : [rows, 6] as const;
      const data = new Float32Array(wide[0] * wide[1]);
      tensor.data.forEach((each, i) => data[Math.floor(i / columns) * wide[1] + i % columns] = each);
      tensors.set(name, { shape: [...wide], data });
    }
  },
};

for (const [what, change] of Object.entries(spellings)) {
  sharedTest("fixtures/llama-genai", `an adapter said with ${what} gives the same logits`, async (folder) => {
    const model = await open(folder, "fp32"), { batch, lora } = await goldenLogits(folder);
    const adapter = await readAdapter(`${folder}/adapter`);
    change(adapter);
    await withFolder(async (out) => {
      await writeAdapter(out, adapter);
      const feeds = adapterFeeds(await readAdapterOf(model, out));
      const difference = worst(await logitsUnder(model, batch, feeds), lora, batch.attention_mask.flat());
      assert(difference <= 1e-4, `off by ${difference}`);
    });
  });
}

sharedTest(
  "fixtures/qwen2-genai",
  "an adapter of other hidden sizes, or of other layers, is refused by name",
  async () => {
    const model = await open(fixture("qwen2-genai"), "fp32");
    await withFolder(async (out) => {
      const adapter = await readAdapter(fixture("qwen2-genai") + "/adapter");
      const name = [...adapter.tensors.keys()].find((each) => each.includes("lora_A"))!;
      const { shape } = adapter.tensors.get(name)!;
      adapter.tensors.set(name, {
        shape: [shape[0]!, shape[1]! + 8],
        data: new Float32Array(shape[0]! * (shape[1]! + 8)),
      });
      await writeAdapter(out, adapter);
      const error = await assertRejects(() => readAdapterOf(model, out), Error);
      assertMatch(
        error.message,
        /is of another model than .*qwen2-genai: .* is \[4,136\], the layer has 128 inputs/,
      );
    });
    const gpt2 = `${fixture("gpt2-optimum")}/adapter`;
    assertMatch(
      String(await assertRejects(() => readAdapterOf(model, gpt2))),
      /no layer transformer\.h\.0\.\S+; use it with .* trained on \(its config names gpt2\)/,
    );
  },
);
