// An adapter for one model: checked against the model's layers, and brought from PEFT's layout (A [rank, in], B [out,
// rank]) into the graph's (the transposes) for generation. It does not know workers or training.

import type { LinearLayer } from "../compiler/linear_layers.ts";
import { InputError } from "../errors.ts";
import {
  type Adapter,
  type AdapterTensor,
  modulesOf,
  parseTensorName,
  rankOf,
  readAdapter,
  scalingOf,
} from "./adapter.ts";

/** What an adapter has to fit. */
export interface AdaptedModel {
  /** For messages. */
  name: string;
  layers: Pick<LinearLayer, "module" | "inSize" | "outSize">[];
}

/** An adapter that fits a model. */
export interface FittedAdapter extends Adapter {
  /** Rank and scaling by module, as the patterns of its config mean them. */
  modules: Map<string, { rank: number; scaling: number }>;
}

/**
 * Reads an adapter and checks it against the layers of the model that will answer with it. Its config may hold regular
 * expressions that take for ever: services read adapters by workers/adapter_reader.ts, which ends that.
 *
 * @throws InputError where it is not plain LoRA; naming the first misfit where it is of another model
 */
export function fitAdapter(model: AdaptedModel, folder: string): FittedAdapter {
  const adapter = readAdapter(folder), { config } = adapter;
  const layers = new Map(model.layers.map((layer) => [layer.module, layer]));
  for (const [name, { shape }] of adapter.tensors) {
    const { module, matrix } = parseTensorName(name)!;
    const layer = layers.get(module), needed = matrix === "A" ? layer?.inSize : layer?.outSize;
    if (needed === shape[matrix === "A" ? 1 : 0]) continue;
    const why = layer
      ? `${name} is [${shape}], the layer has ${layer.inSize} inputs and ${layer.outSize} outputs`
      : `there is no layer ${module}`;
    const base = adapter.config.base_model_name_or_path;
    const mend = `use it with the model that it was trained on${base ? ` (its config names ${base})` : ""}`;
    throw new InputError(`${folder}: the adapter is of another model than ${model.name}: ${why}; ${mend}.`);
  }
  const scaled = (module: string) => ({ rank: rankOf(config, module), scaling: scalingOf(config, module) });
  return { ...adapter, modules: new Map(modulesOf(adapter).map((module) => [module, scaled(module)])) };
}

/** What the workers are fed to generate under an adapter. */
export function adapterFeeds({ tensors, modules }: FittedAdapter): ReturnType<typeof servingFeeds> {
  return servingFeeds(tensors, (name) => modules.get(parseTensorName(name)!.module)!.scaling);
}

/** Row-major [rows, columns] to [columns, rows]. */
export function transposed(data: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result[column * rows + row] = data[row * columns + column]!;
  }
  return result;
}

/** An adapter as the generation graph is fed: the graph's layout, with the scaling folded into B. */
export function servingFeeds(
  tensors: ReadonlyMap<string, AdapterTensor>,
  scalingOf: (name: string) => number,
): Record<string, { data: Float32Array; shape: number[] }> {
  return Object.fromEntries([...tensors].map(([name, { shape, data }]) => {
    const [rows, columns] = shape as [number, number];
    const values = transposed(data, rows, columns);
    const scale = name.includes(".lora_B.") ? scalingOf(name) : 1;
    if (scale !== 1) { for (let i = 0; i < values.length; i++) values[i]! *= scale; }
    return [name, { data: values, shape: [columns, rows] }];
  }));
}
