// Writes two-layer decoders out of the operators that exporters use for the families that no fixture shows. Weights
// are random; a family is a set of switches. It does not know how the graphs are compared.

import { attribute, Builder } from "../../shared/onnx/builder.ts";
import { type Attribute, type Graph, microsoft, sortTopologically, type Tensor } from "../../shared/onnx/graph.ts";
import { messages } from "../../shared/onnx/schema.ts";
import { writeModel } from "../../shared/onnx/write_model.ts";
import { Random } from "../../shared/random.ts";

const { int, float } = attribute;

export const sizes = { vocabulary: 40, hidden: 24, heads: 4, kvHeads: 2, size: 16, inner: 20, layers: 2 };

/** What differs between families. */
export interface Family {
  /** q, k and v in one product. */
  packedStates?: boolean;
  /** RMSNorm of each query and key head: as operators of its own, or as inputs of the attention. */
  headNorms?: "outside" | "inside";
  /** Where positions come in; a layer may go without. */
  rotary: (layer: number) => "inside" | "outside" | "none";
  interleaved?: boolean;
  /** Another pair of caches for sequences longer than this, picked by an If as for long contexts. */
  longFrom?: number;
  /** Numbers of each head that are rotated; all of them if not said. */
  rotated?: number;
  attention?: (layer: number) => Record<string, Attribute>;
  sinks?: boolean;
  bias?: boolean;
  /** One product for gate and up, split after; or two. */
  packedGate?: "Split" | "Slice" | "none";
  activation: "silu" | "Gelu" | "QuickGelu" | "Swish";
  /** A norm after attention and MLP besides the one before, as Gemma has it. */
  postNorms?: boolean;
  /** RMSNorm by ai.onnx (opset 23) instead of ONNX Runtime's. */
  onnxNorm?: boolean;
  embeddingScale?: number;
  residualScale?: number;
  tied?: boolean;
  /** An input that says how many last positions have logits, 0 for all. */
  keepsLogits?: boolean;
  /** A bias of the head, which TorchScript adds from the left. */
  headBias?: boolean;
  logitScale?: number;
  logitCap?: number;
}

/** A graph without inputs whose outputs are the given tensors, as the bytes of a branch. */
function constants(tensors: Tensor[]): Uint8Array {
  const model = writeModel({
    irVersion: 10,
    opsets: new Map([["", 21]]),
    inputs: [],
    outputs: tensors.map(({ name, dataType, dims }) => ({ name, dataType, shape: dims })),
    nodes: tensors.map((value) => ({
      operator: "Constant",
      domain: "",
      name: `${value.name}/Constant`,
      inputs: [],
      outputs: [value.name],
      attributes: new Map([["value", { kind: "tensor", value }]]),
      metadata: new Map(),
    })),
    initializers: new Map(),
  });
  const { graph } = messages.model.decode(model) as unknown as { graph: object };
  return messages.graph.encode(messages.graph.create(graph)).finish();
}

/** A decoder with cache inputs and outputs, as transformers.js runs it. The same family has the same weights. */
export function tinyDecoder(family: Family): Graph {
  const { vocabulary, hidden, heads, kvHeads, size, inner, layers } = sizes;
  const graph: Graph = {
    irVersion: 10,
    opsets: new Map([["", family.onnxNorm || family.activation === "Swish" ? 24 : 21], [microsoft, 1]]),
    inputs: [
      { name: "input_ids", dataType: "int64", shape: ["batch_size", "sequence_length"] },
      { name: "attention_mask", dataType: "int64", shape: ["batch_size", "total"] },
      { name: "position_ids", dataType: "int64", shape: ["batch_size", "sequence_length"] },
    ],
    outputs: [{ name: "logits", dataType: "float32", shape: ["batch_size", "sequence_length", vocabulary] }],
    nodes: [],
    initializers: new Map(),
  };
  const build = new Builder(graph, "tiny");
  const weight = (name: string, dims: number[], spread: number, around = 0) => {
    // Each weight has a stream of its own, so that the order of writing does not matter.
    const random = new Random([...name].reduce((sum, letter) => 31 * sum + letter.charCodeAt(0) & 0xffffff, 7));
    const count = dims.reduce((product, each) => product * each, 1);
    const values = Float32Array.from({ length: count }, () => around + spread * (2 * random.next() - 1));
    const data = { kind: "inline" as const, bytes: new Uint8Array(values.buffer) };
    graph.initializers.set(name, { name, dataType: "float32", dims, data });
    return name;
  };
  const node = (name: string, operator: string, inputs: string[], attributes = {}, domain = "") =>
    build.operator(operator, inputs, attributes, { name, domain });
  const linear = (name: string, x: string, from: number, to: number) => {
    const product = node(`/${name}/MatMul`, "MatMul", [x, weight(`${name}.weight`, [from, to], 1.5 / Math.sqrt(from))]);
    return family.bias ? node(`/${name}/Add`, "Add", [product, weight(`${name}.bias`, [to], 0.3)]) : product;
  };
  const norm = (name: string, x: string, width = hidden) =>
    node(`/${name}`, family.onnxNorm ? "RMSNormalization" : "SimplifiedLayerNormalization", [
      x,
      weight(`${name}.weight`, [width], 0.4, 1),
    ], { axis: int(-1), epsilon: float(1e-5) });
  const residual = (name: string, stream: string, change: string) =>
    node(
      name,
      "Add",
      [stream, family.residualScale ? build.multiply(change, build.float(family.residualScale)) : change],
    );

  const rotated = family.rotated ?? size;
  const lengths = build.subtract(build.reduceSum("attention_mask", [1], false), build.int(1));
  const total = build.gather(build.operator("Shape", ["attention_mask"]), build.int(1), 0);
  const caches = ["cosine", "sine"];
  if (family.longFrom) {
    const branch = (name: string, rows: number) =>
      constants(caches.map((cache) => {
        const tensor = graph.initializers.get(weight(`${cache}.${name}`, [rows, rotated / 2], 1))!;
        graph.initializers.delete(tensor.name);
        return tensor;
      }));
    const [cosine, sine] = build.operators("If", [build.operator("Greater", [total, build.int(family.longFrom)])], 2, {
      then_branch: { kind: "graph", value: branch("long", 32) },
      else_branch: { kind: "graph", value: branch("short", family.longFrom) },
    });
    caches.splice(0, 2, cosine!, sine!);
  } else caches.forEach((name) => weight(name, [32, rotated / 2], 1));
  const lastPositions = build.cast(lengths, 6), length = build.cast(total, 6);

  const table = weight("embed_tokens.weight", [vocabulary, hidden], 1);
  let stream = build.gather(table, "input_ids", 0);
  if (family.embeddingScale) stream = build.multiply(stream, build.float(family.embeddingScale));
  for (let layer = 0; layer < layers; layer++) {
    const at = `model/layers.${layer}`;
    const past = ["key", "value"].map((part) => `past_key_values.${layer}.${part}`);
    for (const name of past) {
      graph.inputs.push({ name, dataType: "float32", shape: ["batch_size", kvHeads, "past", size] });
    }
    const attention = `${at}/attn`;
    const x = norm(`${at}/input_layernorm`, stream);
    let states: string[];
    if (family.packedStates) {
      const packed = linear(`${attention}/qkv_proj`, x, hidden, (heads + 2 * kvHeads) * size);
      const widths = build.ints([heads * size, kvHeads * size, kvHeads * size]);
      states = family.headNorms === "outside" || family.rotary(layer) === "outside"
        ? [...build.operators("Split", [packed, widths], 3, { axis: int(-1) })]
        : [packed, "", ""];
    } else {
      states = [["q_proj", heads], ["k_proj", kvHeads], ["v_proj", kvHeads]].map(([name, count]) =>
        linear(`${attention}/${name}`, x, hidden, count as number * size)
      );
    }
    const norms = [["q_norm", heads], ["k_norm", kvHeads]] as const;
    if (family.headNorms === "outside") {
      norms.forEach(([name, count], i) => {
        const perHead = build.reshape(states[i]!, [0, 0, count, size]);
        states[i] = build.reshape(norm(`${attention}/${name}`, perHead, size), [0, 0, count * size]);
      });
    }
    const inside = family.headNorms === "inside"
      ? norms.map(([name]) => weight(`${attention}/${name}.weight`, [size], 0.4, 1))
      : ["", ""];
    const rotary = family.rotary(layer), interleaved = int(family.interleaved ? 1 : 0);
    if (rotary === "outside") {
      [heads, kvHeads].forEach((count, i) => {
        states[i] = node(`/${attention}/${i}/RotaryEmbedding`, "RotaryEmbedding", [
          states[i]!,
          "position_ids",
          ...caches,
        ], {
          interleaved,
          num_heads: int(count),
          rotary_embedding_dim: int(rotated === size ? 0 : rotated),
        }, microsoft);
      });
    }
    const sink = family.sinks ? weight(`${attention}/sinks`, [heads], 1) : "";
    const inputs = [
      ...states,
      ...past,
      lastPositions,
      length,
      ...(rotary === "inside" ? caches : ["", ""]),
      "",
      "",
      sink,
      "",
      "",
      ...inside,
    ];
    while (inputs.at(-1) === "") inputs.pop();
    const [mixed] = build.operators("GroupQueryAttention", inputs, 3, {
      num_heads: int(heads),
      kv_num_heads: int(kvHeads),
      do_rotary: int(rotary === "inside" ? 1 : 0),
      rotary_interleaved: interleaved,
      qk_norm_epsilon: float(1e-5),
      ...family.attention?.(layer),
    }, { domain: microsoft, name: `/${attention}/GroupQueryAttention` });
    let change = linear(`${attention}/o_proj`, mixed!, heads * size, hidden);
    if (family.postNorms) change = norm(`${at}/post_attention_layernorm`, change);
    stream = residual(`/${at}/residual_0`, stream, change);
    change = mlp(`${at}/mlp`, norm(`${at}/pre_feedforward_layernorm`, stream));
    if (family.postNorms) change = norm(`${at}/post_feedforward_layernorm`, change);
    stream = residual(`/${at}/residual_1`, stream, change);
  }
  stream = norm("model/norm", stream);
  if (family.keepsLogits) {
    graph.inputs.push({ name: "num_logits_to_keep", dataType: "int64", shape: [] });
    const start = build.unsqueeze(build.negate("num_logits_to_keep"), [0]);
    stream = build.operator("Slice", [stream, start, build.ints([2 ** 53 - 1]), build.ints([1])]);
  }
  let logits = node("/lm_head/MatMul", "MatMul", [
    stream,
    family.tied ? build.transpose(table, [1, 0]) : weight("lm_head.weight", [hidden, vocabulary], 0.5),
  ]);
  if (family.headBias) logits = node("/lm_head/Add", "Add", [weight("lm_head.bias", [vocabulary], 1), logits]);
  if (family.logitScale) logits = build.divide(logits, build.float(family.logitScale));
  if (family.logitCap) {
    const cap = build.float(family.logitCap);
    logits = build.multiply(build.operator("Tanh", [build.divide(logits, cap)]), cap);
  }
  build.operator("Identity", [logits], {}, { output: "logits" });
  sortTopologically(graph);
  return graph;

  function activate(name: string, x: string): string {
    if (family.activation === "silu") return node(`/${name}/Mul`, "Mul", [x, build.operator("Sigmoid", [x])]);
    if (family.activation === "Gelu") {
      return node(`/${name}/Gelu`, "Gelu", [x], { approximate: attribute.string("tanh") });
    }
    const domain = family.activation === "QuickGelu" ? microsoft : "";
    return node(`/${name}/${family.activation}`, family.activation, [x], { alpha: float(1) }, domain);
  }

  function mlp(name: string, x: string): string {
    let gate: string, up: string;
    if (family.packedGate === "Split") {
      const packed = linear(`${name}/gate_up_proj`, x, hidden, 2 * inner);
      [gate, up] = build.operators("Split", [packed], 2, { axis: int(-1), num_outputs: int(2) }) as [string, string];
    } else if (family.packedGate === "Slice") {
      const packed = linear(`${name}/gate_up_proj`, x, hidden, 2 * inner), last = build.ints([-1]);
      const part = (from: number, to: number) =>
        build.operator("Slice", [packed, build.ints([from]), build.ints([to]), last]);
      [gate, up] = [part(0, inner), part(inner, 2 ** 53 - 1)];
    } else {
      [gate, up] = [linear(`${name}/gate_proj`, x, hidden, inner), linear(`${name}/up_proj`, x, hidden, inner)];
    }
    const inside = node(`/${name}/Mul`, "Mul", [activate(`${name}/act_fn`, gate), up]);
    return linear(`${name}/down_proj`, inside, inner, hidden);
  }
}
