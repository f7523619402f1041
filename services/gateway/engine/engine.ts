// Starts the engine: one base model, any number of adapters on it, answered by workers. It knows neither HTTP nor storage.

import type { Engine, EngineSettings } from "./answers.ts";

export * from "./answers.ts";

/**
 * Opens the model and starts the workers.
 *
 * @throws InputError where there is no such model, or one that cannot be served
 */
export function startEngine(_settings: EngineSettings, _warn: (sentence: string) => void): Promise<Engine> {
  throw new Error("The engine is being written.");
}
