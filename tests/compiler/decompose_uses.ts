// Uses of the fused operators, for the comparison of their decompositions with ONNX Runtime's own kernels. It does not
// know how they are compared.

import { attribute, type Builder } from "../../shared/onnx/builder.ts";
import { type Attribute, microsoft, type Shape } from "../../shared/onnx/graph.ts";
import { any, frozen, type Input, integers, positive } from "./gradient_check.ts";

export interface FusedUse {
  use: string;
  /** Float inputs of the graph. */
  inputs: Record<string, Input>;
  /** Appends the fused node, whose first output is returned. */
  apply: (build: Builder) => string;
  /** Shapes that the model's file declares, besides those of `inputs`. */
  shapes?: Record<string, Shape>;
  /** What the operator means, in others, where ONNX Runtime's CPU has no kernel for this variant. */
  meaning?: (build: Builder) => string;
  opset?: number;
}

type Attributes = Record<string, Attribute>;
const { int, float } = attribute;

const size = 16, heads = 4, kvHeads = 2;
const each = (count: number, width = size): Input => any("batch", "sequence", count * width);

/** int64 `[1]`: the batch, and the sequence. */
const sizes = (build: Builder) => build.once("sizes", () => build.operator("Shape", ["input_ids"]));
const sizeOf = (build: Builder, axis: number) => build.gather(sizes(build), build.ints([axis]), 0);

/** An empty cache, as the compiler puts in place of the model's cache inputs. */
function emptyPast(build: Builder, name: string, count: number): string {
  const shape = build.concat([sizeOf(build, 0), build.ints([count, 0, size])], 0);
  return build.operator("ConstantOfShape", [shape], {}, { output: name });
}

const pastShapes = (count: number): Record<string, Shape> => ({
  past_key: ["batch", count, "past", size],
  past_value: ["batch", count, "past", size],
});

/** GroupQueryAttention; `inputs` are query, key, value by those names, or a packed query, and any of the optional ones. */
function grouped(build: Builder, inputs: Record<string, Input>, attributes: Attributes, query = "query"): string {
  const has = (name: string) => name in inputs ? name : "";
  const length = sizeOf(build, 1);
  const last = build.operator("Expand", [build.subtract(length, build.int(1)), sizeOf(build, 0)]);
  const names = [
    query,
    has("key"),
    has("value"),
    emptyPast(build, "past_key", kvHeads),
    emptyPast(build, "past_value", kvHeads),
    build.cast(last, 6),
    build.cast(build.squeeze(length, [0]), 6),
    ...["cosine", "sine", "positions", "bias", "sink", "", "", "query_norm", "key_norm"].map(has),
  ];
  while (names.at(-1) === "") names.pop();
  return build.operators("GroupQueryAttention", names, 3, {
    num_heads: int(heads),
    kv_num_heads: int(kvHeads),
    ...attributes,
  }, { domain: microsoft, name: "fused" })[0]!;
}

const states = { query: each(heads), key: each(kvHeads), value: each(kvHeads) };
const caches = (half: number) => ({ cosine: frozen(any(24, half)), sine: frozen(any(24, half)) });

function group(use: string, more: Record<string, Input> = {}, attributes: Attributes = {}): FusedUse {
  const inputs = { ...states, ...more };
  return { use, inputs, apply: (build) => grouped(build, inputs, attributes), shapes: pastShapes(kvHeads) };
}

const rotary = (interleaved: number): Attributes => ({ do_rotary: int(1), rotary_interleaved: int(interleaved) });
const bias = (...leading: Shape): Input => any(...leading, "sequence", "sequence");
/** Positions that count up from a first one, the same in every row. */
const counted = (from: number): Input => ({ ...integers([], "batch", "sequence"), value: (_, i) => from + i % 5 });

const norms = { query_norm: positive(size), key_norm: positive(size) };
const epsilon = 0.25;

const groupUses: FusedUse[] = [
  group("plain"),
  group("with a scale", {}, { scale: float(0.7) }),
  group("with a local window", {}, { local_window_size: int(3) }),
  group("with a soft cap", {}, { softcap: float(1.5) }),
  group("smooth softmax", {}, { smooth_softmax: int(1) }),
  group("with sinks", { sink: any(heads) }),
  group("with sinks, a window and a soft cap", { sink: any(heads) }, { local_window_size: int(2), softcap: float(2) }),
  ...[["batch", heads], [1, heads], ["batch", 1], [1, 1]].map(([rows, count]) =>
    group(`with a bias of ${rows} rows and ${count} heads, and a soft cap`, { bias: bias(rows!, count!) }, {
      softcap: float(1.5),
    })
  ),
  ...[0, 1].flatMap((interleaved) => [
    group(`rotation inside, interleaved ${interleaved}`, caches(8), rotary(interleaved)),
  ]),
  group("rotation with positions from 0", { ...caches(8), positions: counted(0) }, rotary(0)),
  {
    use: "packed query, key and value",
    inputs: { packed: each(heads + 2 * kvHeads) },
    apply: (build) => grouped(build, {}, {}, "packed"),
    shapes: pastShapes(kvHeads),
  },
  {
    use: "packed, with rotation, window and bias",
    inputs: { packed: each(heads + 2 * kvHeads), ...caches(8), bias: bias(1, heads) },
    apply: (build) =>
      grouped(
        build,
        { ...caches(8), bias: bias(1, heads) },
        { ...rotary(0), local_window_size: int(2), scale: float(0.3) },
        "packed",
      ),
    shapes: pastShapes(kvHeads),
  },
  {
    ...group("rotation of a part of each head, which is that of RotaryEmbedding outside", caches(4), rotary(1)),
    meaning: (build) => {
      const rotated = (name: string, count: number) =>
        build.operator("RotaryEmbedding", [name, build.ints([0]), "cosine", "sine"], {
          num_heads: int(count),
          rotary_embedding_dim: int(8),
          interleaved: int(1),
        }, { domain: microsoft, output: `rotated ${name}` });
      rotated("key", kvHeads);
      return grouped(rename(build, { key: "rotated key" }), states, {}, rotated("query", heads));
    },
  },
  {
    ...group("norms of query and key inside, which come before the rotation", { ...norms, ...caches(8) }, {
      ...rotary(0),
      qk_norm_epsilon: float(epsilon),
    }),
    meaning: (build) => {
      const normal = (name: string, count: number) => {
        const perHead = build.reshape(name, [0, 0, count, size]);
        const attributes = { axis: int(-1), epsilon: float(epsilon) };
        const scaled = build.operator("SimplifiedLayerNormalization", [perHead, `${name}_norm`], attributes);
        return build.operator("Reshape", [scaled, build.ints([0, 0, count * size])], {}, { output: `normal ${name}` });
      };
      normal("key", kvHeads);
      const inputs = { ...states, ...caches(8) };
      return grouped(rename(build, { key: "normal key" }), inputs, rotary(0), normal("query", heads));
    },
  },
];

/** A builder that writes other names for some inputs of the nodes it appends. */
function rename(build: Builder, names: Record<string, string>): Builder {
  const { operators } = build;
  build.operators = (operator, inputs, ...rest) =>
    operators.call(build, operator, inputs.map((input) => names[input] ?? input), ...rest);
  return build;
}

const many = { query: each(heads), key: each(heads), value: each(heads) };
const manyPlaces = ["query", "key", "value", "bias", "padding", "attention_bias", "past_key", "past_value"];

function manyHeads(use: string, more: Record<string, Input>, attributes: Attributes = {}, past = false): FusedUse {
  const inputs = { ...many, ...more };
  return {
    use,
    inputs,
    apply: (build) => {
      if (past) ["past_key", "past_value"].forEach((name) => emptyPast(build, name, heads));
      const mask = "padding" in inputs ? build.cast("padding", 6) : "";
      const names = manyPlaces.map((name) => {
        if (name === "padding") return mask;
        return name in inputs || past && name.startsWith("past") ? name : "";
      });
      while (names.at(-1) === "") names.pop();
      return build.operator("MultiHeadAttention", names, { num_heads: int(heads), ...attributes }, {
        domain: microsoft,
        name: "fused",
      });
    },
    shapes: pastShapes(heads),
  };
}

const causal = { unidirectional: int(1) };
const padding = integers([1, 1, 1, 0, 0, 1, 1, 1, 1, 1], "batch", "sequence");
const rowMask = { ...integers([], "batch", "sequence", "sequence"), value: (_: number, i: number) => (i * 7 % 5) % 2 };

const manyHeadsUses: FusedUse[] = [
  manyHeads("causal", {}, causal),
  manyHeads("causal with a scale and an empty past", {}, { ...causal, scale: float(0.6) }, true),
  manyHeads("with the projections' bias", { bias: any(3 * heads * size) }, causal),
  manyHeads("with values of another width", { value: each(heads, 4), bias: any(2 * heads * size + heads * 4) }, causal),
  manyHeads("with a padding mask", { padding }, causal),
  manyHeads("with a padding mask and a weak filter value", { padding }, { ...causal, mask_filter_value: float(-2) }),
  manyHeads("with a mask of every row", { padding: rowMask }),
  ...[["batch", heads], [1, heads], ["batch", 1], [1, 1]].map(([rows, count]) =>
    manyHeads(`with an attention bias of ${rows} rows and ${count} heads`, { attention_bias: bias(rows!, count!) })
  ),
  manyHeads("with everything", { bias: any(3 * heads * size), padding, attention_bias: bias(1, heads) }, causal, true),
  ...[3, 2].map((parts): FusedUse => ({
    use: `packed in ${parts}, which is the same as apart`,
    inputs: { ...(parts === 2 ? { query: each(heads) } : {}), packed: any("batch", "sequence", heads, parts, size) },
    apply: (build) =>
      build.operator(
        "MultiHeadAttention",
        parts === 2 ? ["query", "packed"] : ["packed"],
        { num_heads: int(heads), ...causal },
        { domain: microsoft, name: "fused" },
      ),
    meaning: (build) => {
      const part = (i: number) => build.reshape(build.gather("packed", build.int(i), 3), [0, 0, heads * size]);
      const names = [parts === 2 ? "query" : part(0), part(parts - 2), part(parts - 1)];
      return build.operator("MultiHeadAttention", names, { num_heads: int(heads), ...causal }, { domain: microsoft });
    },
  })),
];

/** Attention of com.microsoft: the product with packed weights comes first. */
function packed(use: string, more: Record<string, Input>, attributes: Attributes, width = 3 * heads * size): FusedUse {
  const inputs = { states: any("batch", "sequence", 8), weights: any(8, width), ...more };
  const has = (name: string) => name in inputs ? name : "";
  return {
    use,
    inputs,
    apply: (build) => {
      const mask = "padding" in inputs ? build.cast("padding", 6) : "";
      const names = ["states", "weights", has("bias"), mask, "", has("attention_bias")];
      while (names.at(-1) === "") names.pop();
      return build.operator("Attention", names, { num_heads: int(heads), ...attributes }, {
        domain: microsoft,
        name: "fused",
      });
    },
  };
}

const packedUses: FusedUse[] = [
  packed("causal, with a bias", { bias: any(3 * heads * size) }, causal),
  packed("causal with a scale, a padding mask and a weak filter value", { bias: any(3 * heads * size), padding }, {
    ...causal,
    scale: float(0.6),
    mask_filter_value: float(-2),
  }),
  packed("with an attention bias", { bias: any(3 * heads * size), attention_bias: bias("batch", heads) }, {}),
  packed("with values of another width", { bias: any(2 * heads * size + 4 * heads) }, {
    ...causal,
    qkv_hidden_sizes: attribute.ints([heads * size, heads * size, 4 * heads]),
  }, 2 * heads * size + 4 * heads),
];

/** ai.onnx Attention over inputs of three axes (with numbers of heads) or four. */
function onnx(use: string, flat: boolean, more: Record<string, Input>, attributes: Attributes, opset = 23): FusedUse {
  const states = (count: number): Input => flat ? each(count) : any("batch", count, "sequence", size);
  const inputs = { query: states(heads), key: states(kvHeads), value: states(kvHeads), ...more };
  return {
    use: `${use}, ${flat ? "three" : "four"} axes, opset ${opset}`,
    inputs,
    apply: (build) => {
      const truth = "seen" in inputs ? build.operator("Greater", ["seen", build.float(-0.5)]) : "";
      const mask = truth || ("mask" in inputs ? "mask" : "");
      return build.operator("Attention", ["query", "key", "value", ...(mask ? [mask] : [])], {
        ...(flat ? { q_num_heads: int(heads), kv_num_heads: int(kvHeads) } : {}),
        ...attributes,
      }, { name: "fused" });
    },
    opset,
  };
}

/** What may be seen is above a bound: a token itself always is, for a row of nothing has no softmax. */
const seen = (...leading: Shape): Input => ({
  ...frozen(bias(...leading)),
  value: (random, i) => i % 5 === Math.floor(i / 5) % 5 ? 1 : 3 * random - 1.5,
});

const onnxUses: FusedUse[] = [true, false].flatMap((flat) => [
  onnx("causal", flat, {}, { is_causal: int(1) }),
  onnx("causal with scale and soft cap", flat, {}, { is_causal: int(1), scale: float(0.6), softcap: float(1.5) }, 24),
  onnx("with an added mask of two axes", flat, { mask: any("sequence", "sequence") }, {}),
  onnx("with an added mask of every head", flat, { mask: bias("batch", heads) }, { softcap: float(1.5) }, 24),
  onnx("with a mask of truth values of one head", flat, { seen: seen("batch", 1) }, {}),
  onnx("causal with a mask of truth values", flat, { seen: seen(1, 1) }, { is_causal: int(1) }, 24),
]);

const plain = (
  use: string,
  operator: string,
  inputs: Record<string, Input>,
  attributes: Attributes = {},
  { domain = microsoft as string, opset = 21, places = Object.keys(inputs) } = {},
): FusedUse => ({
  use,
  inputs,
  apply: (build) => build.operators(operator, places, 1, attributes, { domain, name: "fused" })[0]!,
  opset,
});

/** A skip norm whose sum, output 3, is read as well. */
const withSum = (use: FusedUse): FusedUse => ({
  ...use,
  use: `${use.use}, and its sum`,
  apply: (build) => {
    const normal = use.apply(build), node = build.graph.nodes.at(-1)!;
    node.outputs.push("", "", "sum");
    return build.add(normal, build.multiply("sum", build.float(0.5)));
  },
});

const rows = any("batch", "sequence", 8), scale = positive(8), shift = any(8);
const skips: Record<string, FusedUse[]> = {
  "com.microsoft.SkipSimplifiedLayerNormalization": [
    plain("bare", "SkipSimplifiedLayerNormalization", { x: rows, skip: rows, scale }, { epsilon: float(0.1) }),
    plain("with a bias", "SkipSimplifiedLayerNormalization", { x: rows, skip: rows, scale, bias: shift }),
  ],
  "com.microsoft.SkipLayerNormalization": [
    plain("bare", "SkipLayerNormalization", { x: rows, skip: rows, scale }, { epsilon: float(0.1) }),
    plain("with a shift", "SkipLayerNormalization", { x: rows, skip: rows, scale, shift }),
    plain("with shift and bias", "SkipLayerNormalization", { x: rows, skip: rows, scale, shift, bias: shift }),
    plain("with a bias alone", "SkipLayerNormalization", { x: rows, skip: rows, scale, bias: shift }, {}, {
      places: ["x", "skip", "scale", "", "bias"],
    }),
  ],
};

/** By operator, as the compiler's table names them. */
export const fusedUses: Record<string, FusedUse[]> = {
  "com.microsoft.GroupQueryAttention": groupUses,
  "com.microsoft.MultiHeadAttention": manyHeadsUses,
  "com.microsoft.Attention": packedUses,
  "com.microsoft.FusedMatMul": [
    plain("bare", "FusedMatMul", { left: rows, right: any(8, 5) }),
    plain("with a factor, by a turned matrix", "FusedMatMul", { left: rows, right: any(5, 8) }, {
      transB: int(1),
      alpha: float(0.3),
    }),
    ...[[0, 1], [1, 0], [1, 1]].map(([a, b]) =>
      plain(`four axes, turned ${a} and ${b}`, "FusedMatMul", {
        left: any("batch", 2, ...(a ? [8, "sequence"] : ["sequence", 8])),
        right: any("batch", 2, ...(b ? ["sequence", 8] : [8, "sequence"])),
      }, { transA: int(a!), transB: int(b!), alpha: float(0.25) })
    ),
  ],
  "com.microsoft.FusedGemm": ["Relu", "Sigmoid", "Tanh", "LeakyRelu"].map((name) =>
    plain(`then ${name}`, "FusedGemm", { left: any(6, 8), right: any(5, 8), shift: any(5) }, {
      activation: attribute.string(name),
      ...(name === "LeakyRelu" ? { activation_alpha: float(0.2) } : {}),
      transB: int(1),
      alpha: float(0.7),
      beta: float(1.5),
    })
  ),
  Attention: onnxUses,
  ...Object.fromEntries(Object.entries(skips).map(([key, list]) => [key, [...list, ...list.map(withSum)]])),
  RMSNormalization: [
    plain("last axis", "RMSNormalization", { x: rows, scale }, {}, { domain: "", opset: 23 }),
    plain("axis from the front", "RMSNormalization", { x: rows, scale }, { axis: int(2), epsilon: float(0.1) }, {
      domain: "",
      opset: 23,
    }),
  ],
  "com.microsoft.Gelu": [plain("exact", "Gelu", { x: rows })],
  "com.microsoft.BiasGelu": [plain("exact", "BiasGelu", { x: rows, bias: shift })],
  "com.microsoft.FastGelu": [
    plain("by tanh", "FastGelu", { x: rows }),
    plain("by tanh, with a bias", "FastGelu", { x: rows, bias: shift }),
  ],
  "com.microsoft.QuickGelu": [
    plain("default", "QuickGelu", { x: rows }),
    plain("alpha 1, which is SiLU", "QuickGelu", { x: rows }, { alpha: float(1) }),
  ],
  Swish: [
    plain("SiLU", "Swish", { x: rows }, {}, { domain: "", opset: 24 }),
    plain("alpha 0.5", "Swish", { x: rows }, { alpha: float(0.5) }, { domain: "", opset: 24 }),
  ],
};
