// Runs compiled graphs on the rows of a fixture's goldens: reads golden.json and golden.safetensors, pads and packs
// rows as the graphs are fed, and brings PEFT's tensors into the graphs' layout. It does not compare anything.

import { readFileSync } from "node:fs";
import { InferenceSession, type Tensor } from "onnxruntime-node";
import {
  type CompiledModel,
  compileTraining,
  type Objective,
  rowOfToken,
  type Trained,
} from "../../shared/compiler/compile.ts";
import type { AttentionSizes } from "../../shared/compiler/linear_layers.ts";
import { tree } from "../../shared/compiler/specialize.ts";
import { head } from "../../shared/compiler/score_head.ts";
import { readSafetensors, toFloat32 } from "../../shared/onnx/safetensors.ts";
import { sessionOptions } from "../../shared/runtime/session.ts";
import { floats, ints } from "./sessions.ts";

/** A batch of `golden.json`. */
export interface GoldenBatch {
  completion_logps: number[];
  ref_logps: number[];
  rewards: number[];
  label: boolean[];
  loss: number;
  kl: number;
}

export interface Golden {
  tokens: { rows: { prompt_ids: number[]; completion_ids: number[]; KL_completion_ids: number[]; label: boolean }[] };
  ref_logps: number[];
  ref_KL_logps: number[];
  lora: { r: number; scaling: number };
  kto: Record<string, { beta: number; desirable_weight: number; undesirable_weight: number; batches: GoldenBatch[] }>;
  full_kto?: { beta: number; desirable_weight: number; undesirable_weight: number; batches: GoldenBatch[] };
  sft?: { batch: { input_ids: number[][]; labels: number[][] }; loss: number };
}

/** A matrix or vector of a safetensors file. */
export interface Golden2d {
  shape: number[];
  data: Float32Array;
}

export interface Fixture {
  folder: string;
  model: string;
  config: AttentionSizes;
  golden: Golden;
  tensors: Map<string, Golden2d>;
  adapter: Map<string, Golden2d>;
}

async function tensors(path: string): Promise<Map<string, Golden2d>> {
  const read = await readSafetensors(path);
  return new Map([...read].map(([name, tensor]) => [name, { shape: tensor.shape, data: toFloat32(tensor) }]));
}

export async function readFixture(folder: string): Promise<Fixture> {
  const json = (name: string) => JSON.parse(readFileSync(`${folder}/${name}`, "utf8"));
  return {
    folder,
    model: `${folder}/onnx/model.onnx`,
    config: json("config.json") as AttentionSizes,
    golden: json("golden.json") as Golden,
    tensors: await tensors(`${folder}/golden.safetensors`),
    adapter: await tensors(`${folder}/adapter/adapter_model.safetensors`),
  };
}

/** LoRA on every linear layer, as the fixtures' adapters have it. */
export function loraOf({ golden }: Fixture): Trained {
  return {
    kind: "lora",
    targetModules: ["all-linear"],
    asker: "test",
    rankOf: () => golden.lora.r,
    scalingOf: () => golden.lora.scaling,
  };
}

/** A matrix with its axes swapped: PEFT and PyTorch keep [out, in] where the graphs have [in, out]. */
export function transposed({ shape, data }: Golden2d): Golden2d {
  const [rows, columns] = shape as [number, number];
  return {
    shape: [columns, rows],
    data: Float32Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]!),
  };
}

export interface Row {
  ids: number[];
  /** Tokens at the end that are scored. */
  scored: number;
}

/** Rows padded on the right to one width, their scored tokens one after the other. */
export function packRows(rows: Row[]) {
  const width = Math.max(...rows.map(({ ids }) => ids.length));
  const positions: number[] = [], targets: number[] = [], rowOf: number[] = [];
  rows.forEach(({ ids, scored }, row) => {
    for (let at = ids.length - scored; at < ids.length; at++) {
      positions.push(row * width + at - 1);
      targets.push(ids[at]!);
      rowOf.push(row);
    }
  });
  const padded = rows.flatMap(({ ids }) => [...ids, ...new Array<number>(width - ids.length).fill(0)]);
  const feeds: Record<string, Tensor> = {
    input_ids: ints(padded, [rows.length, width]),
    [tree.positions]: ints(Array.from({ length: width }, (_, i) => i)),
    [tree.ends]: ints(new Array<number>(width).fill(width)),
    [head.positions]: ints(positions),
    [head.targets]: ints(targets),
  };
  return { feeds, rowOf, width, positions };
}

/** Sums of the values that belong to each row. */
export function sumsByRow(values: ArrayLike<number>, rowOf: number[], rows: number): number[] {
  const sums = new Array<number>(rows).fill(0);
  rowOf.forEach((row, i) => sums[row]! += values[i]!);
  return sums;
}

/** Feeds of the LoRA matrices: an adapter's, or of rank 0, which is the base model. */
export function loraFeeds(compiled: CompiledModel, adapter?: Map<string, Golden2d>): Record<string, Tensor> {
  return Object.fromEntries(compiled.parameters.map(({ name, shape }) => {
    if (adapter) return [name, floats(transposed(adapter.get(name)!).data, shape)];
    return [name, floats([], name.includes("lora_A") ? [shape[0]!, 0] : [0, shape[1]!])];
  }));
}

/** Feeds of KTO's inputs besides the log-probs. Labels decide sign and weight; the batch is whole. */
export function ktoFeeds(
  labels: boolean[],
  rowOf: number[],
  referencePoint: number,
  desirable: number,
  undesirable: number,
) {
  return {
    [rowOfToken]: ints(rowOf),
    sign: floats(labels.map((label) => label ? 1 : -1)),
    weight: floats(labels.map((label) => (label ? desirable : undesirable) / labels.length)),
    reference_point: floats([referencePoint], []),
  };
}

/** Compiles a fixture and hands over sessions on its two graphs, which are closed after. */
export async function withCompiled(
  fixture: Fixture,
  trained: Trained,
  objective: Objective,
  use: (compiled: CompiledModel, scoring: InferenceSession, gradient: InferenceSession) => Promise<void>,
): Promise<void> {
  const compiled = await compileTraining(fixture.model, fixture.config, trained, objective);
  const open = (graph: Uint8Array) => InferenceSession.create(graph, sessionOptions(compiled.folder));
  const scoring = await open(compiled.scoring), gradient = await open(compiled.gradient);
  try {
    await use(compiled, scoring, gradient);
  } finally {
    await scoring.release();
    await gradient.release();
  }
}
