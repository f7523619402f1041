// Appends typed operators to a graph: fresh names, shared constants, and the shape of every value that is known.
// It does not know gradients, models or files; the order of nodes is put right later (sortTopologically).

import type { Attribute, Graph, Shape } from "./graph.ts";
import type { DataType } from "./schema.ts";

/** Attribute values as callers write them; integers and floats need saying which. */
export const attribute = {
  int: (value: number): Attribute => ({ kind: "int", value }),
  float: (value: number): Attribute => ({ kind: "float", value }),
  ints: (value: number[]): Attribute => ({ kind: "ints", value }),
  string: (value: string): Attribute => ({ kind: "string", value }),
};

export interface OperatorOptions {
  domain?: string;
  /** Name of the node; messages and profiles show it. */
  name?: string;
  /** Name of the first output, where the caller needs a fixed one. */
  output?: string;
}

/** Sizes that a run chooses, by the value they are read from. */
export interface RuntimeSize {
  /** A value whose shape holds the size, and the axis. */
  value: string;
  axis: number;
}

/** A value has an axis whose size is neither fixed nor made of the run's sizes. */
export class UnknownShapeError extends Error {
  constructor(readonly value: string) {
    super(`The shape of "${value}" is not known to the compiler.`);
  }
}

/**
 * Writes nodes into `graph`. Shapes of values are kept in `shapes`; a symbolic dimension is the name of a runtime size,
 * or a product such as `3*batch*sequence`.
 */
export class Builder {
  #next = 0;
  #memory = new Map<string, string>();

  constructor(
    readonly graph: Graph,
    /** Prefix of the names this builder makes; must differ between builders of one graph. */
    readonly prefix: string,
    readonly shapes: Map<string, Shape> = new Map(),
    readonly runtimeSizes: ReadonlyMap<string, RuntimeSize> = new Map(),
  ) {}

  /** Shape of a value. @throws UnknownShapeError when no shape was measured or given. */
  shape(value: string): Shape {
    const initializer = this.graph.initializers.get(value);
    const shape = this.shapes.get(value) ?? initializer?.dims;
    if (!shape) throw new UnknownShapeError(value);
    return shape;
  }

  fresh(hint: string): string {
    return `${this.prefix}/${hint}_${this.#next++}`;
  }

  /** Appends a node with `count` outputs and returns their names. */
  operators(
    operator: string,
    inputs: string[],
    count: number,
    attributes: Record<string, Attribute> = {},
    options: OperatorOptions = {},
  ): string[] {
    const name = options.name ?? this.fresh(operator);
    const outputs = Array.from(
      { length: count },
      (_, i) => i === 0 && options.output ? options.output : `${name}:${i}`,
    );
    this.graph.nodes.push({
      operator,
      domain: options.domain ?? "",
      name,
      inputs,
      outputs,
      attributes: new Map(Object.entries(attributes)),
      metadata: new Map(),
    });
    return outputs;
  }

  /** Appends a node with one output and returns its name. */
  operator(
    operator: string,
    inputs: string[],
    attributes: Record<string, Attribute> = {},
    options: OperatorOptions = {},
  ) {
    return this.operators(operator, inputs, 1, attributes, options)[0]!;
  }

  /** The value that `make` appends, made once per key however often it is asked for. */
  once(key: string, make: () => string): string {
    let value = this.#memory.get(key);
    if (value === undefined) this.#memory.set(key, value = make());
    return value;
  }

  #constant(dataType: DataType, dims: number[], bytes: Uint8Array, key: string): string {
    return this.once(key, () => {
      const name = this.fresh("constant");
      this.graph.initializers.set(name, { name, dataType, dims, data: { kind: "inline", bytes } });
      return name;
    });
  }

  /** int64 vector. */
  ints(values: number[]): string {
    const bytes = new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer);
    return this.#constant("int64", [values.length], bytes, `ints ${values}`);
  }

  /** int64 scalar. */
  int(value: number): string {
    return this.#constant("int64", [], new Uint8Array(BigInt64Array.of(BigInt(value)).buffer), `int ${value}`);
  }

  /** float32 scalar. */
  float(value: number): string {
    return this.#constant("float32", [], new Uint8Array(Float32Array.of(value).buffer), `float ${value}`);
  }

  add = (a: string, b: string) => this.operator("Add", [a, b]);
  subtract = (a: string, b: string) => this.operator("Sub", [a, b]);
  multiply = (a: string, b: string) => this.operator("Mul", [a, b]);
  divide = (a: string, b: string) => this.operator("Div", [a, b]);
  negate = (a: string) => this.operator("Neg", [a]);
  matMul = (a: string, b: string) => this.operator("MatMul", [a, b]);
  transpose = (a: string, permutation: number[]) =>
    this.operator("Transpose", [a], { perm: attribute.ints(permutation) });
  /** Reshape to constant sizes; 0 copies the size at that place, -1 takes what is left. */
  reshape = (a: string, sizes: number[]) => this.operator("Reshape", [a, this.ints(sizes)]);
  concat = (values: string[], axis: number) => this.operator("Concat", values, { axis: attribute.int(axis) });
  unsqueeze = (a: string, axes: number[]) => this.operator("Unsqueeze", [a, this.ints(axes)]);
  squeeze = (a: string, axes: number[]) => this.operator("Squeeze", [a, this.ints(axes)]);
  gather = (a: string, indices: string, axis: number) =>
    this.operator("Gather", [a, indices], { axis: attribute.int(axis) });
  reduceSum = (a: string, axes: number[], keep: boolean) =>
    this.operator("ReduceSum", [a, this.ints(axes)], { keepdims: attribute.int(keep ? 1 : 0) });
  reduceMean = (a: string, axes: number[], keep: boolean) =>
    this.operator("ReduceMean", [a, this.ints(axes)], { keepdims: attribute.int(keep ? 1 : 0) });
  cast = (a: string, code: number) => this.operator("Cast", [a], { to: attribute.int(code) });

  /** A·B for matrices, either side transposed in place, times alpha. */
  gemm(a: string, b: string, options: { transA?: boolean; transB?: boolean; alpha?: number } = {}): string {
    return this.operator("Gemm", [a, b], {
      ...(options.transA ? { transA: attribute.int(1) } : {}),
      ...(options.transB ? { transB: attribute.int(1) } : {}),
      ...(options.alpha === undefined ? {} : { alpha: attribute.float(options.alpha) }),
    });
  }

  /** int64 vector `[1]` holding a dimension, read from the run's own inputs where it is symbolic. */
  #dimension(dimension: number | string): string {
    if (typeof dimension === "number") return this.ints([dimension]);
    return this.once(`dimension ${dimension}`, () => {
      const factors = dimension.split("*").map((factor) => {
        if (/^\d+$/.test(factor)) return this.ints([Number(factor)]);
        const source = this.runtimeSizes.get(factor);
        if (!source) throw new Error(`The compiler cannot compute the size "${dimension}".`);
        return this.once(
          `size ${factor}`,
          () => this.gather(this.operator("Shape", [source.value]), this.ints([source.axis]), 0),
        );
      });
      return factors.reduce((product, factor) => this.multiply(product, factor));
    });
  }

  /** int64 vector of a shape: a constant where at most one size is symbolic and `exact` is not asked for, else computed. */
  shapeVector(shape: Shape, exact = false): string {
    const symbols = shape.filter((size) => typeof size !== "number").length;
    if (symbols === 0) return this.ints(shape as number[]);
    if (symbols === 1 && !exact && !shape.includes(0)) {
      return this.ints(shape.map((size) => typeof size === "number" ? size : -1));
    }
    return this.once(`shape ${shape.join(",")}`, () => {
      const parts = shape.map((size) => this.#dimension(size));
      return parts.length === 1 ? parts[0]! : this.concat(parts, 0);
    });
  }

  /** Reshape to a shape that may hold runtime sizes. */
  reshapeTo(a: string, shape: Shape): string {
    return this.operator("Reshape", [a, this.shapeVector(shape)]);
  }

  /** float32 zeros of a shape. */
  zeros(shape: Shape): string {
    return this.operator("ConstantOfShape", [this.shapeVector(shape, true)]);
  }
}

/** Shapes are the same when every size is. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}
