// Adapters of the embedded model that nobody trained: made in a moment, and each answers in its own way.

import { join } from "node:path";
import { adaptableLayers } from "../../../shared/compiler/compile.ts";
import { Random } from "../../../shared/random.ts";
import { adapterConfig, type AdapterTensor, tensorName, writeAdapter } from "../../../shared/runtime/adapter.ts";
import { keepAdapter, keptFolder } from "../../../shared/runtime/kept_adapters.ts";
import { embeddedModelFolder } from "../../../shared/runtime/embedded_model.ts";
import { findModel, identityOf, openModel } from "../../../shared/runtime/open_model.ts";
import { silent } from "../../../shared/progress.ts";
import type { Database } from "../../../shared/store/database.ts";
import { registerAdapter } from "../../../shared/store/registry.ts";
import { adapterNamed } from "../../gateway/registered.ts";

const rank = 2;

/** Writes adapters of these names, a folder each. @returns the base model that they are for */
export async function writeSmallAdapters(into: string, names: string[]): Promise<string> {
  const model = openModel(await findModel(embeddedModelFolder, "auto", silent), "auto");
  const layers = adaptableLayers(model.path, model.folder.config);
  for (const [index, name] of names.entries()) {
    const random = new Random(index + 1);
    const normal = (length: number) => Float32Array.from({ length }, () => random.next() - 0.5);
    const tensors = new Map<string, AdapterTensor>();
    for (const { module, inSize, outSize } of layers) {
      tensors.set(tensorName(module, "A"), { shape: [rank, inSize], data: normal(rank * inSize) });
      tensors.set(tensorName(module, "B"), { shape: [outSize, rank], data: normal(outSize * rank) });
    }
    const targetModules = layers.map(({ module }) => module);
    const config = adapterConfig({ rank, alpha: rank, targetModules, baseModel: model.folder.name });
    await writeAdapter(join(into, name), { config, tensors });
  }
  return await identityOf(model);
}

/** Writes adapters of these names, keeps them in a data folder and registers them, as having passed the gate. */
export async function registerSmallAdapters(database: Database, dataFolder: string, names: string[]): Promise<void> {
  const into = join(dataFolder, "runs"), base = await writeSmallAdapters(into, names);
  for (const name of names) {
    const version = await keepAdapter(dataFolder, join(into, name));
    const adapter = adapterNamed(name, { base, folder: keptFolder(version), version });
    await database.write((queries) => registerAdapter(queries, adapter));
  }
}
