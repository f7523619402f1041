// Scaled dot-product attention in ordinary operators, as every fused attention operator is written: without repeating
// keys and values for grouped heads. The query heads of a group are stacked along the sequence,
// `[batch, kvHeads, group*sequence, size]`. It does not know the operators' inputs and attributes.

import { attribute, type Builder } from "../../onnx/builder.ts";
import { tokenPositions } from "../specialize.ts";

export interface Attention {
  /** `[batch, kvHeads, group*sequence, size]`, already scaled, unless there is a `scale`. */
  queries: string;
  /** What the scores are multiplied by. */
  scale?: string | undefined;
  /** `[batch, kvHeads, size, sequence]`. */
  keys: string;
  /** `[batch, kvHeads, sequence, valueSize]`. */
  values: string;
  /** Scores are held under ±softcap by a tanh; 0 is no cap. */
  softcap: number;
  /** Added to the capped scores, in order; each broadcasts to `[batch, kvHeads, group*sequence, sequence]`. */
  masks: string[];
  /** A score without a value for every query row, `[1, kvHeads, group*sequence, 1]` or a scalar: it only takes weight. */
  sink?: string | undefined;
}

/** softmax(mask(queries·keys))·values, `[batch, kvHeads, group*sequence, valueSize]`. */
export function attend(build: Builder, { queries, scale, keys, values, softcap, masks, sink }: Attention): string {
  let scores = build.matMul(queries, keys);
  if (scale !== undefined) scores = build.multiply(scores, scale);
  if (softcap > 0) {
    const capped = build.operator("Tanh", [build.divide(scores, build.float(softcap))]);
    scores = build.multiply(capped, build.float(softcap));
  }
  for (const mask of masks) scores = build.add(scores, mask);
  const weights = build.operator("Softmax", [scores], { axis: attribute.int(-1) });
  const mixed = build.matMul(weights, values);
  if (sink === undefined) return mixed;
  // softmax over the scores and the sink, less the sink's own weight: exp(x)/(Σexp + exp(sink)) = softmax(x)·σ(log Σexp − sink).
  const total = build.operator("ReduceLogSumExp", [scores, build.ints([-1])], { keepdims: attribute.int(1) });
  return build.multiply(mixed, build.operator("Sigmoid", [build.subtract(total, sink)]));
}

/** Length of the sequence, an int64 scalar. */
export function sequenceLength(build: Builder): string {
  return build.once("length", () => build.gather(build.operator("Shape", ["input_ids"]), build.int(1), 0));
}

/**
 * Additive causal mask `[rows, sequence]`: 0 where key ≤ query (and inside the local window), -inf elsewhere. Rows
 * repeat per query head of a group.
 *
 * @param rows number of rows, an int64 scalar; undefined is one per position
 * @param window keys that a query sees, its own included; 0 is all of them
 */
export function causalMask(build: Builder, rows: string | undefined, window: number): string {
  const additive = (visible: string) => build.operator("Where", [visible, build.float(0), build.float(-Infinity)]);
  return build.once(`mask ${rows} ${window}`, () => {
    const length = sequenceLength(build);
    const range = (end: string) =>
      build.once(`range ${end}`, () => build.operator("Range", [build.int(0), end, build.int(1)]));
    const keys = range(length);
    const places = rows === undefined ? keys : build.operator("Mod", [range(rows), length]);
    const visible = build.operator("LessOrEqual", [keys, build.unsqueeze(places, [1])]);
    if (window > 0) {
      // A window is counted in positions, which are not places where rows share a prefix.
      const positions = tokenPositions(build);
      const query = build.unsqueeze(build.gather(positions, places, 0), [1]);
      const inWindow = build.operator("Greater", [positions, build.subtract(query, build.int(window))]);
      return additive(build.operator("And", [visible, inWindow]));
    }
    return additive(visible);
  });
}
