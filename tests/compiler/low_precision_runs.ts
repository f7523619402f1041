// What the low-precision tests compare with: a fixture's file run by stock ONNX Runtime, and the same model with every
// quantised weight written out as float32, by arithmetic of its own. It does not know the compiler.

import { assert, assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { basename, dirname } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { fuseDynamicInt8 } from "../../shared/compiler/low_precision.ts";
import { liftConstants } from "../../shared/compiler/specialize.ts";
import { type Graph, intAttribute, type Node, type Tensor as Stored } from "../../shared/onnx/graph.ts";
import { readTensorBytes } from "../../shared/onnx/external_data.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { writeModel } from "../../shared/onnx/write_model.ts";
import { FIXTURES, SHARED } from "../feedback/shared_files.ts";
import type { Fixture, Row } from "./golden_runs.ts";
import { ints } from "./sessions.ts";

/** The low-precision files that fixtures may have. */
export const files = ["model_fp16", "model_q4", "model_quantized"] as const;
export type File = typeof files[number];
export const lowPrecisionFixtures = FIXTURES;

/** Which of them a fixture has; all where the fixtures are missing, so that tests say so. */
export function filesOf(name: string): File[] {
  const folder = `${SHARED}/fixtures/${name}`;
  return files.filter((file) => !existsSync(folder) || existsSync(`${folder}/onnx/${file}.onnx`));
}

/** The fixture with another of its files as the model. */
export function withFile(fixture: Fixture, file: File): Fixture {
  return { ...fixture, model: `${fixture.folder}/onnx/${file}.onnx` };
}

/** A session as a user of the file opens it. */
export function stockSession(fixture: Fixture): Promise<InferenceSession> {
  return InferenceSession.create(fixture.model, { logSeverityLevel: 3, intraOpNumThreads: 1 });
}

/** Feeds of a session with a cache for one sequence and an empty past. */
export function prefillFeeds(session: InferenceSession, ids: number[]): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {};
  for (const meta of session.inputMetadata) {
    if (!meta.isTensor || meta.name.includes(".lora_")) continue;
    if (meta.name === "input_ids") feeds[meta.name] = ints(ids, [1, ids.length]);
    else if (meta.name === "attention_mask") feeds[meta.name] = ints(ids.map(() => 1), [1, ids.length]);
    else if (meta.name === "position_ids") feeds[meta.name] = ints(ids.map((_, i) => i), [1, ids.length]);
    else {
      const dims = [1, meta.shape[1] as number, 0, meta.shape[3] as number];
      feeds[meta.name] = meta.type === "float16"
        ? new Tensor("float16", new Float16Array(0) as never, dims)
        : new Tensor("float32", new Float32Array(0), dims);
    }
  }
  return feeds;
}

/** Sum of the log-probs of a row's scored tokens, from whole logits in float64. */
export async function stockLogProb(session: InferenceSession, { ids, scored }: Row): Promise<number> {
  const { logits } = await session.run(prefillFeeds(session, ids));
  const vocabulary = logits!.dims[2]!, values = logits!.data as Float32Array;
  let sum = 0;
  for (let at = ids.length - scored; at < ids.length; at++) {
    const row = Array.from(values.subarray((at - 1) * vocabulary, at * vocabulary), Number);
    const most = Math.max(...row);
    sum += row[ids[at]!]! - most - Math.log(row.reduce((total, value) => total + Math.exp(value - most), 0));
  }
  return sum;
}

const numbers = (graph: Graph, folder: string) => (name: string): number[] => {
  const tensor = graph.initializers.get(name);
  assert(tensor, `${name} is no initializer`);
  const bytes = readTensorBytes(tensor, folder).slice();
  if (tensor.dataType === "float32") return [...new Float32Array(bytes.buffer)];
  if (tensor.dataType === "float16") return Array.from(new Float16Array(bytes.buffer), Number);
  if (tensor.dataType === "int8") return [...new Int8Array(bytes.buffer)];
  assertEquals(tensor.dataType, "uint8");
  return [...bytes];
};

const floatTensor = (name: string, dims: number[], values: ArrayLike<number>): Stored => ({
  name,
  dataType: "float32",
  dims,
  data: { kind: "inline", bytes: new Uint8Array(Float32Array.from(values).buffer) },
});

/** [rows, columns] of 4-bit blocks, symmetric: (q − 8) · scale. */
function symmetricBlocks(packed: number[], scales: number[], rows: number, columns: number, block: number): number[] {
  return Array.from({ length: rows * columns }, (_, i) => {
    const byte = packed[i >> 1]!, q = i % 2 === 0 ? byte & 15 : byte >> 4;
    return Math.fround(
      (q - 8) * scales[Math.floor(i / columns) * (columns / block) + Math.floor((i % columns) / block)]!,
    );
  });
}

const transposeOf = (values: number[], rows: number, columns: number) =>
  Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);

/** Replaces one node's quantised weight by a float32 initializer and the node by the ordinary operator. */
function dequantise(graph: Graph, node: Node, read: (name: string) => number[]): void {
  const name = `${node.name}/float32`;
  if (node.operator === "MatMulNBits" || node.operator === "GatherBlockQuantized") {
    const block = intAttribute(node, "block_size", 0), table = node.operator === "GatherBlockQuantized";
    const packedName = table
      ? graph.nodes.find(({ outputs }) => outputs[0] === node.inputs[0])?.inputs[0] ?? node.inputs[0]!
      : node.inputs[1]!;
    const packed = read(packedName), scales = read(node.inputs[2]!);
    const rows = graph.initializers.get(node.inputs[2]!)!.dims[0]!, columns = packed.length * 2 / rows;
    const values = symmetricBlocks(packed, scales, rows, columns, block);
    graph.initializers.set(
      name,
      table
        ? floatTensor(name, [rows, columns], values)
        : floatTensor(name, [columns, rows], transposeOf(values, rows, columns)),
    );
    node.inputs = table ? [name, node.inputs[1]!] : [node.inputs[0]!, name];
    node.operator = table ? "Gather" : "MatMul";
  } else {
    const [x, weight, scale, zeroPoint] = node.inputs as [string, string, string, string | undefined];
    const factor = read(scale), zero = zeroPoint ? read(zeroPoint) : [0];
    assert(factor.length === 1 && zero.length === 1, "one scale for the whole weight");
    const { dims } = graph.initializers.get(weight)!;
    graph.initializers.set(name, floatTensor(name, dims, read(weight).map((q) => (q - zero[0]!) * factor[0]!)));
    node.inputs = [x, name];
    node.operator = "MatMul";
  }
  node.domain = "";
  node.attributes = new Map();
}

/** Writes a changed model into `folder`, under its own name and beside the float32 file: names may come from there. */
async function writeChanged(fixture: Fixture, graph: Graph, folder: string): Promise<Fixture> {
  for (const file of ["model.onnx", "model.onnx_data"]) {
    const from = `${fixture.folder}/onnx/${file}`;
    if (existsSync(from)) await Deno.copyFile(from, `${folder}/${file}`);
  }
  const model = `${folder}/${basename(fixture.model)}`;
  await Deno.writeFile(model, writeModel(graph) as Uint8Array<ArrayBuffer>);
  return { ...fixture, model };
}

/** Writes the fixture's model with float32 weights in place of quantised ones into `folder`. */
export function dequantised(fixture: Fixture, folder: string): Promise<Fixture> {
  const graph = readModel(fixture.model, { inlineLimit: Infinity });
  liftConstants(graph);
  fuseDynamicInt8(graph);
  const read = numbers(graph, dirname(fixture.model));
  for (const node of graph.nodes) {
    if (["MatMulNBits", "GatherBlockQuantized", "DynamicQuantizeMatMul"].includes(node.operator)) {
      dequantise(graph, node, read);
    }
  }
  return writeChanged(fixture, graph, folder);
}

/** The fixture's model with other attributes on its MatMulNBits nodes, in `folder`. */
export function withAccuracy(fixture: Fixture, level: number, folder: string): Promise<Fixture> {
  const graph = readModel(fixture.model, { inlineLimit: Infinity });
  for (const node of graph.nodes) {
    if (node.operator === "MatMulNBits") node.attributes.set("accuracy_level", { kind: "int", value: level });
  }
  return writeChanged(fixture, graph, folder);
}
