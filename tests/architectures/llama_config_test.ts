// What a config.json asks for is what is written, or it is refused with the field's name.

import assert from "node:assert/strict";
import { join } from "node:path";
import { llamaInitialWeights, parseLlamaConfig, writeLlamaModel } from "../../shared/architectures/llama.ts";
import { InputError } from "../../shared/errors.ts";
import { Random } from "../../shared/random.ts";
import { small, withModel } from "./small_models.ts";

Deno.test("config.json survives writing, and a Llama that would come out wrong is refused by field", async () => {
  await withModel(small, llamaInitialWeights(small, new Random(1)), async (folder) => {
    assert.deepEqual(parseLlamaConfig(JSON.parse(await Deno.readTextFile(join(folder, "config.json"))), "it"), small);
  });
  const refuses = (change: object, message: RegExp) =>
    assert.throws(
      () => parseLlamaConfig({ ...small, ...change }, "here/config.json"),
      (error) =>
        error instanceof InputError && message.test(error.message) && error.message.includes("here/config.json"),
    );
  refuses({ rope_scaling: { rope_type: "yarn", factor: 4 } }, /rope_scaling.*"yarn"/);
  refuses({ rope_scaling: { rope_type: "llama3", factor: 4 } }, /low_freq_factor/);
  refuses({ attention_bias: true }, /attention_bias/);
  refuses({ hidden_act: "gelu" }, /hidden_act/);
  refuses({ model_type: "qwen2" }, /model_type/);
  refuses({ vocab_size: undefined }, /vocab_size/);
  refuses({ num_key_value_heads: 3 }, /num_key_value_heads/);
  refuses({ head_dim: 8 }, /head size is 8/);
  const modern = parseLlamaConfig({
    ...small,
    rope_theta: undefined,
    rope_parameters: { rope_type: "default", rope_theta: 5e5 },
  }, "it");
  assert.equal(modern.rope_theta, 5e5);
});

Deno.test("a missing or misshapen weight is named, and nothing is written", async () => {
  const weights = llamaInitialWeights(small, new Random(1));
  const folder = await Deno.makeTempDir();
  try {
    const name = "model.layers.1.self_attn.k_proj.weight";
    weights.set(name, { shape: [32, 16], data: new Float32Array(512) });
    await assert.rejects(writeLlamaModel(folder, small, weights), /k_proj\.weight" is \[32,16\].*\[16,32\]/);
    weights.delete(name);
    await assert.rejects(writeLlamaModel(folder, small, weights), /k_proj\.weight" is missing/);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
