// Uses of the operators that move elements, for the check against finite differences. It does not know how gradients
// are checked.

import { attribute, type Builder } from "../../shared/onnx/builder.ts";
import type { Dimension, Shape } from "../../shared/onnx/graph.ts";
import { any, frozen, type Input, integers, type Use } from "./gradient_check.ts";

const of = (use: string, x: Input, apply: (build: Builder) => string | string[]): Use => ({
  use,
  inputs: { x },
  apply,
});
const int = attribute.int;

const reshape = (use: string, from: Shape, to: number[]) => of(use, any(...from), (build) => build.reshape("x", to));
const transpose = (use: string, shape: Shape, permutation: number[]) =>
  of(use, any(...shape), (build) => build.transpose("x", permutation));

const concat = (use: string, axis: number, a: Shape, b: Shape, c: Shape): Use => ({
  use,
  inputs: { a: any(...a), b: any(...b), c: any(...c) },
  apply: (build) => build.concat(["a", "b", "c"], axis),
});

/** Split with given sizes, of which the loss reads only some outputs. */
const split = (use: string, shape: Shape, axis: number, sizes: number[], read: number[]) =>
  of(use, any(...shape), (build) => {
    const parts = build.operators("Split", ["x", build.ints(sizes)], sizes.length, { axis: int(axis) });
    return read.map((i) => parts[i]!);
  });

const slice = (use: string, shape: Shape, ...bounds: number[][]) =>
  of(use, any(...shape), (build) => build.operator("Slice", ["x", ...bounds.map((values) => build.ints(values))]));
const end = 2 ** 53 - 1;

const expand = (use: string, from: Shape, to: number[]) =>
  of(use, any(...from), (build) => build.operator("Expand", ["x", build.ints(to)]));

const gather = (use: string, table: Shape, indices: Input): Use => ({
  use,
  inputs: { table: any(...table), indices },
  apply: (build) => build.gather("table", "indices", 0),
});
const gatherElements = (use: string, shape: Shape, axis: number, indices: Input): Use => ({
  use,
  inputs: { x: any(...shape), indices },
  apply: (build) => build.operator("GatherElements", ["x", "indices"], { axis: int(axis) }),
});
const scatter = (use: string, into: Input, axis: number, indices: Input, updates: Input, reduction = "add"): Use => ({
  use,
  inputs: { into, indices, updates },
  apply: (build) =>
    build.operator("ScatterElements", ["into", "indices", "updates"], {
      axis: int(axis),
      reduction: attribute.string(reduction),
    }),
});
const rows = (...shape: Dimension[]) => integers([2, 0, 1, 2, 2], ...shape);

export const layoutUses: Record<string, Use[]> = {
  Reshape: [
    reshape("fixed sizes", [2, 6], [3, 4]),
    reshape("to a scalar", [1, 1], []),
    reshape("no change", [2, 3], [2, 3]),
    reshape("open sizes: heads", ["batch", "sequence", 6], [0, 0, 2, 3]),
    reshape("open sizes: rows", ["batch", "sequence", 4], [-1, 4]),
    reshape("one open size", ["batch", 6], [0, 2, -1]),
    of("one open size in front of a joined one", any("batch", 2, "sequence", 4), (b) => b.reshape("x", [0, -1, 4])),
  ],
  Flatten: [
    of("default axis", any(2, 2, 3), (build) => build.operator("Flatten", ["x"])),
    of("axis 2", any(2, 2, 3), (build) => build.operator("Flatten", ["x"], { axis: int(2) })),
    of("axis 0, open sizes", any("batch", 3), (build) => build.operator("Flatten", ["x"], { axis: int(0) })),
  ],
  Squeeze: [
    of("given axes", any(1, 3, 1), (build) => build.squeeze("x", [0, -1])),
    of("every axis of size 1", any(1, 3, 1), (build) => build.operator("Squeeze", ["x"])),
    of("open sizes", any("batch", 1, "sequence"), (build) => build.squeeze("x", [1])),
  ],
  Unsqueeze: [
    of("in front and behind", any(2, 3), (build) => build.unsqueeze("x", [0, -1])),
    of("open sizes", any("batch", "sequence"), (build) => build.unsqueeze("x", [1])),
    of("a scalar", any(), (build) => build.unsqueeze("x", [0])),
  ],
  Transpose: [
    transpose("a matrix", [2, 3], [1, 0]),
    transpose("a rotation of three axes, which is not its own inverse", [2, 3, 4], [1, 2, 0]),
    transpose("heads, open sizes", ["batch", "sequence", 2, 3], [0, 2, 1, 3]),
    transpose("five axes", ["batch", 2, 3, "sequence", 1], [0, 3, 1, 2, 4]),
    of("no permutation given", any(2, 3, 1), (build) => build.operator("Transpose", ["x"])),
  ],
  Concat: [
    concat("first axis", 0, [1, 2], [3, 2], [2, 2]),
    concat("negative axis", -1, [2, 1], [2, 3], [2, 2]),
    concat("negative axis in the middle, open sizes", -2, ["batch", 1, 2], ["batch", 2, 2], ["batch", 1, 2]),
    {
      use: "an empty cache",
      inputs: { cache: frozen(any("batch", 0, 2)), x: any("batch", "sequence", 2) },
      apply: (build) => build.concat(["cache", "x"], 1),
    },
    concat("an empty part among others", -1, [2, 2], [2, 0], [2, 1]),
    of("a value twice", any(2, 2), (build) => build.concat(["x", "x"], 1)),
    {
      use: "one part frozen",
      inputs: { a: any(2), b: frozen(any(3)), c: any(1) },
      apply: (build) => build.concat(["a", "b", "c"], 0),
    },
    of("rotate_half: halves changed places", any("batch", "sequence", 4), (build) => {
      const half = (from: number, to: number) =>
        build.operator("Slice", ["x", build.ints([from]), build.ints([to]), build.ints([2])]);
      return build.concat([build.negate(half(2, end)), half(0, 2)], -1);
    }),
  ],
  Split: [
    split("uneven, all read", [2, 6], 1, [1, 3, 2], [0, 1, 2]),
    split("uneven, one read", [2, 6], -1, [1, 3, 2], [1]),
    split("packed q, k, v", ["batch", "sequence", 8], -1, [4, 2, 2], [0, 2]),
    split("first axis", [4, 2], 0, [3, 1], [1, 0]),
    of(
      "even, by number",
      any("batch", 4),
      (build) => build.operators("Split", ["x"], 2, { axis: int(1), num_outputs: int(2) }),
    ),
    of("one output read twice", any(4), (build) => {
      const parts = build.operators("Split", ["x"], 2, { num_outputs: int(2) });
      return build.multiply(parts[0]!, build.add(parts[0]!, parts[1]!));
    }),
  ],
  Slice: [
    slice("one axis", [2, 5], [1], [4], [1]),
    slice("negative bounds and axis", [2, 5], [-4], [-1], [-1]),
    slice("every axis, none named", [4, 5], [1, 2], [3, 5]),
    slice("bounds beyond both ends", [2, 4], [-100], [end], [1]),
    slice("steps given as 1", [2, 5], [0, 1], [2, 3], [0, 1], [1, 1]),
    slice("open sizes in front", ["batch", "sequence", 6], [3], [end], [2]),
    slice("the whole of an open axis", ["batch", 4], [0, 1], [end, 3], [0, 1]),
    slice("to nothing", [2, 4], [3], [1], [1]),
    slice("a step of 2", [5], [0], [5], [0], [2]),
    slice("every second, as interleaved rotations take them", ["batch", "sequence", 6], [1], [end], [2], [2]),
    slice("steps along two axes, short of both ends", [5, 7], [1, 0], [5, 6], [0, 1], [3, 4]),
    slice("a step longer than the axis", [2, 3], [1], [3], [1], [9]),
    slice("a step along one axis, an open axis whole", ["batch", 5], [0, 0], [end, 4], [0, 1], [1, 3]),
    of(
      "no axes given, steps given",
      any(4, 5),
      (build) => build.operator("Slice", ["x", build.ints([1, 2]), build.ints([3, 5]), "", build.ints([1, 1])]),
    ),
  ],
  Expand: [
    expand("one axis", [2, 1, 3], [2, 2, 3]),
    expand("new axes", [3], [2, 2, 3]),
    expand("target smaller than input", [2, 3], [1]),
    expand("a scalar", [], [2, 3]),
    expand("repeated heads, open sizes", ["batch", 2, 1, "sequence", 2], [1, 1, 3, 1, 1]),
  ],
  Gather: [
    gather("a list of rows with repeats", [4, 3], integers([2, 0, 2, 3, 2], 5)),
    gather("rows for a batch of ids", [4, 2], integers([3, 1, 1, 0, 2, 3], "batch", "sequence")),
    gather("one row", [4, 3], integers([2])),
    gather("rows counted from the end", [4, 2], integers([-1, 0, -4, 3], 4)),
    gather("a vector's elements", [4], integers([1, 1, 3], 3)),
    gather("blocks of three axes", [3, 2, 2], integers([2, 2, 0], 3)),
    gather("open rows, at positions of a batch", ["batch", 3], integers([1, 0, 1], 3)),
    of("one place along an inner axis, as packed states are taken apart", any("batch", "sequence", 3, 2), (build) => [
      build.gather("x", build.int(1), 2),
      build.gather("x", build.int(-3), -2),
      build.gather("x", build.ints([-1]), 2),
    ]),
  ],
  GatherElements: [
    gatherElements("last axis", [2, 3], 1, rows(2, 2)),
    gatherElements("repeats", [3, 2], 0, rows(5, 2)),
    gatherElements("negative axis", [2, 3], -1, rows(2, 4)),
    gatherElements("open rows: a target's log-prob", ["batch", 3], 1, rows("batch", 1)),
    gatherElements("places counted from the end", [2, 3], 1, integers([-1, -3, -1, 0], 2, 2)),
  ],
  ScatterElements: [
    scatter("sums with repeats", any(3), 0, rows(5), any(5)),
    scatter("negative axis", any(2, 3), -1, rows(2, 4), any(2, 4)),
    scatter("tokens to rows of open number", any("batch"), 0, integers([0, 1, 1, 0, 1], "sequence"), any("sequence")),
    scatter("frozen start", frozen(any(3)), 0, rows(4), any(4)),
    scatter("frozen addends", any(3), 0, rows(4), frozen(any(4))),
  ],
  Cast: [
    of("float32 to float32", any("batch", 3), (build) => build.cast("x", 1)),
  ],
};

const fedSlice = (what: string, inputs: string[]): Use => ({
  use: `${what} that are fed`,
  inputs: { x: any(4), from: integers([1], 1), to: integers([3], 1), axes: integers([0], 1), more: integers([0], 1) },
  apply: (build) =>
    build.operator("Slice", [
      "x",
      ...inputs.map((name) =>
        name === "1" ? build.ints([1]) : name === "steps" ? build.add("more", build.ints([1])) : name
      ),
    ]),
});

/** Uses that the rules say they do not cover. */
export const refusedLayout: Record<string, Use[]> = {
  Concat: [concat("open sizes along the axis", 1, ["batch", "sequence"], ["batch", "sequence"], ["batch", "sequence"])],
  Slice: [
    slice("backwards", [5], [4], [0], [0], [-1]),
    // Summed, since a size of sequence - 1 is none that the compiler can name.
    of("the tail of an open axis", any("batch", "sequence"), (build) => {
      const tail = build.operator("Slice", ["x", build.ints([1]), build.ints([end]), build.ints([1])]);
      return build.reduceSum(tail, [1], false);
    }),
    fedSlice("starts", ["from", "1"]),
    fedSlice("ends", ["1", "to"]),
    fedSlice("axes", ["1", "1", "axes"]),
    fedSlice("steps", ["1", "1", "", "steps"]),
  ],
  Gather: [
    {
      use: "the last axis, where it is fed",
      inputs: { table: any(2, 3), indices: integers([0], 1) },
      apply: (build) => build.gather("table", "indices", 1),
    },
    of("several places along the last axis", any(2, 3), (build) => build.gather("x", build.ints([0, 2]), 1)),
    of("one place along an open axis", any(2, "sequence"), (build) => build.gather("x", build.int(0), 1)),
  ],
  ScatterElements: [
    scatter("reduction none", any(3), 0, integers([2, 0], 2), any(2), "none"),
    scatter("reduction mul", any(3), 0, rows(4), any(4), "mul"),
  ],
  Cast: [of("to float64 and back", any(3), (build) => build.cast(build.cast("x", 11), 1))],
};
