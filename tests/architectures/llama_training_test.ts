// A new Llama model is one that the compiler can train, every weight of it.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import {
  llamaGraph,
  llamaInitialWeights,
  packWeights,
  unpackWeights,
  type Weights,
} from "../../shared/architectures/llama.ts";
import { compileTraining, gradientName, type Trained } from "../../shared/compiler/compile.ts";
import { microBatchFeeds } from "../../shared/compiler/feeds.ts";
import { packRows } from "../../shared/feedback/micro_batch.ts";
import { linearLayers } from "../../shared/compiler/linear_layers.ts";
import { Random } from "../../shared/random.ts";
import { sessionOptions } from "../../shared/runtime/session.ts";
import { small, withModel } from "./small_models.ts";

/** Not deepEqual: where weights differ, its report takes minutes. */
function assertSameWeights(actual: Weights, expected: Weights): void {
  assertEquals([...actual.keys()], [...expected.keys()]);
  for (const [name, { shape, data }] of expected) {
    const other = actual.get(name)!;
    assertEquals(other.shape, shape, name);
    assert(other.data.length === data.length && other.data.every((each, i) => each === data[i]), name);
  }
}

for (const tied of [true, false]) {
  const config = { ...small, tie_word_embeddings: tied };
  const what = tied ? "tied" : "untied";

  Deno.test(`packing and unpacking gives every ${what} weight back`, () => {
    const weights = llamaInitialWeights(config, new Random(1));
    assertStrictEquals(weights.has("lm_head.weight"), !tied);
    assertSameWeights(unpackWeights(config, packWeights(config, weights)), weights);
  });

  const modes: Record<string, Trained> = {
    "LoRA": { kind: "lora", targetModules: ["all-linear"], asker: "the test", rankOf: () => 2, scalingOf: () => 1 },
    "every weight": { kind: "full" },
  };
  for (const [mode, trained] of Object.entries(modes)) {
    Deno.test(`a new ${what} model can be trained: ${mode}`, async () => {
      const weights = llamaInitialWeights(config, new Random(7)), packed = packWeights(config, weights);
      await withModel(config, weights, async (folder) => {
        const path = join(folder, "onnx/model.onnx");
        const compiled = await compileTraining(path, config, trained, { kind: "next-token" });
        const names = compiled.parameters.map(({ name }) => name);
        // Seven linear layers a block, an A and a B each; or each initializer once, a tied table too.
        if (trained.kind === "lora") assertEquals(names.length, 7 * 2 * config.num_hidden_layers);
        else assertEquals(names.toSorted(), [...packed.keys()].sort());

        const session = await InferenceSession.create(compiled.gradient, sessionOptions(compiled.folder));
        const random = new Random(3);
        const rows = [{ promptIds: [1], completionIds: [5, 9, 300] }, { promptIds: [1], completionIds: [7, 8, 2] }];
        const feeds: Record<string, Tensor> = {
          ...microBatchFeeds(packRows(rows, 1)),
          token_weight: new Tensor("float32", new Float32Array(6).fill(1 / 6), [6]),
        };
        for (const { name, shape } of compiled.parameters) {
          const data = packed.get(name)?.data ??
            Float32Array.from({ length: shape[0]! * shape[1]! }, () => 0.1 * random.normal());
          feeds[name] = new Tensor("float32", data, shape);
        }
        const outputs = await session.run(feeds);
        const loss = outputs["loss"]!.data[0] as number;
        // A new model knows nothing: every token is about equally likely.
        if (trained.kind === "full") assert(Math.abs(loss - Math.log(config.vocab_size)) < 0.1, `loss ${loss}`);
        let square = 0;
        for (const name of names) {
          const gradient = outputs[gradientName(name)]!.data as Float32Array;
          assert(gradient.every(Number.isFinite), name);
          assert(gradient.some((each) => each !== 0), `${name} has no gradient`);
          for (const each of gradient) square += each * each;
        }
        // One step along the whole gradient changes the loss as the gradient says: a tied table counts for both uses.
        const step = 0.01 / Math.sqrt(square);
        const lossAfter = async (sign: number) => {
          const moved = names.map((name): [string, Tensor] => {
            const { data, dims } = feeds[name]!, gradient = outputs[gradientName(name)]!.data as Float32Array;
            return [
              name,
              new Tensor("float32", (data as Float32Array).map((w, i) => w + sign * step * gradient[i]!), dims),
            ];
          });
          return (await session.run({ ...feeds, ...Object.fromEntries(moved) }))["loss"]!.data[0] as number;
        };
        const slope = (await lossAfter(1) - await lossAfter(-1)) / 0.02;
        assert(Math.abs(slope / Math.sqrt(square) - 1) < 0.02, `slope ${slope}, gradient ${Math.sqrt(square)}`);
        await session.release();
      });
    });
  }
}

Deno.test("the linear layers carry PEFT's names", () => {
  const packed = packWeights(small, llamaInitialWeights(small, new Random(1)));
  const modules = linearLayers(llamaGraph(small, packed), small).map(({ module }) => module);
  const block = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"];
  block.push("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj");
  assertEquals(modules, [0, 1, 2].flatMap((layer) => block.map((name) => `model.layers.${layer}.${name}`)));
});

Deno.test("new weights spread as asked, and the same seed gives the same model", () => {
  const config = { ...small, initializer_range: 0.1 };
  const weights = llamaInitialWeights(config, new Random(5));
  const spread = (name: string) => {
    const { data } = weights.get(name)!;
    return Math.sqrt(data.reduce((sum, each) => sum + each * each, 0) / data.length);
  };
  const near = (actual: number, expected: number) => assert(Math.abs(actual / expected - 1) < 0.1, `${actual}`);
  near(spread("model.embed_tokens.weight"), 0.1);
  near(spread("model.layers.1.mlp.up_proj.weight"), 0.1);
  near(spread("model.layers.1.mlp.down_proj.weight"), 0.1 / Math.sqrt(6));
  near(spread("model.layers.2.self_attn.o_proj.weight"), 0.1 / Math.sqrt(6));
  assert(weights.get("model.norm.weight")!.data.every((each) => each === 1));
  assertSameWeights(llamaInitialWeights(config, new Random(5)), weights);
});
