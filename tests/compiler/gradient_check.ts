// Checks a gradient rule against finite differences: a tiny graph around one operator, a random linear functional of
// its outputs as loss, and fourth-order central differences whose sums are kept in float64. Sizes named `batch` and
// `sequence` go through the compiler as unknowns and are chosen only when the graph runs.
// It does not know any operator.

import { assert, assertEquals } from "@std/assert";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { differentiate } from "../../shared/compiler/differentiate.ts";
import { applyConstants, measureShapes } from "../../shared/compiler/measure.ts";
import { lowerHead } from "../../shared/compiler/score_head.ts";
import { Builder, type RuntimeSize } from "../../shared/onnx/builder.ts";
import {
  cloneGraph,
  type Graph,
  microsoft,
  operatorKey,
  prune,
  type Shape,
  sortTopologically,
} from "../../shared/onnx/graph.ts";
import { writeModel } from "../../shared/onnx/write_model.ts";
import { Random } from "../../shared/random.ts";
import { sessionFor } from "./sessions.ts";

/** An input of the tiny graph. */
export interface Input {
  shape: Shape;
  /** A value, from a random number in [0, 1) and the element's place; integers make an int64 input. */
  value: (random: number, i: number) => number;
  integer?: boolean;
  /** Fed, but not differentiated. */
  frozen?: boolean;
}

/** One use of an operator. */
export interface Use {
  /** What is particular about it. */
  use: string;
  inputs: Record<string, Input>;
  /** Appends the operator and returns the values that the loss reads; inputs are called by their names. */
  apply: (build: Builder) => string | string[];
  /** Version of ai.onnx, 21 if not said. */
  opset?: number;
  /** For uses that are graphs of their own: compare at most so many elements of each input, spread over it. */
  atMost?: number;
  /** Largest difference allowed where sums are longer than one operator's. */
  tolerance?: number;
}

/** Multiples of 1/1024, so that a step of 1/64 is exact in float32. */
const exact = (value: number) => Math.round(value * 1024) / 1024;

/** Numbers between −1.5 and 1.5. */
export const any = (...shape: Shape): Input => ({ shape, value: (random) => exact(3 * random - 1.5) });
/** Numbers of both signs, at least 0.25 away from 0. */
export const nonZero = (...shape: Shape): Input => ({
  shape,
  value: (random) => exact((0.25 + 2.5 * Math.abs(random - 0.5)) * Math.sign(random - 0.5 || 1)),
});
/** Numbers between 0.6 and 2.1. */
export const positive = (...shape: Shape): Input => ({ shape, value: (random) => exact(0.6 + 1.5 * random) });
/** Multiples of 0.5, moved: inputs with different offsets are never equal. */
export const steps = (offset: number, ...shape: Shape): Input => ({
  shape,
  value: (random) => Math.floor(6 * random) / 2 - 1.5 + offset,
});
/** Given integers, repeated as often as needed. */
export const integers = (values: number[], ...shape: Shape): Input => ({
  shape,
  value: (_, i) => values[i % values.length]!,
  integer: true,
  frozen: true,
});
export const frozen = (input: Input): Input => ({ ...input, frozen: true });

/** Sizes of the run that is compared; the compiler measured others. */
const sizes: Record<string, number> = { batch: 2, sequence: 5 };
const step = 1 / 64;
/** Points and weights of f'(x) ≈ (f(x−2h) − 8f(x−h) + 8f(x+h) − f(x+2h)) / 12h. */
const stencil: [number, number][] = [[-2, 1], [-1, -8], [1, 8], [2, -1]];
/** Largest difference, relative to the tensor's largest gradient (or 1): float32 noise over the step, and rounding. */
const usualTolerance = 5e-5;

const concrete = (shape: Shape) => shape.map((size) => typeof size === "number" ? size : sizes[size]!);

/** Values of an input for the run that is compared. */
export function feed(input: Input, random: () => number): Tensor {
  const dims = concrete(input.shape), count = dims.reduce((product, size) => product * size, 1);
  const values = Array.from({ length: count }, (_, i) => input.value(random(), i));
  return input.integer
    ? new Tensor("int64", BigInt64Array.from(values.map(BigInt)), dims)
    : new Tensor("float32", Float32Array.from(values), dims);
}

/** The use as a graph with a scalar value `loss`, its measured shapes, and the values that the loss weights. */
async function forwardGraph({ inputs, apply, opset = 21 }: Use) {
  const graph: Graph = {
    irVersion: 10,
    opsets: new Map([["", opset], [microsoft, 1]]),
    inputs: Object.entries(inputs).map(([name, { shape, integer }]) => ({
      name,
      dataType: integer ? "int64" : "float32",
      shape,
    })),
    outputs: [],
    nodes: [],
    initializers: new Map(),
  };
  const build = new Builder(graph, "forward");
  const values = [apply(build)].flat();
  const { shapes, constants } = await measureShapes(graph, ".", []);
  const losses = values.map((value, i) => {
    const cotangent = `cotangent ${i}`, shape = shapes.get(value)!;
    graph.inputs.push({ name: cotangent, dataType: "float32", shape });
    const product = build.multiply(value, cotangent);
    const sum = build.operator("ReduceSum", [product], { keepdims: { kind: "int", value: 0 } });
    shapes.set(product, shape).set(sum, []);
    return sum;
  });
  const loss = losses.reduce((total, each) => {
    const sum = build.add(total, each);
    shapes.set(sum, []);
    return sum;
  });
  graph.outputs = [{ name: loss }];
  applyConstants(graph, constants);
  return { graph, shapes, values, loss };
}

/** Appends the gradients of the trained inputs, as the compiler does, and opens a session on the result. */
function backwardSession(
  forward: Awaited<ReturnType<typeof forwardGraph>>,
  trained: string[],
): Promise<InferenceSession> {
  const { shapes, values, loss } = forward, graph = cloneGraph(forward.graph);
  const runtimeSizes = new Map<string, RuntimeSize>();
  for (const { name, shape } of graph.inputs) {
    shape.forEach((size, axis) => typeof size === "string" && runtimeSizes.set(size, { value: name, axis }));
  }
  const build = new Builder(graph, "backward", new Map(shapes), runtimeSizes);
  for (const [name, value] of differentiate(build, loss, trained, "tiny.onnx")) {
    build.operator("Identity", [value], {}, { output: `gradient ${name}` });
  }
  graph.outputs = [...new Set(values), ...trained.map((name) => `gradient ${name}`)].map((name) => ({ name }));
  lowerHead(graph);
  prune(graph);
  sortTopologically(graph);
  return sessionFor(writeModel(graph));
}

/** Differentiates a use without running it. @throws InputError where the rule refuses it. */
export async function compileUse(use: Use): Promise<void> {
  const trained = Object.keys(use.inputs).filter((name) => !use.inputs[name]!.frozen);
  await (await backwardSession(await forwardGraph(use), trained)).release();
}

/**
 * Fails unless the rule's gradients of every trained input agree with finite differences, and come out the same to the
 * last bit when each is asked for alone.
 *
 * @param key the operator that the use must hold, if any
 * @returns the largest difference found, relative as {@link usualTolerance}
 */
export async function checkUse(key: string | undefined, use: Use): Promise<number> {
  const forward = await forwardGraph(use);
  const used = key === undefined || forward.graph.nodes.some((node) => operatorKey(node) === key);
  assert(used, `${key}: the use "${use.use}" does not use it`);
  const { atMost = Infinity, tolerance = usualTolerance } = use;
  const source = new Random(7), random = () => source.next();
  const trained = Object.keys(use.inputs).filter((name) => !use.inputs[name]!.frozen);
  const feeds: Record<string, Tensor> = {};
  for (const [name, input] of Object.entries(use.inputs)) feeds[name] = feed(input, random);
  const session = await backwardSession(forward, trained);
  for (const { name, shape } of forward.graph.inputs) {
    if (name.startsWith("cotangent ")) feeds[name] = feed(any(...chosen(shape, name)), random);
  }
  const loss = async (changed: Record<string, Tensor>) => {
    const outputs = await session.run({ ...feeds, ...changed }, forward.values);
    return forward.values.reduce((total, value, i) => {
      const y = outputs[value]!.data as Float32Array, c = feeds[`cotangent ${i}`]!.data as Float32Array;
      assertEquals(y.length, c.length);
      return y.reduce((sum, each, j) => sum + each * c[j]!, total);
    }, 0);
  };
  const results = await session.run(feeds);
  let worst = 0;
  for (const name of trained) {
    const input = feeds[name]!, x = input.data as Float32Array, gradient = results[`gradient ${name}`]!;
    const where = `${key ?? "graph"}, ${use.use}: gradient of "${name}"`;
    assertEquals(gradient.dims, input.dims, `${where} has another shape`);
    const expected: [number, number][] = [];
    for (let i = 0; i < x.length; i += Math.max(1, Math.floor(x.length / atMost))) {
      let slope = 0;
      for (const [steps, weight] of stencil) {
        const moved = Float32Array.from(x);
        moved[i]! += steps * step;
        slope += weight * await loss({ [name]: new Tensor("float32", moved, input.dims) });
      }
      expected.push([i, slope / (12 * step)]);
    }
    const scale = Math.max(1, ...expected.map(([, slope]) => Math.abs(slope)));
    expected.forEach(([i, slope]) => {
      const got = (gradient.data as Float32Array)[i]!, difference = Math.abs(got - slope) / scale;
      assert(difference <= tolerance, `${where}, element ${i}: ${got}, but finite differences say ${slope}`);
      worst = Math.max(worst, difference);
    });
    if (trained.length > 1) {
      const alone = await backwardSession(forward, [name]);
      const bits = ({ data }: Tensor) => new Uint32Array((data as Float32Array).slice().buffer);
      const only = (await alone.run(feeds))[`gradient ${name}`]!;
      assertEquals(bits(only), bits(gradient), `${where} differs when it is the only one asked for`);
      await alone.release();
    }
  }
  await session.release();
  return worst;
}

/** A measured shape with its products of runtime sizes replaced by numbers. */
function chosen(shape: Shape, name: string): Shape {
  return shape.map((size) => {
    if (typeof size === "number") return size;
    return size.split("*").reduce((product, factor) => {
      const value = /^\d+$/.test(factor) ? Number(factor) : sizes[factor];
      assert(value !== undefined, `"${name}" has the size "${size}"`);
      return product * value;
    }, 1);
  });
}
