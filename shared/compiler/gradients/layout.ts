// Gradients of operators that move elements without computing: reshapes, slices, joins, look-ups, casts.

import { attribute, type Builder, sameShape } from "../../onnx/builder.ts";
import { inlineNumbers, intAttribute, intsAttribute, type Shape } from "../../onnx/graph.ts";
import { dataTypes } from "../../onnx/schema.ts";
import { type GradientContext, type GradientRule, unbroadcast } from "./rule.ts";

/** The gradient in the shape of the first input: the operator only renamed axes. */
const likeInput: GradientRule = ({ node, build, outputs }) => [
  sameShape(build.shape(node.inputs[0]!), build.shape(node.outputs[0]!))
    ? outputs[0]
    : build.reshapeTo(outputs[0]!, build.shape(node.inputs[0]!)),
];

const transpose: GradientRule = ({ node, build, outputs }) => {
  const rank = build.shape(node.inputs[0]!).length;
  const permutation = intsAttribute(node, "perm") ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
  const inverse = permutation.map((_, axis) => permutation.indexOf(axis));
  return [build.transpose(outputs[0]!, inverse)];
};

const concat: GradientRule = ({ node, build, outputs, wanted, refuse }) => {
  const rank = build.shape(node.outputs[0]!).length;
  const axis = (intAttribute(node, "axis", 0) + rank) % rank;
  const sizes = node.inputs.map((input) => build.shape(input)[axis]!);
  const filled = sizes.map((size, i) => size === 0 ? -1 : i).filter((i) => i >= 0);
  // Joined to nothing but an empty cache.
  if (filled.length === 1) return node.inputs.map((_, i) => i === filled[0] ? outputs[0] : undefined);
  if (sizes.some((size) => typeof size !== "number")) return refuse(`fixed sizes along axis ${axis}`);
  const pieces = build.operators("Split", [outputs[0]!, build.ints(sizes as number[])], sizes.length, {
    axis: attribute.int(axis),
  });
  return pieces.map((piece, i) => wanted(i) ? piece : undefined);
};

const split: GradientRule = ({ node, build, outputs }) => {
  const rank = build.shape(node.inputs[0]!).length;
  const axis = (intAttribute(node, "axis", 0) + rank) % rank;
  const parts = node.outputs.map((output, i) => outputs[i] ?? build.zeros(build.shape(output)));
  return [build.concat(parts, axis)];
};

/** `value` with `count - 1` zeros after each element along an axis. */
function spaced(build: Builder, value: string, shape: Shape, axis: number, count: number): string {
  const rank = shape.length, none = Array.from({ length: rank + 1 }, () => 0);
  const after = none.map((_, i) => i === axis + 1 ? count - 1 : 0);
  const padded = build.operator("Pad", [build.unsqueeze(value, [axis + 1]), build.ints([...none, ...after])]);
  return build.reshapeTo(padded, shape.map((size, i) => i === axis ? (size as number) * count : size));
}

/** Slice with constant bounds and forward steps: the gradient stands between zeros. */
const slice: GradientRule = ({ node, build, outputs, refuse }) => {
  const shape = build.shape(node.inputs[0]!);
  const constants = node.inputs.slice(1).map((input) => inlineNumbers(build.graph.initializers.get(input)));
  const [starts, ends, axes = shape.map((_, i) => i), steps = axes.map(() => 1)] = constants;
  const fed = node.inputs.slice(1).some((input, i) => input !== "" && !constants[i]);
  if (fed || !starts || !ends || steps.some((step) => step < 1)) return refuse("constant bounds and forward steps");
  const before = shape.map(() => 0), after = shape.map(() => 0);
  const taken = [...build.shape(node.outputs[0]!)];
  let gradient = outputs[0]!;
  axes.forEach((each, i) => {
    const axis = (each + shape.length) % shape.length, size = shape[axis]!, step = steps[i]!;
    if (typeof size !== "number") {
      if (starts[i] === 0 && ends[i]! >= 2 ** 31 && step === 1) return;
      refuse(`a fixed size along axis ${axis}`);
    }
    const length = size as number;
    const bound = (value: number) => Math.min(length, Math.max(0, value < 0 ? value + length : value));
    before[axis] = bound(starts[i]!);
    if (step > 1) gradient = spaced(build, gradient, taken, axis, step);
    taken[axis] = (taken[axis] as number) * step;
    // Less than 0 where the zeros behind the last element reach over the end: Pad then takes them off.
    after[axis] = length - before[axis]! - (taken[axis] as number);
  });
  if ([...before, ...after].every((count) => count === 0)) return [gradient];
  return [build.operator("Pad", [gradient, build.ints([...before, ...after])])];
};

const expand: GradientRule = ({ node, build, outputs }) => [
  unbroadcast(build, outputs[0]!, build.shape(node.outputs[0]!), build.shape(node.inputs[0]!)),
];

/** Gather of one place along an axis (as a scalar, or as a list that keeps the axis): the gradient stands between zeros. */
function placed(context: GradientContext, axis: number, place: number): string {
  const { node, build, outputs, refuse } = context;
  const shape = build.shape(node.inputs[0]!), size = shape[axis]!;
  if (typeof size !== "number") return refuse(`a fixed size along axis ${axis}`);
  const at = (place + size) % size, none = shape.map(() => 0);
  const around = (count: number) => none.map((_, i) => i === axis ? count : 0);
  const kept = build.shape(node.inputs[1]!).length === 1;
  return build.operator("Pad", [
    kept ? outputs[0]! : build.unsqueeze(outputs[0]!, [axis]),
    build.ints([...around(at), ...around(size - 1 - at)]),
  ]);
}

/** Gather along the first axis, the embedding look-up: rows are added up where they were taken from. */
const gather: GradientRule = (context) => {
  const { node, build, outputs, refuse } = context;
  const [data, indices] = node.inputs as [string, string];
  const shape = build.shape(data);
  const axis = (intAttribute(node, "axis", 0) + shape.length) % shape.length;
  if (axis !== 0) {
    const place = inlineNumbers(build.graph.initializers.get(indices));
    const rank = build.shape(indices).length;
    if (place?.length !== 1 || rank > 1) return refuse("axis 0, or one constant place");
    return [placed(context, axis, place[0]!), undefined];
  }
  const at = build.unsqueeze(indices, [build.shape(indices).length]);
  return [
    build.operator("ScatterND", [build.zeros(shape), at, outputs[0]!], { reduction: attribute.string("add") }),
    undefined,
  ];
};

const gatherElements: GradientRule = ({ node, build, outputs }) => [
  build.operator("ScatterElements", [build.zeros(build.shape(node.inputs[0]!)), node.inputs[1]!, outputs[0]!], {
    axis: attribute.int(intAttribute(node, "axis", 0)),
    reduction: attribute.string("add"),
  }),
  undefined,
];

/** ScatterElements with reduction "add", as sums over rows are written: the addends get what was scattered. */
const scatterElements: GradientRule = ({ node, build, outputs, wanted, refuse }) => {
  const reduction = node.attributes.get("reduction");
  if (reduction?.kind !== "string" || reduction.value !== "add") return refuse('reduction "add"');
  const axis = attribute.int(intAttribute(node, "axis", 0));
  return [
    outputs[0],
    undefined,
    wanted(2) ? build.operator("GatherElements", [outputs[0]!, node.inputs[1]!], { axis }) : undefined,
  ];
};

const cast: GradientRule = ({ node, outputs, refuse }) => {
  if (intAttribute(node, "to", 0) !== dataTypes.float32.code) {
    return refuse("a cast to float32 (others are not trained through)");
  }
  return [outputs[0]];
};

export const layoutGradients: Record<string, GradientRule> = {
  Reshape: likeInput,
  Flatten: likeInput,
  Squeeze: likeInput,
  Unsqueeze: likeInput,
  Transpose: transpose,
  Concat: concat,
  Split: split,
  Slice: slice,
  Expand: expand,
  Gather: gather,
  GatherElements: gatherElements,
  ScatterElements: scatterElements,
  Cast: cast,
};
