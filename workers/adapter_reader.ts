// Reads adapters in a sandboxed worker, for who serves them and who trains on from them. It does not know their files.

import { dirname, join, resolve } from "node:path";
import { adaptableLayers } from "../shared/compiler/compile.ts";
import { InputError } from "../shared/errors.ts";
import type { AdaptedModel, FittedAdapter } from "../shared/runtime/adapter_of_model.ts";
import type { OpenModel } from "../shared/runtime/open_model.ts";
import type { AdapterWorker } from "./adapter_worker.ts";
import type { AdapterFeeds } from "./protocol.ts";
import { DeadlineError, SandboxedWorker } from "./sandboxed_worker.ts";

/** Milliseconds for an adapter without weights, and bytes of weights that are read in one more, on a machine at its limit. */
const patience = 5_000, bytesPerMillisecond = 10_000;

/**
 * Reads an adapter that fits a model.
 *
 * @throws InputError where it may not be read, is unusable, of another model, or takes too long
 */
export const readAdapterOf = (model: OpenModel, folder: string): Promise<FittedAdapter> =>
  withReader(model, folder, (reader, ...of) => reader.call("read", ...of));

/** Reads an adapter as workers that answer are fed with it. @throws InputError as above */
export const readAdapterFeeds = (model: OpenModel, folder: string): Promise<AdapterFeeds> =>
  withReader(model, folder, (reader, ...of) => reader.call("feeds", ...of));

async function withReader<Result>(
  model: OpenModel,
  folder: string,
  use: (
    reader: SandboxedWorker<AdapterWorker>,
    args: [model: AdaptedModel, folder: string],
    deadline: number,
  ) => Promise<Result>,
): Promise<Result> {
  const path = resolve(folder);
  if ((await Deno.permissions.query({ name: "read", path })).state !== "granted") {
    throw new InputError(
      `${folder}: the adapter is outside of the folders that this process may read; start it with --adapter-dir ${
        dirname(path)
      }, or move the adapter into one of them (runs, the data folder).`,
    );
  }
  const layers = adaptableLayers(model.path, model.folder.config);
  const adapted = {
    name: model.folder.name,
    layers: layers.map(({ module, inSize, outSize }) => ({ module, inSize, outSize })),
  };
  const reader = new SandboxedWorker<AdapterWorker>(
    new URL("./adapter_worker.ts", import.meta.url),
    "adapter reader",
    { permissions: { read: [path] } },
  );
  const size = await Deno.stat(join(path, "adapter_model.safetensors")).then((file) => file.size, () => 0);
  try {
    return await use(reader, [adapted, folder], Math.round(patience + size / bytesPerMillisecond));
  } catch (error) {
    if (!(error instanceof DeadlineError)) throw error;
    throw new InputError(
      `${folder}: the adapter cannot be read (${error.message}): a regular expression in its adapter_config.json takes too ` +
        "long on this model's modules; list the modules in target_modules instead.",
    );
  } finally {
    reader.end();
  }
}
