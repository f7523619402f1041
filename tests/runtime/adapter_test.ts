import { assertEquals, assertMatch, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { join } from "node:path";
import { InputError } from "../../shared/errors.ts";
import { encodeSafetensors } from "../../shared/onnx/safetensors.ts";
import {
  type Adapter,
  adapterConfig,
  modulesOf,
  parseAdapterConfig,
  parseTensorName,
  rankOf,
  readAdapter,
  scalingOf,
  tensorName,
  writeAdapter,
} from "../../shared/runtime/adapter.ts";
import { FIXTURES, SHARED } from "../feedback/shared_files.ts";

const MODULE = "model.layers.0.self_attn.q_proj";

async function withFolder(check: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await check(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function small(): Adapter {
  return {
    config: adapterConfig({ rank: 2, alpha: 4, targetModules: ["q_proj"], baseModel: "base" }),
    tensors: new Map([
      [tensorName(MODULE, "A"), { shape: [2, 3], data: new Float32Array([1, 2, 3, 4, 5, 6]) }],
      [tensorName(MODULE, "B"), { shape: [4, 2], data: new Float32Array(8) }],
    ]),
  };
}

function refused(promise: Promise<unknown>, message: RegExp): Promise<void> {
  return assertRejects(() => promise, InputError).then((error) => assertMatch(error.message, message));
}

for (const family of FIXTURES) {
  Deno.test(`PEFT's adapter for ${family} survives reading and writing, and a new config has PEFT's very keys`, async () => {
    const source = join(SHARED, "fixtures", family, "adapter");
    const original = await Deno.readTextFile(join(source, "adapter_config.json")).catch(() => undefined);
    if (original === undefined) return console.log("skipped: no fixtures");
    const adapter = await readAdapter(source);
    await withFolder(async (folder) => {
      await writeAdapter(join(folder, "new"), adapter);
      assertEquals(
        JSON.parse(await Deno.readTextFile(join(folder, "new/adapter_config.json"))),
        JSON.parse(original),
      );
      assertEquals(
        await Deno.readFile(join(folder, "new/adapter_model.safetensors")),
        await Deno.readFile(join(source, "adapter_model.safetensors")),
      );
      assertEquals(await readAdapter(join(folder, "new")), adapter);
    });
    const { config } = adapter;
    const made = adapterConfig({
      rank: 4,
      alpha: 8,
      targetModules: [...config.target_modules].reverse(),
      baseModel: config.base_model_name_or_path!,
      fanInFanOut: config.fan_in_fan_out,
    });
    assertEquals(made, JSON.parse(original));
    assertEquals(Object.keys(made).sort(), Object.keys(JSON.parse(original)).sort());
    assertEquals(scalingOf(config, modulesOf(adapter)[0]!), 2);
    assertEquals(modulesOf(adapter).length * 2, adapter.tensors.size);
  });
}

Deno.test("rank and alpha patterns choose a module as PEFT's regular expression does", () => {
  const config = {
    ...adapterConfig({ rank: 8, alpha: 16, targetModules: ["q_proj"], baseModel: "base" }),
    rank_pattern: { "layers.1.self_attn.q_proj": 4, "model.layers.\\d+.mlp.*": 2, "^q_proj": 5 },
    alpha_pattern: { "q_proj": 32 },
  };
  assertEquals(rankOf(config, "model.layers.1.self_attn.q_proj"), 4);
  assertEquals(rankOf(config, "base_model.model.model.layers.1.self_attn.q_proj"), 4);
  // Neither a longer number nor a longer name is a match: the pattern is anchored at a dot and at the end.
  assertEquals(rankOf(config, "model.layers.11.self_attn.q_proj"), 8);
  assertEquals(rankOf(config, "model.layers.1.self_attn.q_proj_extra"), 8);
  assertEquals(rankOf(config, "model.layers.7.mlp.up_proj"), 2);
  assertEquals(rankOf(config, "q_proj"), 5);
  assertStrictEquals(scalingOf(config, "model.layers.1.self_attn.q_proj"), 32 / 4);
  assertStrictEquals(scalingOf(config, "model.layers.7.mlp.up_proj"), 16 / 2);
  assertStrictEquals(scalingOf({ ...config, use_rslora: true }, "model.layers.1.self_attn.q_proj"), 32 / 2);
  assertStrictEquals(scalingOf({ ...config, use_rslora: true }, "model.layers.1.mlp.up_proj"), 16 / Math.SQRT2);
});

Deno.test("an adapter that is more than plain LoRA is refused by the name of the setting and what would work", () => {
  const config = small().config;
  const cases: Record<string, unknown[]> = {
    peft_type: ["IA3", "ADALORA", "LOHA", "PROMPT_TUNING", "PREFIX_TUNING", undefined],
    use_dora: [true],
    bias: ["lora_only", "all"],
    lora_bias: [true],
    modules_to_save: [["lm_head"]],
    init_lora_weights: ["pissa", "pissa_niter_4", "olora", "corda", "lora_ga", "loftq"],
    trainable_token_indices: [[1, 2]],
    target_parameters: [["feed_forward.experts"]],
    layer_replication: [[[0, 2]]],
    alora_invocation_tokens: [[1, 2]],
    use_qalora: [true],
    use_bdlora: [{ nblocks: 2 }],
    r: [0, 1.5, "8"],
    lora_alpha: ["8"],
    rank_pattern: [{ "(": 4 }, { "q_proj": 0 }],
    target_modules: [3, null, [], "(", "q_proj++"],
    exclude_modules: [7, "["],
    layers_to_transform: ["all", [-1]],
    layers_pattern: ["("],
  };
  const mended = new Set(Object.keys(cases).slice(0, 12));
  for (const [field, values] of Object.entries(cases)) {
    for (const value of values) {
      const error = assertThrows(
        () => parseAdapterConfig({ ...config, [field]: value }, "dir/adapter_config.json"),
        InputError,
      );
      assertMatch(error.message, /^dir\/adapter_config\.json: /);
      assertMatch(
        error.message,
        /the pattern ".*" cannot be read/.test(error.message) ? /list the/ : new RegExp(field),
      );
      if (mended.has(field)) assertMatch(error.message, /merge|train|save|name one/, "nothing that would work");
    }
  }
  for (const start of [true, false, "gaussian", "eva", "orthogonal"]) {
    parseAdapterConfig({ ...config, init_lora_weights: start }, "x");
  }
});

Deno.test("what cannot be merged into a base model is not said to be mended by merging", () => {
  for (const peft_type of ["PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING"]) {
    assertThrows(
      () => parseAdapterConfig({ ...small().config, peft_type }, "x"),
      Error,
      'only "LORA" is; train a LoRA',
    );
  }
  assertMatch(
    assertThrows(() => parseAdapterConfig([small().config], "x"), InputError).message,
    /^x: not a JSON object$/,
  );
});

Deno.test("a config of an older PEFT, with fewer keys, means the same", () => {
  const config = parseAdapterConfig({ peft_type: "LORA", r: 8, lora_alpha: 16, target_modules: ["q_proj"] }, "x");
  assertEquals(scalingOf(config, MODULE), 2);
  assertEquals(config.fan_in_fan_out, false);
});

Deno.test("tensors that do not fit the config are refused by their name", async () => {
  const [a, b] = [tensorName(MODULE, "A"), tensorName(MODULE, "B")];
  const zeros = (...shape: number[]) => ({ shape, data: new Float32Array(shape.reduce((x, y) => x * y, 1)) });
  const cases: [Record<string, { shape: number[]; data: Float32Array } | undefined>, RegExp][] = [
    [{ [b]: undefined }, new RegExp(`"${b}" is missing`)],
    [{ [a]: undefined, [b]: undefined }, /no tensor/],
    [{ [a]: zeros(3, 2) }, /lora_A.* has shape \[3, 2\]; with rank 2.* it is \[2, in\]/],
    [{ [b]: zeros(2, 4) }, /lora_B.* has shape \[2, 4\]; with rank 2.* it is \[out, 2\]/],
    [{ [b]: zeros(2, 4, 2) }, /lora_B.* has shape/],
    [{ [a.replace("lora_A", "lora_magnitude_vector")]: zeros(4) }, /DoRA/],
    [{ [a]: { shape: [2, 3], data: Float32Array.of(1, 2, NaN, 4, 5, 6) } }, /lora_A\.weight" holds NaN: .*diverged/],
    [{ [b]: { shape: [4, 2], data: new Float32Array(8).fill(-Infinity) } }, /lora_B\.weight" holds -Infinity/],
    [{ "base_model.model.lm_head.base_layer.weight": zeros(9, 3) }, /LoRA on .* the output head.*without it in target/],
    [{ "base_model.model.model.embed_tokens.weight": zeros(4, 2) }, /is a whole trained or resized module/],
    [{ "base_model.model.model.layers.0.q.bias": zeros(4) }, /is a trained bias/],
    [{ [b.replace("weight", "bias")]: zeros(4) }, /LoRA bias/],
    [{ "base_model.model.model.embed_tokens.lora_embedding_A": zeros(2, 9) }, /LoRA on an embedding/],
    [{ "prompt_embeddings": zeros(2, 9) }, /is not a LoRA matrix/],
    [
      { [tensorName("lm_head", "A")]: zeros(2, 3), [tensorName("lm_head", "B")]: zeros(9, 2) },
      /is LoRA on lm_head, outside the decoder's layers .*train without it/,
    ],
    [{ [a.replace("q_proj", "v_proj")]: zeros(2, 3), [b.replace("q_proj", "v_proj")]: zeros(4, 2) }, /target_modules/],
  ];
  for (const [change, message] of cases) {
    await withFolder(async (folder) => {
      const { config, tensors } = small();
      for (const [name, tensor] of Object.entries(change)) {
        if (tensor === undefined) tensors.delete(name);
        else tensors.set(name, tensor);
      }
      await refused(writeAdapter(folder, { config, tensors }), message);
      assertEquals([...Deno.readDirSync(folder)], [], "nothing is written when the adapter is refused");
      await Deno.writeTextFile(join(folder, "adapter_config.json"), JSON.stringify(config));
      await Deno.writeFile(join(folder, "adapter_model.safetensors"), encodeSafetensors(tensors));
      await refused(Promise.try(readAdapter, folder), message);
    });
  }
});

/** Writes an adapter with other bytes, names or config than `writeAdapter` would. */
async function writeRaw(folder: string, config: unknown, header: object, bytes: Uint8Array): Promise<void> {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + bytes.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(bytes, 8 + text.length);
  await Deno.writeTextFile(join(folder, "adapter_config.json"), JSON.stringify(config));
  await Deno.writeFile(join(folder, "adapter_model.safetensors"), file);
}

Deno.test("16-bit matrices become float32, bit for bit, and an adapter's name inside the tensors' names is dropped", async () => {
  const { config } = small();
  const [a, b] = [tensorName(MODULE, "A"), tensorName(MODULE, "B")];
  // 1, -2, 0.5, 65504 (the largest half), the smallest normal half, 0; and as bfloat16 1, -2, 0.5, 3.140625, 1e30, 0.
  const halves = Uint16Array.of(0x3c00, 0xc000, 0x3800, 0x7bff, 0x0400, 0);
  const brains = Uint16Array.of(0x3f80, 0xc000, 0x3f00, 0x4049, 0x7149, 0, 0x3f80, 0xc000);
  const bytes = new Uint8Array([...new Uint8Array(halves.buffer), ...new Uint8Array(brains.buffer)]);
  for (const live of ["", ".default", ".my_adapter"]) {
    await withFolder(async (folder) => {
      await writeRaw(folder, config, {
        [a.replace(".weight", `${live}.weight`)]: { dtype: "F16", shape: [2, 3], data_offsets: [0, 12] },
        [b.replace(".weight", `${live}.weight`)]: { dtype: "BF16", shape: [4, 2], data_offsets: [12, 28] },
      }, bytes);
      const { tensors } = await readAdapter(folder);
      assertEquals([...tensors.keys()], [a, b]);
      assertEquals([...tensors.get(a)!.data], [1, -2, 0.5, 65504, 2 ** -14, 0]);
      assertEquals([...tensors.get(b)!.data].slice(0, 4), [1, -2, 0.5, 3.140625]);
    });
  }
  await withFolder(async (folder) => {
    const entry = (from: number) => ({ dtype: "F16", shape: [2, 3], data_offsets: [from, from + 12] });
    await writeRaw(folder, config, {
      [a.replace(".weight", ".one.weight")]: entry(0),
      [a.replace(".weight", ".two.weight")]: entry(12),
    }, bytes.slice(0, 24));
    await refused(Promise.try(readAdapter, folder), /several adapters \(one, two\)/);
    await writeRaw(
      folder,
      config,
      { [a]: entry(0), [a.replace(".weight", ".one.weight")]: entry(12) },
      bytes.slice(0, 24),
    );
    await refused(Promise.try(readAdapter, folder), /is there twice/);
    await writeRaw(folder, config, { [a]: { dtype: "I8", shape: [2, 3], data_offsets: [0, 6] } }, bytes.slice(0, 6));
    await refused(Promise.try(readAdapter, folder), /lora_A\.weight": a tensor of type I8/);
  });
});

Deno.test("an older PEFT's adapter is written with the keys of PEFT 0.21", async () => {
  await withFolder(async (folder) => {
    const config = parseAdapterConfig({ peft_type: "LORA", r: 2, lora_alpha: 4, target_modules: ["q_proj"] }, "x");
    await writeAdapter(folder, { config, tensors: small().tensors });
    const written = JSON.parse(await Deno.readTextFile(join(folder, "adapter_config.json")));
    assertEquals(Object.keys(written), Object.keys(small().config).sort());
    assertEquals([readAdapter(folder).config].flatMap(({ r, lora_alpha }) => [r, lora_alpha]), [2, 4]);
  });
});

Deno.test("a folder without an adapter, or with a pickle, says so, and names the adapters one folder deeper", async () => {
  await withFolder(async (folder) => {
    await refused(
      Promise.try(readAdapter, folder),
      /adapter_config\.json: no such file; an adapter folder holds .*safetensors\.$/,
    );
    await writeAdapter(join(folder, "checkpoint-4"), small());
    await writeAdapter(join(folder, "checkpoint-2"), small());
    await refused(
      Promise.try(readAdapter, folder),
      /; give one of the adapters in it: \S+\/checkpoint-2, \S+\/checkpoint-4\.$/,
    );
    await Deno.writeTextFile(join(folder, "adapter_config.json"), "{");
    await refused(Promise.try(readAdapter, folder), /adapter_config\.json: not JSON/);
    await Deno.writeTextFile(join(folder, "adapter_config.json"), JSON.stringify(small().config));
    await refused(Promise.try(readAdapter, folder), /adapter_model\.safetensors: no such file/);
    await Deno.writeTextFile(join(folder, "adapter_model.bin"), "");
    await refused(Promise.try(readAdapter, folder), /pickle/);
  });
});

Deno.test("a tensor's name and its module lead to each other", () => {
  assertEquals(parseTensorName(tensorName(MODULE, "B")), { module: MODULE, matrix: "B" });
  assertEquals(parseTensorName("base_model.model.lm_head.weight"), undefined);
});
