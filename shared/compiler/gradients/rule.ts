// What a gradient rule is, and the one thing that many rules share: summing a gradient back to the shape that was
// broadcast. It does not know any operator.

import type { Builder } from "../../onnx/builder.ts";
import type { Node, Shape } from "../../onnx/graph.ts";
import { sameShape } from "../../onnx/builder.ts";

export interface GradientContext {
  node: Node;
  build: Builder;
  /** Gradient of each output; undefined where nothing flows back through it. */
  outputs: (string | undefined)[];
  /** Whether the gradient of input `i` is wanted; rules may skip the others. */
  wanted: (i: number) => boolean;
  /** Says that this use of the operator has no gradient, naming node and expectation. */
  refuse: (expected: string) => never;
}

/** Appends the vector-Jacobian product of one node; one gradient per input, undefined where there is none. */
export type GradientRule = (context: GradientContext) => (string | undefined)[];

/** Sums `gradient`, of shape `from`, over the axes along which `to` was broadcast. */
export function unbroadcast(build: Builder, gradient: string, from: Shape, to: Shape): string {
  if (sameShape(from, to)) return gradient;
  const extra = from.length - to.length;
  const stretched = to.flatMap((size, axis) => size === 1 && from[axis + extra] !== 1 ? [axis + extra] : []);
  let summed = stretched.length > 0 ? build.reduceSum(gradient, stretched, true) : gradient;
  if (extra > 0) summed = build.reduceSum(summed, Array.from({ length: extra }, (_, i) => i), false);
  return summed;
}

/** A gradient of the node's own output shape, brought to the shape of input `i`. */
export function toInput({ build, node }: GradientContext, i: number, gradient: string): string {
  return unbroadcast(build, gradient, build.shape(node.outputs[0]!), build.shape(node.inputs[i]!));
}
