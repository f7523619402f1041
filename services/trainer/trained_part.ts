// What of a model is trained and how it starts: a fresh adapter, a PEFT adapter to go on from, or every weight. It does
// not know data, steps or devices.

import { adaptableLayers, type Lora, type Trained } from "../../shared/compiler/compile.ts";
import { InputError } from "../../shared/errors.ts";
import type { LinearLayer } from "../../shared/compiler/linear_layers.ts";
import { type Adapter, type AdapterConfig, adapterConfig, modulesOf } from "../../shared/runtime/adapter.ts";
import type { FittedAdapter } from "../../shared/runtime/adapter_of_model.ts";
import { targetModulesOf } from "../../shared/runtime/module_patterns.ts";
import { readAdapterOf } from "../../workers/adapter_reader.ts";
import { fillFromModel } from "./full_model.ts";
import type { OpenModel } from "./model.ts";
import { initializeLora, loadLora, type ParameterBlock } from "./parameters.ts";
import type { TrainSettings } from "./settings.ts";

export { adapterFeeds } from "../../shared/runtime/adapter_of_model.ts";
export { readAdapterOf } from "../../workers/adapter_reader.ts";

/** Model types whose checkpoints keep linear weights as [in, out], in a Conv1D, which PEFT wants to be told. */
const conv1D = ["gpt2", "openai-gpt"];

export interface TrainedPart<Kind extends Trained = Trained> {
  trained: Kind;
  /** Sets the parameters' first values. */
  fill: (policy: ParameterBlock) => void;
  /** The adapter that it starts from. */
  adapter: FittedAdapter | undefined;
}

/**
 * A PEFT adapter folder as what is trained, or scored under.
 *
 * @throws InputError where it is not plain LoRA, or of another model
 */
export async function adapterPart(folder: string, model: OpenModel): Promise<TrainedPart<Lora>> {
  const adapter = await readAdapterOf(model, folder);
  const trained: Lora = {
    kind: "lora",
    targetModules: modulesOf(adapter),
    asker: `the adapter ${folder} is of another model`,
    rankOf: (module) => adapter.modules.get(module)!.rank,
    scalingOf: (module) => adapter.modules.get(module)!.scaling,
  };
  return { trained, fill: (policy) => loadLora(policy, adapter.tensors), adapter };
}

/** What going on from an adapter means for the settings: its own rank, alpha and modules are used. */
export function settingsOf({ config }: Adapter): Pick<TrainSettings, "loraRank" | "loraAlpha" | "targetModules"> {
  const { r, lora_alpha: alpha, target_modules: targets } = config;
  return { loraRank: r, loraAlpha: alpha, targetModules: typeof targets === "string" ? [targets] : targets };
}

/** The sentence that says so. */
export function describeStart(folder: string, adapter: Adapter): string {
  const { config } = adapter, { use_rslora, lora_dropout } = config;
  const endings = new Set(modulesOf(adapter).map((module) => module.split(".").at(-1)));
  const patterns = Object.keys({ ...config.rank_pattern, ...config.alpha_pattern }).length;
  return `Going on from ${folder}: rank ${config.r}, alpha ${config.lora_alpha}${use_rslora ? " (rsLoRA)" : ""}${
    patterns > 0 ? ", others by pattern" : ""
  }, on ${[...endings].sort().join(", ")}; --lora-rank, --lora-alpha and --target-modules are not used${
    lora_dropout > 0 ? `, nor is its dropout of ${lora_dropout}` : ""
  }.`;
}

/** What the settings ask to train. @throws InputError for settings that contradict each other or an unusable adapter */
export async function trainedPart(settings: TrainSettings, model: OpenModel): Promise<TrainedPart> {
  if (settings.full) {
    if (settings.initAdapter) throw new InputError("--full trains every weight; it cannot start from --init-adapter.");
    return { trained: { kind: "full" }, fill: (policy) => fillFromModel(policy, model.path), adapter: undefined };
  }
  if (settings.initAdapter) return await adapterPart(settings.initAdapter, model);
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

/**
 * The config of a fresh adapter on `layers` of the model.
 *
 * @throws InputError for a rank that a layer cannot have
 */
export function newAdapterConfig(settings: TrainSettings, layers: LinearLayer[], model: OpenModel): AdapterConfig {
  checkRank(settings.loraRank, layers);
  const modules = (of: LinearLayer[]) => of.map(({ module }) => module);
  return adapterConfig({
    rank: settings.loraRank,
    alpha: alphaOf(settings),
    targetModules: targetModulesOf(modules(layers), modules(adaptableLayers(model.path, model.folder.config))),
    baseModel: settings.model === undefined ? "prospect-world" : model.folder.name,
    revision: model.folder.revision,
    fanInFanOut: conv1D.includes(model.folder.config.model_type ?? ""),
  });
}

/** A product of two matrices has no more rank than the smaller side of the layer. */
function checkRank(rank: number, layers: readonly LinearLayer[]): void {
  for (const { module, inSize, outSize } of layers) {
    const most = Math.min(inSize, outSize);
    if (rank <= most) continue;
    throw new InputError(
      `--lora-rank ${rank} is more than ${module} can have, a layer from ${inSize} to ${outSize}: choose ${most} or less, ` +
        `or leave the layer out with --target-modules.`,
    );
  }
}

/** LoRA's alpha: as asked, else twice the rank. */
export function alphaOf({ loraAlpha, loraRank }: TrainSettings): number {
  return loraAlpha ?? 2 * loraRank;
}
