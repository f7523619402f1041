// What of a model is trained and how it starts: a fresh adapter, a PEFT adapter to go on from, or every weight. It does
// not know data, steps or devices.

import type { Lora, Trained } from "../../shared/compiler/compile.ts";
import { InputError } from "../../shared/errors.ts";
import { linearLayers } from "../../shared/compiler/linear_layers.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import {
  type Adapter,
  modulesOf,
  parseTensorName,
  rankOf,
  readAdapter,
  scalingOf,
} from "../../shared/runtime/adapter.ts";
import { fillFromModel } from "./full_model.ts";
import type { OpenModel } from "./model.ts";
import { initializeLora, loadLora, type ParameterBlock } from "./parameters.ts";
import type { TrainSettings } from "./settings.ts";

export interface TrainedPart<Kind extends Trained = Trained> {
  trained: Kind;
  /** Sets the parameters' first values. */
  fill: (policy: ParameterBlock) => void;
  /** The adapter that it starts from. */
  adapter: Adapter | undefined;
}

/**
 * A PEFT adapter folder as what is trained, or scored under.
 *
 * @throws InputError where it is not plain LoRA; from `fill`, where it is of another model
 */
export async function adapterPart(folder: string): Promise<TrainedPart<Lora>> {
  const adapter = await readAdapter(folder);
  const fill = (policy: ParameterBlock) => {
    for (const { name, shape } of policy.parameters) {
      const given = adapter.tensors.get(name)?.shape, needed = [...shape].reverse();
      if (`${given}` === `${needed}`) continue;
      throw new InputError(
        `${folder}: the adapter is of another model: ${name} is [${given}], this model needs [${needed}].`,
      );
    }
    loadLora(policy, adapter.tensors);
  };
  const trained: Lora = {
    kind: "lora",
    targetModules: modulesOf(adapter),
    asker: `the adapter ${folder} is of another model`,
    rankOf: (module) => rankOf(adapter.config, module),
    scalingOf: (module) => scalingOf(adapter.config, module),
  };
  return { trained, fill, adapter };
}

/** Checks an adapter against the layers of a model that will answer with it. @throws InputError naming the first misfit */
export function checkAdapterFits({ tensors }: Adapter, folder: string, { path, folder: model }: OpenModel): void {
  const layers = new Map(linearLayers(readModel(path), model.config).map((layer) => [layer.module, layer]));
  for (const [name, { shape }] of tensors) {
    const { module, matrix } = parseTensorName(name)!;
    const layer = layers.get(module), needed = matrix === "A" ? layer?.inSize : layer?.outSize;
    if (needed === shape[matrix === "A" ? 1 : 0]) continue;
    const why = layer
      ? `${name} is [${shape}], the layer has ${layer.inSize} inputs and ${layer.outSize} outputs`
      : `there is no layer ${module}`;
    throw new InputError(`${folder}: the adapter is of another model: ${why}.`);
  }
}

/** What the settings ask to train. @throws InputError for settings that contradict each other or an unusable adapter */
export async function trainedPart(settings: TrainSettings, model: OpenModel): Promise<TrainedPart> {
  if (settings.full) {
    if (settings.initAdapter) throw new InputError("--full trains every weight; it cannot start from --init-adapter.");
    return { trained: { kind: "full" }, fill: (policy) => fillFromModel(policy, model.path), adapter: undefined };
  }
  if (settings.initAdapter) return await adapterPart(settings.initAdapter);
  const { loraRank, seed } = settings, scaling = alphaOf(settings) / loraRank;
  const trained: Trained = {
    kind: "lora",
    targetModules: settings.targetModules,
    asker: "--target-modules",
    rankOf: () => loraRank,
    scalingOf: () => scaling,
  };
  return { trained, fill: (policy) => initializeLora(policy, seed), adapter: undefined };
}

/** LoRA's alpha: as asked, else twice the rank. */
export function alphaOf({ loraAlpha, loraRank }: TrainSettings): number {
  return loraAlpha ?? 2 * loraRank;
}
