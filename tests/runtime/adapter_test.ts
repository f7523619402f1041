import assert from "node:assert/strict";
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

const fixtures = new URL("../../../shared/fixtures/", import.meta.url).pathname;
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
  return assert.rejects(promise, (error) => {
    assert.ok(error instanceof InputError, String(error));
    assert.match(error.message, message);
    return true;
  });
}

for (const family of ["llama-genai", "gpt2-optimum"]) {
  Deno.test(`PEFT's adapter for ${family} survives reading and writing, and a new config has PEFT's very keys`, async () => {
    const source = join(fixtures, family, "adapter");
    const original = await Deno.readTextFile(join(source, "adapter_config.json")).catch(() => undefined);
    if (original === undefined) return console.log("skipped: no fixtures");
    const adapter = await readAdapter(source);
    await withFolder(async (folder) => {
      await writeAdapter(join(folder, "new"), adapter);
      assert.deepEqual(
        JSON.parse(await Deno.readTextFile(join(folder, "new/adapter_config.json"))),
        JSON.parse(original),
      );
      assert.deepEqual(
        await Deno.readFile(join(folder, "new/adapter_model.safetensors")),
        await Deno.readFile(join(source, "adapter_model.safetensors")),
      );
      assert.deepEqual(await readAdapter(join(folder, "new")), adapter);
    });
    const { config } = adapter;
    const made = adapterConfig({
      rank: 4,
      alpha: 8,
      targetModules: [...config.target_modules].reverse(),
      baseModel: config.base_model_name_or_path!,
      fanInFanOut: config.fan_in_fan_out,
    });
    assert.deepEqual(made, JSON.parse(original));
    assert.deepEqual(Object.keys(made).sort(), Object.keys(JSON.parse(original)).sort());
    assert.equal(scalingOf(config, modulesOf(adapter)[0]!), 2);
    assert.equal(modulesOf(adapter).length * 2, adapter.tensors.size);
  });
}

Deno.test("rank and alpha patterns choose a module as PEFT's regular expression does", () => {
  const config = {
    ...adapterConfig({ rank: 8, alpha: 16, targetModules: ["q_proj"], baseModel: "base" }),
    rank_pattern: { "layers.1.self_attn.q_proj": 4, "model.layers.\\d+.mlp.*": 2, "^q_proj": 5 },
    alpha_pattern: { "q_proj": 32 },
  };
  assert.equal(rankOf(config, "model.layers.1.self_attn.q_proj"), 4);
  assert.equal(rankOf(config, "base_model.model.model.layers.1.self_attn.q_proj"), 4);
  // Neither a longer number nor a longer name is a match: the pattern is anchored at a dot and at the end.
  assert.equal(rankOf(config, "model.layers.11.self_attn.q_proj"), 8);
  assert.equal(rankOf(config, "model.layers.1.self_attn.q_proj_extra"), 8);
  assert.equal(rankOf(config, "model.layers.7.mlp.up_proj"), 2);
  assert.equal(rankOf(config, "q_proj"), 5);
  assert.equal(scalingOf(config, "model.layers.1.self_attn.q_proj"), 32 / 4);
  assert.equal(scalingOf(config, "model.layers.7.mlp.up_proj"), 16 / 2);
  assert.equal(scalingOf({ ...config, use_rslora: true }, "model.layers.1.self_attn.q_proj"), 32 / 2);
  assert.equal(scalingOf({ ...config, use_rslora: true }, "model.layers.1.mlp.up_proj"), 16 / Math.SQRT2);
});

Deno.test("an adapter that is more than plain LoRA is refused by the name of the setting", () => {
  const config = small().config;
  const cases: Record<string, unknown> = {
    peft_type: "IA3",
    use_dora: true,
    bias: "lora_only",
    lora_bias: true,
    modules_to_save: ["lm_head"],
    init_lora_weights: "pissa",
    layer_replication: [[0, 2]],
    alora_invocation_tokens: [1, 2],
    r: 0,
    lora_alpha: "8",
    rank_pattern: { "(": 4 },
    target_modules: 3,
  };
  for (const [field, value] of Object.entries(cases)) {
    assert.throws(() => parseAdapterConfig({ ...config, [field]: value }, "dir/adapter_config.json"), (error) => {
      assert.ok(error instanceof InputError, `${field}: ${error}`);
      assert.match(error.message, /^dir\/adapter_config\.json: /);
      assert.match(error.message, field === "rank_pattern" ? /"\("/ : new RegExp(field));
      return true;
    });
  }
});

Deno.test("a config of an older PEFT, with fewer keys, means the same", () => {
  const config = parseAdapterConfig({ peft_type: "LORA", r: 8, lora_alpha: 16, target_modules: ["q_proj"] }, "x");
  assert.equal(scalingOf(config, MODULE), 2);
  assert.equal(config.fan_in_fan_out, false);
});

Deno.test("tensors that do not fit the config are refused by their name", async () => {
  const [a, b] = [tensorName(MODULE, "A"), tensorName(MODULE, "B")];
  const zeros = (...shape: number[]) => ({ shape, data: new Float32Array(shape.reduce((x, y) => x * y, 1)) });
  const cases: [Record<string, { shape: number[]; data: Float32Array } | undefined>, RegExp][] = [
    [{ [b]: undefined }, new RegExp(`"${b}" is missing`)],
    [{ [a]: undefined, [b]: undefined }, /no tensor/],
    [{ [a]: zeros(3, 2) }, /lora_A.* has shape \[3, 2\]; with rank 2 it is \[2, in\]/],
    [{ [b]: zeros(2, 4) }, /lora_B.* has shape \[2, 4\]; with rank 2 it is \[out, 2\]/],
    [{ [b]: zeros(2, 4, 2) }, /lora_B.* has shape/],
    [{ [a.replace("lora_A", "lora_magnitude_vector")]: zeros(4) }, /DoRA/],
    [{ "base_model.model.model.embed_tokens.weight": zeros(4, 2) }, /is not a LoRA matrix/],
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
      assert.deepEqual([...Deno.readDirSync(folder)], [], "nothing is written when the adapter is refused");
      await Deno.writeTextFile(join(folder, "adapter_config.json"), JSON.stringify(config));
      await Deno.writeFile(join(folder, "adapter_model.safetensors"), encodeSafetensors(tensors));
      await refused(readAdapter(folder), message);
    });
  }
});

Deno.test("a folder without an adapter, or with a pickle, says so", async () => {
  await withFolder(async (folder) => {
    await refused(readAdapter(folder), /adapter_config\.json: no such file/);
    await Deno.writeTextFile(join(folder, "adapter_config.json"), "{");
    await refused(readAdapter(folder), /adapter_config\.json: not JSON/);
    await Deno.writeTextFile(join(folder, "adapter_config.json"), JSON.stringify(small().config));
    await refused(readAdapter(folder), /adapter_model\.safetensors: no such file/);
    await Deno.writeTextFile(join(folder, "adapter_model.bin"), "");
    await refused(readAdapter(folder), /pickle/);
  });
});

Deno.test("a tensor's name and its module lead to each other", () => {
  assert.deepEqual(parseTensorName(tensorName(MODULE, "B")), { module: MODULE, matrix: "B" });
  assert.equal(parseTensorName("base_model.model.lm_head.weight"), undefined);
});
