// What each family does differently is what the written graph does: random checkpoints against a plain forward pass.
// What Prospect does not write is refused by name.

import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { join } from "node:path";
import { readDecoder } from "../../shared/architectures/families.ts";
import { importCheckpoint } from "../../shared/architectures/import_checkpoint.ts";
import { linearLayers } from "../../shared/compiler/linear_layers.ts";
import { InputError, RefusedModelError } from "../../shared/errors.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { checkSlope, distance, generate, StockModel, withImported } from "./imported_models.ts";
import { type Habits, randomTensors, type SmallConfig, writeCheckpoint } from "./random_checkpoints.ts";
import { geluTanh, type ReferenceDecoder, referenceLogits, silu } from "./reference_decoder.ts";

const sizes = {
  vocab_size: 64,
  hidden_size: 32,
  intermediate_size: 24,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-6,
};

const turning = (theta: number, size = 16) => (_layer: number, pair: number) => theta ** (-2 * pair / size);
const window = (width: number) => (_layer: number, query: number, key: number) => query - key < width;

interface Family {
  config: Record<string, unknown>;
  habits: Habits;
  /** What differs from a plain Llama. */
  reference: Partial<ReferenceDecoder>;
}

const gemmaLike = { normBase: 1, activation: geluTanh, embeddingScale: Math.sqrt(32) } as const;

const families: Record<string, Family> = {
  "mistral: every layer sees the window only": {
    config: { model_type: "mistral", rope_theta: 1e4, sliding_window: 5 },
    habits: {},
    reference: { sees: window(5) },
  },
  "mistral without a window sees everything": {
    config: { model_type: "mistral", rope_theta: 1e4, sliding_window: null },
    habits: {},
    reference: {},
  },
  "qwen2: biases, and a window from max_window_layers on": {
    config: {
      model_type: "qwen2",
      rope_theta: 1e6,
      use_sliding_window: true,
      sliding_window: 5,
      max_window_layers: 2,
      tie_word_embeddings: true,
    },
    habits: { qkvBias: true, tied: true },
    reference: { sees: (layer, query, key) => layer < 2 || query - key < 5, frequency: turning(1e6) },
  },
  "qwen3: queries and keys are normalised; its unused window does nothing": {
    config: {
      model_type: "qwen3",
      rope_theta: 1e6,
      sliding_window: 5,
      max_window_layers: 2,
      tie_word_embeddings: true,
    },
    habits: { queryKeyNorm: true, tied: true },
    reference: { frequency: turning(1e6) },
  },
  "smollm3: every fourth layer has no positions": {
    config: { model_type: "smollm3", rope_theta: 5e6, tie_word_embeddings: true },
    habits: { tied: true },
    reference: { frequency: (layer, pair) => layer === 3 ? undefined : turning(5e6)(layer, pair) },
  },
  "smollm3: no_rope_layers names the layers with positions": {
    config: { model_type: "smollm3", rope_theta: 5e6, no_rope_layers: [0, 1, 1, 0] },
    habits: { tied: true },
    reference: { frequency: (layer, pair) => layer % 3 === 0 ? undefined : turning(5e6)(layer, pair) },
  },
  "smollm3: the layers without positions are those that a window narrows": {
    config: {
      model_type: "smollm3",
      rope_theta: 5e6,
      no_rope_layers: [1, 0, 1, 1],
      use_sliding_window: true,
      sliding_window: 5,
    },
    habits: { tied: true },
    reference: {
      sees: (layer, query, key) => layer !== 1 || query - key < 5,
      frequency: (layer, pair) => layer === 1 ? undefined : turning(5e6)(layer, pair),
    },
  },
  "gemma: norms add one, embeddings are scaled, GELU is the tanh one whatever hidden_act says": {
    config: { model_type: "gemma", rope_theta: 1e4, hidden_act: "gelu" },
    habits: { tied: true, normMean: 0 },
    reference: gemmaLike,
  },
  "gemma2: soft caps, its own scale, four norms, every other layer slides": {
    config: {
      model_type: "gemma2",
      rope_theta: 1e4,
      sliding_window: 5,
      query_pre_attn_scalar: 24,
      attn_logit_softcapping: 2,
      final_logit_softcapping: 3,
    },
    habits: { tied: true, sandwich: true, normMean: 0 },
    reference: {
      ...gemmaLike,
      sees: (layer, query, key) => layer % 2 === 1 || query - key < 5,
      scoreDivisor: Math.sqrt(24),
      scoreCap: 2,
      logitCap: 3,
    },
  },
  "gemma3: two rotary bases, one of them stretched, layer_types, and scores that no cap narrows": {
    config: {
      model_type: "gemma3_text",
      rope_parameters: {
        full_attention: { rope_type: "linear", factor: 8, rope_theta: 1e6 },
        sliding_attention: { rope_type: "default", rope_theta: 1e4 },
      },
      layer_types: ["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
      sliding_window: 5,
      query_pre_attn_scalar: 24,
      attn_logit_softcapping: 2,
    },
    habits: { tied: true, sandwich: true, queryKeyNorm: true, normMean: 0 },
    reference: {
      ...gemmaLike,
      sees: (layer, query, key) => layer % 3 === 0 || query - key < 5,
      frequency: (layer, pair) => layer % 3 === 0 ? turning(1e6)(layer, pair) / 8 : turning(1e4)(layer, pair),
      scoreDivisor: Math.sqrt(24),
    },
  },
  "phi3: fused projections, and three quarters of a head turn": {
    config: { model_type: "phi3", rope_theta: 1e4, partial_rotary_factor: 0.75, sliding_window: 5 },
    habits: { fused: true },
    reference: { sees: window(5), turning: 12, frequency: turning(1e4, 12) },
  },
};

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "prospect-checkpoint-" });
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const ids = [3, 60, 7, 7, 21, 40, 1, 33, 58, 12, 19, 5];

for (const [name, { config, habits, reference }] of Object.entries(families)) {
  Deno.test(`${name}, whole, cached, in transformers.js and trained`, async () => {
    await inFolder(async (folder) => {
      const whole = { ...sizes, ...config } as unknown as SmallConfig, tensors = randomTensors(whole, habits, 11);
      await writeCheckpoint(folder, whole, tensors);
      const expected = referenceLogits({
        weights: new Map([...tensors].map(([name, { data }]) => [name, data])),
        layers: 4,
        heads: 4,
        kvHeads: 2,
        headSize: 16,
        epsilon: 1e-6,
        normBase: 0,
        activation: silu,
        embeddingScale: 1,
        scoreDivisor: 4,
        sees: () => true,
        frequency: turning(1e4),
        turning: 16,
        ...reference,
      }, ids).flat();
      await withImported(folder, async (model) => {
        await using stock = await StockModel.open(model);
        assert(distance(await stock.whole([ids]), expected) < 1e-5);
        assert(distance(await stock.inPieces(ids, [6, 1, 1]), expected) < 1e-5);
        const answer: number[] = [];
        while (answer.length < 4) {
          const last = (await stock.whole([[...ids, ...answer]])).slice(-sizes.vocab_size);
          answer.push(last.indexOf(Math.max(...last)));
        }
        assertEquals(await generate(model, ids, 4), answer, "in transformers.js");
        await checkSlope(model, ids);
      });
    });
  });
}

Deno.test("phi3's fused layers keep their names, so that PEFT's adapters fit", async () => {
  await inFolder(async (folder) => {
    const config = { ...sizes, model_type: "phi3" };
    await writeCheckpoint(folder, config, randomTensors(config, { fused: true }, 1));
    await withImported(folder, (model) => {
      const layers = linearLayers(readModel(join(model, "onnx/model.onnx")), config).map(({ module }) => module);
      const block = ["self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"];
      assertEquals(layers, [0, 1, 2, 3].flatMap((i) => block.map((each) => `model.layers.${i}.${each}`)));
    });
  });
});

Deno.test("phi3's early names of longrope are longrope", () => {
  const read = (type: string) => {
    const factors = { short_factor: [1, 2, 3, 4, 5, 6, 7, 8], long_factor: Array(8).fill(9) };
    const config = { ...sizes, model_type: "phi3", original_max_position_embeddings: 32 };
    return readDecoder({ ...config, rope_scaling: { type, ...factors } }, "config.json");
  };
  assert(read("longrope").remark);
  for (const early of ["su", "yarn"]) assertEquals(read(early), read("longrope"), early);
});

Deno.test("an adapter on some of the layers that lie packed in one product is trained in every block", async () => {
  await inFolder(async (folder) => {
    const config = { ...sizes, model_type: "llama" };
    await writeCheckpoint(folder, config, randomTensors(config, {}, 5));
    await withImported(folder, async (model) => {
      for (const targets of [["q_proj", "v_proj"], ["k_proj"]]) await checkSlope(model, ids, targets);
    });
  });
});

Deno.test("16-bit weights in shards are the model that the same numbers in one float32 file are", async () => {
  await inFolder(async (folder) => {
    const config = { ...sizes, model_type: "llama" }, tensors = randomTensors(config, {}, 5);
    const data: Record<string, Uint8Array> = {};
    for (const [name, options] of Object.entries({ F32: {}, BF16: { shards: 3 }, F16: { shards: 2 } })) {
      const path = join(folder, name);
      await writeCheckpoint(path, config, tensors, { dtype: name as "F32", ...options });
      await importCheckpoint(path, join(folder, `${name}-model`));
      data[name] = await Deno.readFile(join(folder, `${name}-model/onnx/model.onnx_data`));
    }
    for (const name of ["BF16", "F16"]) assertEquals(data[name], data["F32"], name);
  });
});

Deno.test("a head that is called tied but has numbers of its own is its own, as in transformers 5, which is said", async () => {
  await inFolder(async (folder) => {
    const config = { ...sizes, model_type: "llama", tie_word_embeddings: true };
    const table = randomTensors(config, { tied: true }, 5), own = randomTensors(config, {}, 5);
    const same = new Map([...table, ["lm_head.weight", table.get("model.embed_tokens.weight")!]]);
    const graphs: Record<string, Uint8Array> = {}, remarks: Record<string, string | undefined> = {};
    for (const [name, tensors] of Object.entries({ table, same, own, untied: own })) {
      const path = join(folder, name), out = join(folder, `${name}-model`);
      await writeCheckpoint(path, { ...config, tie_word_embeddings: name !== "untied" }, tensors);
      remarks[name] = (await importCheckpoint(path, out)).remark;
      graphs[name] = await Deno.readFile(join(out, "onnx/model.onnx"));
      const { tie_word_embeddings: tied } = JSON.parse(await Deno.readTextFile(join(out, "config.json")));
      assertStrictEquals(tied, ["table", "same"].includes(name), name);
    }
    assertEquals(graphs["same"], graphs["table"]);
    assertEquals(graphs["own"], graphs["untied"]);
    assertMatch(remarks["own"]!, /tie_word_embeddings is true, but lm_head\.weight is there with other numbers/);
    assertEquals([remarks["table"], remarks["same"], remarks["untied"]], [undefined, undefined, undefined]);
  });
});

Deno.test("a model over several data files is the same model, and transformers.js finds them all", async () => {
  await inFolder(async (folder) => {
    const config = { ...sizes, model_type: "llama" };
    await writeCheckpoint(folder, config, randomTensors(config, {}, 5));
    await importCheckpoint(folder, join(folder, "one"));
    await importCheckpoint(folder, join(folder, "many"), { largestDataFile: 40_000 });
    const written = [...Deno.readDirSync(join(folder, "many/onnx"))].map(({ name }) => name).sort();
    assert(written.includes("model.onnx_data_2"), `${written}`);
    const { "transformers.js_config": custom } = JSON.parse(await Deno.readTextFile(join(folder, "many/config.json")));
    assertStrictEquals(custom.use_external_data_format["model.onnx"], written.length - 1);
    assertEquals(await generate(join(folder, "many"), ids, 5), await generate(join(folder, "one"), ids, 5));
  });
});

Deno.test("an import that fails leaves nothing, and names the tensor", async () => {
  await inFolder(async (folder) => {
    const config = { ...sizes, model_type: "llama" }, tensors = randomTensors(config, {}, 5);
    const name = "model.layers.2.mlp.up_proj.weight", path = join(folder, "checkpoint"), out = join(folder, "out");
    await writeCheckpoint(path, { ...config, intermediate_size: 40 }, tensors);
    await assertRejects(
      () => importCheckpoint(path, out),
      Error,
      'gate_proj.weight" is [24,32], but config.json asks for [40,32]',
    );
    await Deno.remove(join(path, "model.safetensors"));
    tensors.delete(name);
    await writeCheckpoint(path, config, tensors, { shards: 2 });
    await assertRejects(() => importCheckpoint(path, out), InputError, `tensor "${name}" is missing`);
    await Deno.remove(join(path, "model-00002-of-00002.safetensors"));
    assertMatch(
      String(await assertRejects(() => importCheckpoint(path, out))),
      /00002-of-00002\.safetensors is missing.*index\.json names it/,
    );
    const outside = { weight_map: { x: "../../secret.safetensors" } };
    await Deno.writeTextFile(join(path, "model.safetensors.index.json"), JSON.stringify(outside));
    await assertRejects(() => importCheckpoint(path, out), Error, '"weight_map" does not map');
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["checkpoint"]);
  });
});

Deno.test("tensors that the model would leave out are refused by name, but for what it computes or ties", async () => {
  await inFolder(async (folder) => {
    const config = { ...sizes, model_type: "llama" }, zeros = { shape: [32], data: new Float32Array(32) };
    const path = join(folder, "checkpoint"), out = join(folder, "out");
    const write = (change: object, extra: string[], habits = {}) => {
      const tensors = randomTensors(config, habits, 5);
      for (const name of extra) tensors.set(name, zeros);
      return writeCheckpoint(path, { ...config, ...change }, tensors);
    };
    const refuses = (message: RegExp) =>
      assertRejects(() => importCheckpoint(path, out), InputError).then((error) => assertMatch(error.message, message));
    await write({}, ["model.layers.0.self_attn.q_proj.bias"]);
    await refuses(/tensor "model\.layers\.0\.self_attn\.q_proj\.bias" has no place in the model.*attention_bias/);
    await write({ num_hidden_layers: 3 }, []);
    await refuses(/tensor "model\.layers\.3\.\S+" \(and 8 more\) has no place in the model.*num_hidden_layers/);
    await write({}, ["lm_head.bias"]);
    await refuses(/tensor "lm_head\.bias" has no place/);
    await write({}, ["model.layers.0.self_attn.rotary_emb.inv_freq", "v_head.summary.weight"]);
    await importCheckpoint(path, join(folder, "computed"));
    await write({ tie_word_embeddings: true }, []);
    await importCheckpoint(path, join(folder, "tied"));
    assert(![...Deno.readDirSync(folder)].some(({ name }) => name.startsWith("out")));
  });
});

Deno.test("what Prospect does not write is refused in one sentence that names it", () => {
  const refuses = (change: object, message: RegExp, kind: typeof InputError = RefusedModelError) => {
    const reading = () => readDecoder({ ...sizes, model_type: "llama", ...change }, "here/config.json");
    const error = assertThrows(reading, kind);
    assertMatch(error.message, message);
    assertMatch(error.message, /^here\/config\.json: [^\n]+\.$/);
  };
  refuses({ model_type: "mamba" }, /model_type "mamba".*llama, mistral.*ONNX export/);
  refuses({ model_type: "qwen3_moe", num_experts: 128 }, /mixture of experts \(num_experts\)/);
  refuses({ model_type: "mixtral" }, /mixture of experts/);
  refuses({ model_type: "t5", is_encoder_decoder: true }, /encoder-decoder/);
  refuses(
    { model_type: "gemma3", vision_config: {}, text_config: {} },
    /no text-only model \(vision_config\).*gemma3_text/,
  );
  refuses({ quantization_config: { quant_method: "gptq" } }, /quantised \(quantization_config: gptq\)/);
  refuses({ hidden_act: "relu2" }, /activation "relu2"/);
  refuses({ rope_scaling: { rope_type: "su", factor: 2 } }, /rope_scaling of type "su"/);
  refuses({ rope_scaling: { type: "llama3", factor: 8 } }, /rope_scaling\.low_freq_factor/, InputError);
  refuses({ layer_types: ["linear_attention"] }, /layer_types has "linear_attention"/);
  refuses({ head_dim: 20 }, /head size is 20/);
  refuses({ num_key_value_heads: 3 }, /num_key_value_heads/, InputError);
  refuses({ vocab_size: "many" }, /field "vocab_size"/, InputError);
});
