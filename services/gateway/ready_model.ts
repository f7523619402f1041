// A model that requests are about to be sent to: there, loaded, and with the files that it was registered with. It knows
// neither promotions nor aliases.

import { checkRegistered, UnusableAdapterError } from "../../shared/runtime/kept_adapters.ts";
import { adapterOf, findAdapter, type RegisteredAdapter } from "../../shared/store/registry.ts";
import { type Gateway, readyEngine } from "./gateway.ts";
import { ApiError } from "./http/errors.ts";

/** The refusal of a model that cannot answer. */
export const cannotAnswer = (message: string, field = "model"): ApiError =>
  new ApiError(404, message, field, "model_not_found");

/**
 * Makes a model ready to answer, also after a restart: of an adapter that is loaded already, the files are read again.
 *
 * @param field what the request calls it
 * @returns its adapter; undefined for the base
 * @throws ApiError 404 for a model that is not there, 409 for one whose files are gone, others, or do not fit
 */
export async function makeReady(
  gateway: Gateway,
  model: string,
  field = "model",
): Promise<RegisteredAdapter | undefined> {
  const { database, dataFolder, models } = gateway, engine = readyEngine(gateway), name = adapterOf(model);
  if (name === undefined) return undefined;
  const adapter = name === null ? undefined : await findAdapter(database, name);
  if (!adapter) throw cannotAnswer(`There is no model "${model}" here.`, field);
  try {
    if (!await models.load(engine, adapter.name)) {
      throw cannotAnswer(`${model} is for the base model ${adapter.base}; this gateway serves another.`, field);
    }
    await checkRegistered(dataFolder, adapter);
    return adapter;
  } catch (error) {
    if (!(error instanceof UnusableAdapterError)) throw error;
    const why = error.cause instanceof Error ? ` (${error.cause.message})` : "";
    throw new ApiError(409, error.message + why, field, "model_unusable");
  }
}
