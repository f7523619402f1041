// A Llama made here is a whole model folder, or nothing at all.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { readDecoder } from "../../shared/architectures/families.ts";
import { llamaInitialWeights, writeLlamaModel } from "../../shared/architectures/llama.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { Random } from "../../shared/random.ts";
import { small, withModel } from "./small_models.ts";

Deno.test("ONNX Runtime transposes a tied table once, at load", async () => {
  await withModel(small, llamaInitialWeights(small, new Random(1)), async (folder) => {
    const optimizedModelFilePath = join(folder, "optimized.onnx");
    const session = await InferenceSession.create(join(folder, "onnx/model.onnx"), { optimizedModelFilePath });
    await session.release();
    const operators = readModel(optimizedModelFilePath).nodes.map((node) => node.operator);
    assert(!operators.includes("Transpose"), `${operators}`);
  });
});

Deno.test("config.json says of a written Llama what it was made with", async () => {
  await withModel(small, llamaInitialWeights(small, new Random(1)), async (folder) => {
    const written = JSON.parse(await Deno.readTextFile(join(folder, "config.json")));
    assertEquals(readDecoder(written, "it"), readDecoder({ model_type: "llama", ...small }, "it"));
  });
});

Deno.test("a missing or misshapen weight is named, and nothing is written", async () => {
  const weights = llamaInitialWeights(small, new Random(1));
  const folder = await Deno.makeTempDir();
  try {
    const name = "model.layers.1.self_attn.k_proj.weight";
    weights.set(name, { shape: [32, 16], data: new Float32Array(512) });
    assertMatch(
      String(await assertRejects(() => writeLlamaModel(folder, small, weights))),
      /k_proj\.weight" is \[32,16\].*\[16,32\]/,
    );
    weights.delete(name);
    await assertRejects(() => writeLlamaModel(folder, small, weights), Error, 'k_proj.weight" is missing');
    assertEquals([...Deno.readDirSync(folder)], []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
