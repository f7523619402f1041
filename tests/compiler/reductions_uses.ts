// Uses of reductions, softmax, normalisations, rotary embedding and the scored head, for the check against finite
// differences. It does not know how gradients are checked.

import { prospect } from "../../shared/compiler/score_head.ts";
import { attribute, type Builder } from "../../shared/onnx/builder.ts";
import { microsoft, type Shape } from "../../shared/onnx/graph.ts";
import { any, frozen, type Input, integers, positive, type Use } from "./gradient_check.ts";

const int = attribute.int;

/** A reduction with its axes as an input. */
function reduction(operator: string, shape: Shape, axes: number[] | undefined, keepdims: number): Use {
  return {
    use: `[${shape}] over ${axes ? `axes ${axes}` : "everything"}, keepdims ${keepdims}`,
    inputs: { x: any(...shape) },
    apply: (build) => build.operator(operator, ["x", ...(axes ? [build.ints(axes)] : [])], { keepdims: int(keepdims) }),
  };
}

function reductions(operator: string): Use[] {
  return [0, 1].flatMap((keepdims) => [
    reduction(operator, [2, 3], [1], keepdims),
    reduction(operator, [2, 3, 2], [-1, 0], keepdims),
    reduction(operator, [2, 3, 2], [2, 1], keepdims),
    reduction(operator, [2, 3], undefined, keepdims),
    reduction(operator, [2, 3], [], keepdims),
    reduction(operator, ["batch", "sequence", 4], [-1], keepdims),
    reduction(operator, ["batch", 2, "sequence", 2], [1], keepdims),
  ]);
}

const doNothing = (operator: string): Use => ({
  use: "no axes and noop_with_empty_axes",
  inputs: { x: any(2, 3) },
  apply: (build) => build.operator(operator, ["x", build.ints([])], { noop_with_empty_axes: int(1) }),
});

/** Softmax and its kin on each axis. */
function softmaxes(operator: string): Use[] {
  const use = (shape: Shape, axis?: number): Use => ({
    use: `[${shape}], axis ${axis ?? "not given"}`,
    inputs: { x: any(...shape) },
    apply: (build) => build.operator(operator, ["x"], axis === undefined ? {} : { axis: int(axis) }),
  });
  const masked: Use = {
    use: "masked by −inf",
    inputs: { x: any("batch", 3) },
    apply: (build) =>
      build.operator(operator, [
        build.add("x", build.operator("Where", [mask(build), build.float(0), build.float(-Infinity)])),
      ], { axis: int(-1) }),
  };
  return [
    use([2, 4]),
    use([2, 3, 2], 1),
    use([2, 3], 0),
    use(["batch", 2, "sequence", "sequence"], -1),
    use(["batch", "sequence"], 1),
    ...(operator === "Softmax" ? [masked] : []),
  ];
}

/** bool [3]: the first two are visible. */
const mask = (build: Builder) =>
  build.operator("Less", [build.operator("Range", [build.int(0), build.int(3), build.int(1)]), build.int(2)]);

function normalization(operator: string, bias: boolean): Use[] {
  const use = (use: string, x: Input, scale: Input, attributes: Parameters<Builder["operator"]>[2] = {}): Use => ({
    use: bias ? `${use}, with bias` : use,
    inputs: { x, scale, ...(bias ? { bias: any(...scale.shape) } : {}) },
    apply: (build) => build.operator(operator, ["x", "scale", ...(bias ? ["bias"] : [])], attributes),
  });
  return [
    use("fixed sizes", any(2, 4), positive(4)),
    use("open sizes", any("batch", "sequence", 4), positive(4), { axis: int(-1) }),
    use("axis from the front", any(2, 2, 4), positive(4), { axis: int(2) }),
    use("large epsilon", any(2, 4), any(4), { epsilon: attribute.float(0.5) }),
    use("per head", any("batch", "sequence", 2, 4), positive(4)),
    use("frozen scale", any("batch", 4), frozen(positive(4))),
    use("frozen rows", frozen(any("batch", 4)), positive(4)),
  ];
}

/** Rotary embedding with random caches: the rule must not rely on sin² + cos² = 1. */
function rotary(use: string, x: Shape, head: number, positions: Input, attributes: Record<string, number>): Use {
  return {
    use,
    inputs: { x: any(...x), positions, cosine: frozen(any(12, head / 2)), sine: frozen(any(12, head / 2)) },
    apply: (build) =>
      build.operator(
        "RotaryEmbedding",
        ["x", "positions", "cosine", "sine"],
        Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name, int(value)])),
        { domain: microsoft },
      ),
  };
}

/** The rotation of ai.onnx: positions come last, or the caches are those of each token already. */
function onnxRotary(use: string, x: Shape, caches: Shape, positions: boolean, attributes: Record<string, number>): Use {
  return {
    use,
    inputs: {
      x: any(...x),
      cosine: frozen(any(...caches)),
      sine: frozen(any(...caches)),
      ...(positions ? { positions: integers([3, 0, 5, 1, 7, 2], "batch", "sequence") } : {}),
    },
    apply: (build) =>
      build.operator(
        "RotaryEmbedding",
        ["x", "cosine", "sine", ...(positions ? ["positions"] : [])],
        Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name, int(value)])),
      ),
    opset: 23,
  };
}

function onnxRotaries(interleaved: number): Use[] {
  const kind = interleaved ? "interleaved" : "halves";
  const each: Shape = ["batch", "sequence", 2];
  return [
    onnxRotary(`${kind}, three axes`, ["batch", "sequence", 8], [12, 2], true, { interleaved, num_heads: 2 }),
    onnxRotary(`${kind}, four axes`, ["batch", 2, "sequence", 4], [12, 2], true, { interleaved }),
    onnxRotary(`${kind}, a cache of each token`, ["batch", 2, "sequence", 4], each, false, { interleaved }),
    onnxRotary(`${kind}, a part of each head`, ["batch", "sequence", 12], [12, 2], true, {
      interleaved,
      num_heads: 2,
      rotary_embedding_dim: 4,
    }),
  ];
}

function rotaries(interleaved: number): Use[] {
  const kind = interleaved ? "interleaved" : "halves";
  const offset = integers([0], 1), each = integers([3, 0, 5, 1, 7, 2], "batch", "sequence");
  return [
    rotary(`${kind}, three axes`, ["batch", "sequence", 8], 4, offset, { interleaved, num_heads: 2 }),
    rotary(`${kind}, four axes`, ["batch", 2, "sequence", 4], 4, offset, { interleaved }),
    rotary(`${kind}, positions of each token`, ["batch", "sequence", 8], 4, each, { interleaved, num_heads: 2 }),
    rotary(`${kind}, a part of each head`, ["batch", "sequence", 12], 4, offset, {
      interleaved,
      num_heads: 2,
      rotary_embedding_dim: 4,
    }),
  ];
}

/** The scored head over 6 words; its weight is frozen. */
function scoredHead(transposed: boolean, chunks: number, states: Shape, targets: Input): Use {
  return {
    use: `${transposed ? "[vocabulary, hidden]" : "[hidden, vocabulary]"}, ${chunks} chunks, states [${states}]`,
    inputs: { states: any(...states), weight: frozen(transposed ? any(6, 3) : any(3, 6)), targets },
    apply: (build) =>
      build.operators("LinearLogProb", ["states", "targets", "weight"], 2, {
        product: attribute.string("Gemm"),
        domain: attribute.string(""),
        transB: int(transposed ? 1 : 0),
        chunks: int(chunks),
      }, { domain: prospect })[0]!,
  };
}

export const reductionUses: Record<string, Use[]> = {
  ReduceSum: [
    ...reductions("ReduceSum"),
    ...[0, 1].map((keepdims) => reduction("ReduceSum", ["batch", "sequence", 2], [0, 1], keepdims)),
    doNothing("ReduceSum"),
  ],
  ReduceMean: [
    ...reductions("ReduceMean"),
    doNothing("ReduceMean"),
  ],
  ReduceLogSumExp: [
    ...reductions("ReduceLogSumExp"),
    {
      use: "masked by −inf",
      inputs: { x: any("batch", 3) },
      apply: (build) =>
        build.operator("ReduceLogSumExp", [
          build.add("x", build.operator("Where", [mask(build), build.float(0), build.float(-Infinity)])),
          build.ints([-1]),
        ]),
    },
  ],
  Softmax: softmaxes("Softmax"),
  LogSoftmax: softmaxes("LogSoftmax"),
  SimplifiedLayerNormalization: normalization("SimplifiedLayerNormalization", false),
  LayerNormalization: [
    ...normalization("LayerNormalization", false),
    ...normalization("LayerNormalization", true),
  ],
  "com.microsoft.RotaryEmbedding": [...rotaries(0), ...rotaries(1)],
  RotaryEmbedding: [...onnxRotaries(0), ...onnxRotaries(1)],
  "prospect.LinearLogProb": [true, false].flatMap((transposed) => [
    scoredHead(transposed, 1, [4, 3], integers([5, 0, 2, 2], 4)),
    scoredHead(transposed, 4, [8, 3], integers([5, 0, 2, 2, 1, 4, 3], 8)),
    scoredHead(transposed, 1, ["batch", 3], integers([4, 1], "batch")),
  ]),
};

/** Uses that the rules say they do not cover. */
export const refusedReductions: Record<string, Use[]> = {
  ReduceSum: [{
    use: "axes that are fed",
    inputs: { x: any(2, 3), axes: integers([1], 1) },
    apply: (build) => build.operator("ReduceSum", ["x", "axes"]),
  }],
  ReduceMean: [reduction("ReduceMean", ["batch", "sequence"], [1], 1)],
  LayerNormalization: [{
    use: "two axes",
    inputs: { x: any(2, 2, 3), scale: any(2, 3) },
    apply: (build) => build.operator("LayerNormalization", ["x", "scale"], { axis: int(1) }),
  }],
  "prospect.LinearLogProb": [true, false].map((transposed) => {
    const use = scoredHead(transposed, 1, [2, 3], integers([1, 4], 2));
    return { ...use, inputs: { ...use.inputs, weight: transposed ? any(6, 3) : any(3, 6) } };
  }),
};
