// A frozen matrix as its file keeps it (float32, float16, integers with scales, 4- or 8-bit blocks), and how rows of it
// become float32 inside a graph. Rows are contiguous in the file, so reading some of them is another range of the same
// bytes: no copy is made and nothing is cut at run time. It does not know what is multiplied by it.

import { attribute, Builder } from "../onnx/builder.ts";
import { type Graph, intAttribute, intsAttribute, type Node, producers, type Tensor } from "../onnx/graph.ts";
import { type DataType, dataTypes } from "../onnx/schema.ts";

export interface StoredMatrix {
  rows: number;
  columns: number;
  /** Whether the bytes are float32 already, so that reading costs nothing. */
  plain: boolean;
  /** Appends what makes rows `from` up to `to` float32; returns that value, [to − from, columns]. */
  read(build: Builder, from: number, to: number): string;
}

/** A stored matrix, or its transpose, as an operand of a product. */
export interface Operand {
  matrix: StoredMatrix;
  transposed: boolean;
}

const float32Code = dataTypes.float32.code;

/**
 * The same bytes under another type and shape, or a range of them, as a further initializer.
 *
 * @param offset in bytes
 */
function view(graph: Graph, tensor: Tensor, dataType: DataType, dims: number[], offset = 0): string {
  const length = Math.ceil(dims.reduce((product, size) => product * size, 1) * dataTypes[dataType].bytes);
  const name = `${tensor.name}/${dataType}[${dims}]@${offset}`;
  const data = tensor.data.kind === "inline"
    ? { kind: "inline" as const, bytes: tensor.data.bytes.subarray(offset, offset + length) }
    : { ...tensor.data, offset: tensor.data.offset + offset, length };
  graph.initializers.set(name, { name, dataType, dims, data });
  return name;
}

/** Rows of an initializer seen as a matrix of `columns` elements of `dataType` a row. */
function rowsOf(graph: Graph, tensor: Tensor, columns: number, from: number, to: number, dataType = tensor.dataType) {
  return view(graph, tensor, dataType, [to - from, columns], from * columns * dataTypes[dataType].bytes);
}

/** Vector elements of an initializer; all of it where it holds one number for the whole matrix. */
function elementsOf(graph: Graph, tensor: Tensor, from: number, to: number): string {
  const count = tensor.dims.reduce((product, size) => product * size, 1);
  if (count === 1) return view(graph, tensor, tensor.dataType, []);
  return view(graph, tensor, tensor.dataType, [to - from], from * dataTypes[tensor.dataType].bytes);
}

/** An initializer, perhaps through a Cast to float32: scales of float16 files. */
function stored(graph: Graph, writer: Map<string, Node>, value: string): Tensor | undefined {
  const node = writer.get(value);
  const direct = node?.operator === "Cast" && intAttribute(node, "to", 0) === float32Code ? node.inputs[0]! : value;
  return graph.initializers.get(direct);
}

const asFloat32 = (build: Builder, value: string) =>
  build.graph.initializers.get(value)!.dataType === "float32" ? value : build.cast(value, float32Code);

function floatMatrix(tensor: Tensor): StoredMatrix {
  const [rows, columns] = tensor.dims as [number, number];
  return {
    rows,
    columns,
    plain: tensor.dataType === "float32",
    read(build, from, to) {
      if (from === 0 && to === rows) return asFloat32(build, tensor.name);
      return asFloat32(build, rowsOf(build.graph, tensor, columns, from, to));
    },
  };
}

/**
 * Integers with one scale, or one per row or column: (q − zero point) · scale.
 *
 * @param axis the axis that scales go along, where there are several
 */
export function scaledMatrix(values: Tensor, scale: Tensor, zeroPoint: Tensor | undefined, axis: number): StoredMatrix {
  const [rows, columns] = values.dims as [number, number];
  return {
    rows,
    columns,
    plain: false,
    read(build, from, to) {
      const span = (tensor: Tensor) =>
        axis === 0 ? elementsOf(build.graph, tensor, from, to) : elementsOf(build.graph, tensor, 0, columns);
      const inputs = [rowsOf(build.graph, values, columns, from, to), asFloat32(build, span(scale))];
      if (zeroPoint) inputs.push(span(zeroPoint));
      return build.operator("DequantizeLinear", inputs, { axis: attribute.int(axis) });
    },
  };
}

/**
 * The stored matrix behind a value, through Cast, DequantizeLinear and Transpose; undefined where the value is computed
 * in another way.
 */
export function storedOperand(graph: Graph, value: string, writer = producers(graph)): Operand | undefined {
  const tensor = graph.initializers.get(value);
  if (tensor) {
    const floating = tensor.dataType === "float32" || tensor.dataType === "float16";
    return tensor.dims.length === 2 && floating ? { matrix: floatMatrix(tensor), transposed: false } : undefined;
  }
  const node = writer.get(value);
  if (!node) return undefined;
  const flips = (each: Node | undefined) =>
    each?.operator === "Transpose" && `${intsAttribute(each, "perm") ?? [1, 0]}` === "1,0";
  if (node.operator === "Cast" && intAttribute(node, "to", 0) === float32Code) {
    return storedOperand(graph, node.inputs[0]!, writer);
  }
  if (flips(node)) {
    const inside = storedOperand(graph, node.inputs[0]!, writer);
    return inside && { ...inside, transposed: !inside.transposed };
  }
  if (node.operator !== "DequantizeLinear" || intAttribute(node, "block_size", 0) !== 0) return undefined;
  const below = writer.get(node.inputs[0]!);
  const transposed = flips(below);
  const values = graph.initializers.get(transposed ? below!.inputs[0]! : node.inputs[0]!);
  const scale = stored(graph, writer, node.inputs[1]!), zeroPoint = graph.initializers.get(node.inputs[2] ?? "");
  if (!values || values.dims.length !== 2 || !scale || (node.inputs[2] && !zeroPoint)) return undefined;
  if (values.dataType !== "int8" && values.dataType !== "uint8") return undefined;
  const axis = (intAttribute(node, "axis", 1) + 2) % 2;
  return { matrix: scaledMatrix(values, scale, zeroPoint, transposed ? 1 - axis : axis), transposed };
}

/**
 * The weight [N, K] of a MatMulNBits node, 4 or 8 bits in blocks along K.
 *
 * Four packed bits a number, the low half first, are byte for byte a UINT4 tensor; so DequantizeLinear reads the file's
 * own bytes (axis 1, opset 21). Zero points that are floats, or rows of an odd number of packed ones (which UINT4 has no
 * padding for), are subtracted as numbers: (q − z)·s = q·s − z·s.
 * Source: ONNX Runtime, ContribOperators.md, com.microsoft.MatMulNBits.
 */
export function blockMatrix(graph: Graph, node: Node, writer = producers(graph)): StoredMatrix | undefined {
  const rows = intAttribute(node, "N", 0), columns = intAttribute(node, "K", 0);
  const bits = intAttribute(node, "bits", 4), block = intAttribute(node, "block_size", 0);
  const blocks = Math.ceil(columns / block), wide = blocks * block;
  const packed = graph.initializers.get(node.inputs[1]!), scale = stored(graph, writer, node.inputs[2]!);
  const zeroPoint = node.inputs[3] ? stored(graph, writer, node.inputs[3]) : undefined;
  if (!packed || !scale || (node.inputs[3] && !zeroPoint) || (bits !== 4 && bits !== 8)) return undefined;
  const type = bits === 4 ? "uint4" : "uint8";
  return {
    rows,
    columns,
    plain: false,
    read(build, from, to) {
      const count = to - from;
      const quantised = rowsOf(build.graph, packed, wide, from, to, type);
      const scales = asFloat32(build, rowsOf(build.graph, scale, blocks, from, to));
      const dequantise = (...zero: string[]) =>
        build.operator("DequantizeLinear", [quantised, scales, ...zero], {
          axis: attribute.int(1),
          block_size: attribute.int(block),
        });
      let value: string;
      if (!zeroPoint) value = dequantise(middle(build.graph, type, [count, blocks]));
      else if (zeroPoint.dataType === "uint8" && (bits === 8 || blocks % 2 === 0)) {
        value = dequantise(rowsOf(build.graph, zeroPoint, blocks, from, to, type));
      } else {
        const zero = zeroPoint.dataType === "uint8"
          ? unpack(build, rowsOf(build.graph, zeroPoint, (blocks + 1) / 2, from, to), blocks)
          : asFloat32(build, rowsOf(build.graph, zeroPoint, blocks, from, to));
        const shift = build.unsqueeze(build.multiply(zero, scales), [2]);
        const cube = build.reshape(dequantise(), [count, blocks, block]);
        value = build.reshape(build.subtract(cube, shift), [count, wide]);
      }
      return wide === columns ? value : firstColumns(build, value, columns);
    },
  };
}

/** The zero point that MatMulNBits means where it has none: the middle of the range, for every block. */
function middle(graph: Graph, type: "uint4" | "uint8", dims: [number, number]): string {
  const name = `zero points/${type}[${dims}]`, count = dims[0] * dims[1];
  const bytes = type === "uint4" ? new Uint8Array(Math.ceil(count / 2)).fill(0x88) : new Uint8Array(count).fill(0x80);
  graph.initializers.set(name, { name, dataType: type, dims, data: { kind: "inline", bytes } });
  return name;
}

const firstColumns = (build: Builder, value: string, count: number) =>
  build.operator("Slice", [value, build.ints([0]), build.ints([count]), build.ints([1])]);

/** Rows of 4-bit numbers, each row padded to whole bytes, as float32 [rows, count]. */
function unpack(build: Builder, bytes: string, count: number): string {
  const byte = (value: number) => {
    const name = `byte ${value}`;
    build.graph.initializers.set(name, {
      name,
      dataType: "uint8",
      dims: [],
      data: { kind: "inline", bytes: Uint8Array.of(value) },
    });
    return name;
  };
  const low = build.operator("BitwiseAnd", [bytes, byte(15)]);
  const high = build.operator("BitShift", [bytes, byte(4)], { direction: attribute.string("RIGHT") });
  const pairs = build.concat([build.unsqueeze(low, [2]), build.unsqueeze(high, [2])], 2);
  return build.cast(firstColumns(build, build.reshape(pairs, [0, -1]), count), float32Code);
}
