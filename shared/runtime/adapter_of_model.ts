// An adapter for one model: checked against the model's layers, and brought from PEFT's layout (A [rank, in], B [out,
// rank]) into the graph's (the transposes) for generation. It does not know workers or training.

import { adaptableLayers } from "../compiler/compile.ts";
import { InputError } from "../errors.ts";
import { type Adapter, type AdapterTensor, parseTensorName, readAdapter, scalingOf } from "./adapter.ts";
import type { OpenModel } from "./open_model.ts";

/**
 * Reads an adapter and checks it against the layers of the model that will answer with it.
 *
 * @throws InputError where it is not plain LoRA; naming the first misfit where it is of another model
 */
export async function readAdapterOf({ path, folder: model }: OpenModel, folder: string): Promise<Adapter> {
  const adapter = await readAdapter(folder);
  const layers = new Map(adaptableLayers(path, model.config).map((layer) => [layer.module, layer]));
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
  return adapter;
}

/** What the workers are fed to generate under an adapter. */
export function adapterFeeds({ config, tensors }: Adapter): ReturnType<typeof servingFeeds> {
  return servingFeeds(tensors, (name) => scalingOf(config, parseTensorName(name)!.module));
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
