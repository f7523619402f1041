// A checkpoint imported here is the model that PyTorch runs and that the exporters write: the same logits whole and
// through the cache, the same tokens in unmodified transformers.js, the same graph, the same LoRA gradients.

import { AutoTokenizer } from "@huggingface/transformers";
import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { gradientName } from "../../shared/compiler/compile.ts";
import { type Graph, inlineNumbers } from "../../shared/onnx/graph.ts";
import { readTensorBytes } from "../../shared/onnx/external_data.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { readSafetensors, toFloat32 } from "../../shared/onnx/safetensors.ts";
import {
  ktoFeeds,
  loraFeeds,
  loraOf,
  packRows,
  readFixture,
  transposed,
  withCompiled,
} from "../compiler/golden_runs.ts";
import { sharedTest } from "../feedback/shared_files.ts";
import { distance, generate, StockModel, withImported } from "./imported_models.ts";

const fixtures = ["llama-genai", "llama-untied-genai", "qwen2-genai", "gemma3-genai"];

for (const fixture of fixtures) {
  const test = (sentence: string, run: (fixture: string) => Promise<void>) =>
    sharedTest(`fixtures/${fixture}`, `${fixture} imported ${sentence}`, run);

  test("has PyTorch's logits, whole and through the cache", async (path) => {
    const golden = JSON.parse(await Deno.readTextFile(join(path, "logits.json")));
    const expected = toFloat32((await readSafetensors(join(path, "logits.safetensors"))).get("logits")!);
    await withImported(path, async (folder) => {
      await using model = await StockModel.open(folder);
      const mask: number[][] = golden.attention_mask, rowSize = expected.length / 2;
      const logits = await model.whole(golden.input_ids, mask);
      mask.forEach((each, row) => {
        const from = row * rowSize, to = from + rowSize * each.filter((one) => one === 1).length / each.length;
        assert(distance(logits.subarray(from, to), expected.subarray(from, to)) < 1e-5, `row ${row}`);
      });
      const pieces = await model.inPieces(golden.input_ids[0], [21, 1, 1]);
      assert(
        distance(pieces, expected.subarray(0, rowSize)) < 1e-5,
        "prefill, two tokens one by one, then the rest",
      );
    });
  });

  test("generates PyTorch's tokens in transformers.js", async (path) => {
    const { greedy } = JSON.parse(await Deno.readTextFile(join(path, "logits.json")));
    await withImported(path, async (folder) => {
      assertEquals(await generate(folder, greedy.prompt_ids, greedy.max_new_tokens), greedy.base);
    });
  });

  test("is the GenAI builder's graph, where the table lies apart", async (path) => {
    await withImported(path, (folder) => {
      const ours = readModel(join(folder, "onnx/model.onnx")), theirs = readModel(join(path, "onnx/model.onnx"));
      assertEquals([ours.inputs, ours.outputs, ours.opsets], [theirs.inputs, theirs.outputs, theirs.opsets]);
      const tied = !theirs.initializers.has("model.embed_tokens.weight");
      const place = /\/(lm_head|embed_tokens)\/(Gather|Transpose|MatMul)$/;
      // The builder leaves an unlimited window unsaid for some families.
      const nodes = (graph: Graph) =>
        graph.nodes.filter(({ name }) => !tied || !place.test(name)).map((node) => {
          const attributes = [...node.attributes].filter(([name, { value }]) =>
            name !== "local_window_size" || value !== -1
          );
          return { ...node, attributes: attributes.sort() };
        }).sort((a, b) => a.name < b.name ? -1 : 1);
      assertEquals(nodes(ours), nodes(theirs));
      const numbers = (graph: Graph, name: string, root: string) => {
        const tensor = graph.initializers.get(name)!;
        return inlineNumbers(tensor) ?? new Float32Array(readTensorBytes(tensor, join(root, "onnx")).slice().buffer);
      };
      for (const [name, { dims }] of theirs.initializers) {
        if (tied && name === "lm_head.MatMul.weight") continue;
        assertEquals(ours.initializers.get(name)?.dims, dims, name);
        const apart = distance(numbers(ours, name, folder), numbers(theirs, name, path));
        assert(/_cache/.test(name) ? apart < 1e-6 : apart === 0, `${name}: ${apart}`);
      }
    });
  });

  test("gives TRL's LoRA gradients under PEFT's names", async (path) => {
    const fixture = await readFixture(path);
    await withImported(path, async (folder) => {
      const imported = { ...fixture, model: join(folder, "onnx/model.onnx") };
      const { beta, desirable_weight, undesirable_weight, batches } = fixture.golden.kto["kto_beta0.1"]!;
      await withCompiled(imported, loraOf(fixture), { kind: "kto", beta }, async (compiled, scoring, gradient) => {
        const names = compiled.parameters.map(({ name }) => name);
        assertEquals(names.toSorted(), [...fixture.adapter.keys()].sort());
        const rows = fixture.golden.tokens.rows.slice(0, 4), batch = batches[0]!;
        const { feeds, rowOf } = packRows(
          rows.map(({ prompt_ids, completion_ids }) => {
            return { ids: [...prompt_ids, ...completion_ids], scored: completion_ids.length };
          }),
        );
        const reference = (await scoring.run({ ...feeds, ...loraFeeds(compiled) }))["log_probs"]!;
        const results = await gradient.run({
          ...feeds,
          ...loraFeeds(compiled, fixture.adapter),
          ...ktoFeeds(batch.label, rowOf, batch.kl, desirable_weight, undesirable_weight),
          reference_log_probs: reference,
        });
        for (const name of names) {
          const expected = transposed(fixture.tensors.get(`kto_beta0.1/batch0/grad/${name}`)!);
          const apart = distance(results[gradientName(name)]!.data as Float32Array, expected.data);
          assert(apart < 1e-4, `${name} is off by ${apart}`);
        }
      });
    });
  });
}

sharedTest(
  "models/stories260K",
  "stories260K imported, whose heads of 8 turn outside the attention, is optimum's export: logits and story",
  async (path) => {
    await withImported(path, async (folder) => {
      const tokenizer = await AutoTokenizer.from_pretrained(path, { local_files_only: true });
      const encode = (text: string) => [...tokenizer(text).input_ids.data as BigInt64Array].map(Number);
      const ids = encode("Once upon a time, there was a little girl named Lily. She loved to play outside");
      await using ours = await StockModel.open(folder);
      await using theirs = await StockModel.open(path);
      const expected = await theirs.whole([ids]);
      assert(distance(await ours.whole([ids]), expected) < 1e-5);
      assert(distance(await ours.inPieces(ids, [5, 1, 1]), expected) < 1e-5);
      const prompt = ids.slice(0, 5);
      assertEquals(await generate(folder, prompt, 60), await generate(path, prompt, 60));
    });
  },
);
