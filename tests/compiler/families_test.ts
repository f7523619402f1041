// Decoders of families that no fixture shows: log-probs of the compiled scoring graph against the logits of the same
// file in stock ONNX Runtime, and LoRA gradients against finite differences.

import { assert, assertEquals } from "@std/assert";
import { Tensor } from "onnxruntime-node";
import {
  type CompiledModel,
  compileGeneration,
  compileTraining,
  gradientName,
  type Trained,
} from "../../shared/compiler/compile.ts";
import type { AttentionSizes } from "../../shared/compiler/linear_layers.ts";
import { tree } from "../../shared/compiler/specialize.ts";
import { head } from "../../shared/compiler/score_head.ts";
import { attribute } from "../../shared/onnx/builder.ts";
import type { Graph } from "../../shared/onnx/graph.ts";
import { writeModel } from "../../shared/onnx/write_model.ts";
import { Random } from "../../shared/random.ts";
import { floats, ints, sessionFor } from "./sessions.ts";
import { type Family, sizes, tinyDecoder } from "./tiny_decoder.ts";

const { int, float } = attribute;
const everywhere = (place: ReturnType<Family["rotary"]>) => () => place;

interface Case {
  family: Family;
  /** The same function as stock ONNX Runtime can run it, where its CPU has no kernel for the family's operators. */
  stock?: Family;
  modelType?: string;
  /** Last parts of the modules that PEFT adapts. */
  modules: string[];
}

const attentionModules = ["q_proj", "k_proj", "v_proj", "o_proj"], gated = ["gate_proj", "up_proj", "down_proj"];
const usual = [...attentionModules, ...gated];
const llama: Family = { rotary: everywhere("inside"), activation: "silu" };

const phi3 = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"];
const cases: Record<string, Case> = {
  "llama 3.2: packed states, tied head": {
    family: { ...llama, packedStates: true, tied: true },
    modules: usual,
  },
  "qwen 2: biases": { family: { ...llama, bias: true, packedStates: true }, modules: usual },
  "qwen 3: norms of query and key": { family: { ...llama, headNorms: "outside", packedStates: true }, modules: usual },
  "qwen 3 with the norms inside the attention": {
    family: { ...llama, headNorms: "inside", packedStates: true },
    stock: { ...llama, headNorms: "outside", packedStates: true },
    modules: usual,
  },
  "gemma 2: soft caps, windows, norms after": {
    family: {
      ...llama,
      activation: "Gelu",
      postNorms: true,
      embeddingScale: Math.sqrt(sizes.hidden),
      logitCap: 3,
      attention: (layer) => ({
        softcap: float(2),
        scale: float(0.3),
        local_window_size: int(layer === 0 ? 4 : -1),
      }),
    },
    modules: usual,
  },
  "gemma 3: windows and norms of query and key": {
    family: {
      ...llama,
      activation: "Gelu",
      postNorms: true,
      headNorms: "outside",
      attention: (layer) => ({ local_window_size: int(layer === 0 ? 3 : -1) }),
    },
    modules: usual,
  },
  "phi 3: packed states and gate, a part of each head rotated": {
    family: { ...llama, packedStates: true, packedGate: "Split", rotary: everywhere("outside"), rotated: 8 },
    modelType: "phi3",
    modules: phi3,
  },
  "phi 3 with slices": {
    family: { ...llama, packedStates: true, packedGate: "Slice" },
    modelType: "phi3",
    modules: phi3,
  },
  "phi 3 as the GenAI builder splits it": {
    family: { ...llama, packedStates: true },
    modelType: "phi3",
    modules: phi3,
  },
  "phi 3 with states split as well": { family: llama, modelType: "phi3", modules: phi3 },
  "phi 3.5: short caches for short sequences": {
    family: { ...llama, packedStates: true, rotary: everywhere("outside"), longFrom: 16 },
    modelType: "phi3",
    modules: phi3,
  },
  "phi 3.5: long caches for long sequences": {
    family: { ...llama, packedStates: true, packedGate: "Split", longFrom: 8 },
    modelType: "phi3",
    modules: phi3,
  },
  "phi 4: long caches for a part of each head": {
    family: {
      ...llama,
      packedStates: true,
      packedGate: "Split",
      longFrom: 8,
      rotary: everywhere("outside"),
      rotated: 8,
    },
    modelType: "phi3",
    modules: phi3,
  },
  "smollm 3: layers without rotation": {
    family: { ...llama, rotary: (layer) => layer === 0 ? "inside" : "none" },
    modules: usual,
  },
  "granite: multipliers": {
    family: {
      ...llama,
      embeddingScale: 3,
      residualScale: 0.22,
      logitScale: 2,
      attention: () => ({ scale: float(0.15) }),
    },
    modules: usual,
  },
  "glm: interleaved rotation of a part of each head": {
    family: { ...llama, rotary: everywhere("outside"), interleaved: true, rotated: 8, packedGate: "Split" },
    modelType: "glm",
    modules: [...attentionModules, "gate_up_proj", "down_proj"],
  },
  "logits of chosen positions only": { family: { ...llama, keepsLogits: true }, modules: usual },
  "phi: a head with a bias": { family: { ...llama, headBias: true }, modules: usual },
  "attention sinks": { family: { ...llama, sinks: true }, modules: usual },
  "norms and activation of opset 24": { family: { ...llama, onnxNorm: true, activation: "Swish" }, modules: usual },
  "SiLU as QuickGelu": { family: { ...llama, activation: "QuickGelu" }, modules: usual },
};

const batch = 2, sequence = 9, rank = 2, scaling = 1.5;
const random = new Random(5);
const ids = Array.from({ length: batch * sequence }, () => Math.floor(random.next() * sizes.vocabulary));

/** Log-probs of every token but the first of each row, by the model's own graph in stock ONNX Runtime. */
async function stockLogProbs(graph: Graph, model: Uint8Array, folder = ".", lora = {}): Promise<number[]> {
  const session = await sessionFor(model, folder);
  const past = graph.inputs.filter(({ name }) => name.startsWith("past_key_values."));
  const { logits } = await session.run({
    input_ids: ints(ids, [batch, sequence]),
    attention_mask: ints(ids.map(() => 1), [batch, sequence]),
    position_ids: ints(ids.map((_, i) => i % sequence), [batch, sequence]),
    ...lora,
    ...(graph.inputs.some(({ name }) => name === "num_logits_to_keep") ? { num_logits_to_keep: ints([0], []) } : {}),
    ...Object.fromEntries(past.map(({ name }) => [name, floats([], [batch, sizes.kvHeads, 0, sizes.size])])),
  }, ["logits"]);
  await session.release();
  const data = logits!.data as Float32Array;
  return predicted.map(({ position, target }) => {
    const row = data.subarray(position * sizes.vocabulary, (position + 1) * sizes.vocabulary);
    const most = Math.max(...row);
    return row[target]! - most - Math.log(row.reduce((sum, each) => sum + Math.exp(each - most), 0));
  });
}

const predicted = ids.flatMap((target, i) => i % sequence === 0 ? [] : [{ position: i - 1, target }]);
const tokens = {
  input_ids: ints(ids, [batch, sequence]),
  [tree.positions]: ints(Array.from({ length: sequence }, (_, i) => i)),
  [tree.ends]: ints(new Array<number>(sequence).fill(sequence)),
  [head.positions]: ints(predicted.map(({ position }) => position)),
  [head.targets]: ints(predicted.map(({ target }) => target)),
};

/** Compiles a graph's training, in a folder that is removed after. */
async function withCompiled(
  graph: Graph,
  config: AttentionSizes,
  use: (compiled: CompiledModel) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "prospect-test-" });
  const trained: Trained = {
    kind: "lora",
    targetModules: ["all-linear"],
    asker: "test",
    rankOf: () => rank,
    scalingOf: () => scaling,
  };
  try {
    await Deno.writeFile(`${folder}/model.onnx`, writeModel(graph));
    await use(await compileTraining(`${folder}/model.onnx`, config, trained, { kind: "next-token" }));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const [name, { family, stock, modelType, modules }] of Object.entries(cases)) {
  const config: AttentionSizes = {
    model_type: modelType,
    num_attention_heads: sizes.heads,
    num_key_value_heads: sizes.kvHeads,
    head_dim: sizes.size,
    hidden_size: sizes.hidden,
  };
  Deno.test(`${name}: scores are those of stock ONNX Runtime, LoRA's gradients those of finite differences`, async () => {
    const graph = tinyDecoder(family), stockGraph = tinyDecoder(stock ?? family);
    const expected = await stockLogProbs(stockGraph, writeModel(stockGraph));
    await withCompiled(graph, config, async (compiled) => {
      assertEquals(
        compiled.layers.map(({ module }) => module).sort(),
        [0, 1].flatMap((layer) =>
          modules.map((module) => `model.layers.${layer}.${gateOrDown.test(module) ? "mlp" : "self_attn"}.${module}`)
        ).sort(),
      );
      const scoring = await sessionFor(compiled.scoring, compiled.folder);
      const none = compiled.parameters.map(({ name, shape: [rows, columns] }) =>
        [name, floats([], name.includes("lora_A") ? [rows!, 0] : [0, columns!])] as const
      );
      const { log_probs } = await scoring.run({ ...tokens, ...Object.fromEntries(none) });
      await scoring.release();
      near(expected, log_probs!.data as Float32Array, "without LoRA");
      const { lora, logProbs } = await checkGradients(compiled);
      if (stock) return;
      // The graph that answers takes B with the scaling in it.
      for (const [name, tensor] of Object.entries(lora)) {
        if (!name.includes("lora_B")) continue;
        lora[name] = floats((tensor.data as Float32Array).map((value) => scaling * value), [...tensor.dims]);
      }
      const generation = compileGeneration(`${compiled.folder}/model.onnx`, config);
      near(await stockLogProbs(graph, generation, compiled.folder, lora), logProbs, "with LoRA");
    });
  });
}

function near(stock: number[], compiled: Float32Array, what: string): void {
  stock.forEach((value, i) => {
    assert(Math.abs(compiled[i]! - value) < 3e-5, `log-prob ${i} ${what}: ${compiled[i]}, stock ${value}`);
  });
}

const gateOrDown = /^(gate|up|down|gate_up)_proj$/;

/**
 * Every LoRA matrix: some elements against fourth-order central differences of Σ weight·log-prob, kept in float64.
 *
 * @returns the matrices, and the log-probs under them
 */
async function checkGradients(
  compiled: CompiledModel,
): Promise<{ lora: Record<string, Tensor>; logProbs: Float32Array }> {
  const session = await sessionFor(compiled.gradient, compiled.folder), source = new Random(3);
  const weights = predicted.map(() => 0.5 + source.next());
  const feeds: Record<string, Tensor> = { ...tokens, token_weight: floats(weights) };
  for (const { name, shape } of compiled.parameters) {
    const count = shape.reduce((product, size) => product * size, 1);
    feeds[name] = floats(Float32Array.from({ length: count }, () => 0.3 * (2 * source.next() - 1)), shape);
  }
  const loss = async (changed: Record<string, Tensor>) => {
    const { log_probs } = await session.run({ ...feeds, ...changed }, [head.logProbs]);
    return (log_probs!.data as Float32Array).reduce((sum, value, i) => sum - value * weights[i]!, 0);
  };
  const results = await session.run(feeds), step = 1 / 64;
  for (const { name, shape } of compiled.parameters) {
    const gradient = results[gradientName(name)]!, values = feeds[name]!.data as Float32Array;
    assertEquals(gradient.dims, shape);
    const got = gradient.data as Float32Array, largest = got.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
    assert(largest > 0, `${name} has no gradient`);
    for (let i = 0; i < values.length; i += Math.ceil(values.length / 4)) {
      let slope = 0;
      for (const [steps, weight] of [[-2, 1], [-1, -8], [1, 8], [2, -1]] as const) {
        const moved = Float32Array.from(values);
        moved[i]! += steps * step;
        slope += weight * await loss({ [name]: floats(moved, shape) });
      }
      slope /= 12 * step;
      assert(Math.abs(got[i]! - slope) < 1e-3 * Math.max(1, largest), `${name}, ${i}: ${got[i]}, differences ${slope}`);
    }
  }
  await session.release();
  const lora = Object.fromEntries(compiled.parameters.map(({ name }) => [name, feeds[name]!]));
  return { lora, logProbs: results[head.logProbs]!.data as Float32Array };
}
