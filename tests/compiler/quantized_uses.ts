// Uses of products with quantised weights, for the check against finite differences. Weights are random bytes; where a
// kernel rounds its input, inputs are such that nothing is rounded. It does not know how gradients are checked.

import { attribute, type Builder } from "../../shared/onnx/builder.ts";
import { microsoft, type Shape } from "../../shared/onnx/graph.ts";
import { type DataType, dataTypes } from "../../shared/onnx/schema.ts";
import { Random } from "../../shared/random.ts";
import { any, integers, type Use } from "./gradient_check.ts";

const int = attribute.int;

/** Adds an initializer of given numbers. */
export function stored(build: Builder, name: string, dataType: DataType, dims: number[], values: ArrayLike<number>) {
  const bytes = dataType === "float32"
    ? new Uint8Array(Float32Array.from(values).buffer)
    : dataType === "float16"
    ? new Uint8Array(Float16Array.from(values).buffer)
    : Uint8Array.from(values, (value) => value & 255);
  if (bytes.length !== Math.ceil(dims.reduce((a, b) => a * b, 1) * dataTypes[dataType].bytes)) throw new Error(name);
  build.graph.initializers.set(name, { name, dataType, dims, data: { kind: "inline", bytes } });
  return name;
}

/** `count` random whole numbers below `end`. */
export function randomIntegers(seed: number, count: number, end: number): number[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => Math.floor(random.next() * end));
}

/** `count` scales between 1/64 and 3/64. */
export function randomScales(seed: number, count: number): number[] {
  return randomIntegers(seed, count, 128).map((value) => (64 + value) / 4096);
}

export interface Blocks {
  bits: 4 | 8;
  block: number;
  inner: number;
  outer: number;
  zeroPoints: "none" | "packed" | "float";
  /** Scales and zero points in one row of numbers, as older files have them. */
  flat?: boolean;
  accuracy?: number;
}

/** A MatMulNBits with random weights. */
export function matMulNBits(build: Builder, x: string, options: Blocks): string {
  const { bits, block, inner, outer, zeroPoints, flat = false, accuracy = 0 } = options;
  const blocks = Math.ceil(inner / block), blob = block * bits / 8;
  const shaped = (rowBytes: number) => flat ? [outer * rowBytes] : [outer, rowBytes];
  const inputs = [
    x,
    stored(build, "packed", "uint8", [outer, blocks, blob], randomIntegers(1, outer * blocks * blob, 256)),
    stored(build, "scales", "float32", shaped(blocks), randomScales(2, outer * blocks)),
  ];
  const zeroBytes = bits === 8 ? blocks : Math.ceil(blocks / 2);
  if (zeroPoints === "packed") {
    inputs.push(stored(build, "zeros", "uint8", shaped(zeroBytes), randomIntegers(3, outer * zeroBytes, 256)));
  }
  if (zeroPoints === "float") {
    const values = randomIntegers(4, outer * blocks, 60).map((value) => value / 4);
    inputs.push(stored(build, "zeros", "float32", shaped(blocks), values));
  }
  return build.operator("MatMulNBits", inputs, {
    K: int(inner),
    N: int(outer),
    bits: int(bits),
    block_size: int(block),
    accuracy_level: int(accuracy),
  }, { domain: microsoft });
}

function nBits(use: string, options: Blocks, rows: Shape = ["batch", "sequence"]): Use {
  return {
    use,
    inputs: { x: any(...rows, options.inner) },
    apply: (build) => matMulNBits(build, "x", options),
  };
}

const plain: Blocks = { bits: 4, block: 16, inner: 32, outer: 6, zeroPoints: "none" };

/**
 * A dynamic int8 product. Two frozen rows span −127/64 to 128/64, so that the step of the quantiser is 1/64 and inputs
 * that are multiples of it are not rounded.
 */
function dynamicInt8(use: string, dataType: "int8" | "uint8", perColumn: boolean, zeroPoint: boolean): Use {
  return {
    use,
    inputs: { x: { shape: [3, 4], value: (random) => Math.round((3 * random - 1.5) * 64) / 64 } },
    apply(build) {
      const span = stored(build, "span", "float32", [2, 4], [-127 / 64, 0, 0, 0, 128 / 64, 0, 0, 0]);
      const columns = perColumn ? [5] : [], count = perColumn ? 5 : 1;
      // Seven bits: ONNX Runtime's int8 kernel saturates in pairs of products on CPUs without VNNI.
      const low = dataType === "int8" ? 64 : 0;
      return build.operator(
        "DynamicQuantizeMatMul",
        [
          build.concat(["x", span], 0),
          stored(build, "weight", dataType, [4, 5], randomIntegers(5, 20, 128).map((value) => value - low)),
          stored(build, "scale", "float32", columns, randomScales(6, count)),
          ...(zeroPoint
            ? [stored(build, "zero", dataType, columns, randomIntegers(7, count, 64).map((value) => value - low / 2))]
            : []),
        ],
        {},
        { domain: microsoft },
      );
    },
  };
}

export const quantizedUses: Record<string, Use[]> = {
  [`${microsoft}.MatMulNBits`]: [
    nBits("4 bits, symmetric", plain),
    nBits("two axes", plain, ["batch"]),
    nBits("blocks of 32", { ...plain, block: 32, inner: 64 }),
    nBits("blocks of 128", { ...plain, block: 128, inner: 128 }),
    nBits("blocks of 256", { ...plain, block: 256, inner: 256 }),
    nBits("packed zero points", { ...plain, zeroPoints: "packed" }),
    nBits("packed zero points, an odd number of blocks", { ...plain, inner: 48, zeroPoints: "packed" }),
    nBits("float zero points", { ...plain, zeroPoints: "float" }),
    nBits("scales and zero points in one row", { ...plain, zeroPoints: "packed", flat: true }),
    nBits("the last block is not full", { ...plain, inner: 40 }),
    nBits("the last block is not full, packed zero points", { ...plain, inner: 40, zeroPoints: "packed" }),
    nBits("8 bits, symmetric", { ...plain, bits: 8 }),
    nBits("8 bits, packed zero points, the last block is not full", {
      ...plain,
      bits: 8,
      inner: 40,
      zeroPoints: "packed",
    }),
  ],
  [`${microsoft}.DynamicQuantizeMatMul`]: [
    dynamicInt8("int8", "int8", false, true),
    dynamicInt8("uint8", "uint8", false, true),
    dynamicInt8("int8, no zero point", "int8", false, false),
    dynamicInt8("int8, a scale per column", "int8", true, true),
    dynamicInt8("uint8, a scale per column", "uint8", true, true),
  ],
};

/** Uses that the rules say they do not cover. */
export const refusedQuantized: Record<string, Use[]> = {
  [`${microsoft}.MatMulNBits`]: [{
    use: "a weight that is computed",
    inputs: { x: any(2, 32), bytes: integers([7, 200, 31], 6, 2, 8) },
    apply(build) {
      const y = matMulNBits(build, "x", plain);
      build.graph.nodes.at(-1)!.inputs[1] = build.cast("bytes", dataTypes.uint8.code);
      return y;
    },
  }],
};
