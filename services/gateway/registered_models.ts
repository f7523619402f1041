// Keeps a gateway in step with the store's registry: which adapters there are, and where each alias points. Adapters are
// loaded when they are first asked for, and unloaded when many others were asked for since. What changes in the store, by
// whichever process, is seen within a second.

import { join } from "node:path";
import { InputError } from "../../shared/errors.ts";
import type { Database } from "../../shared/store/database.ts";
import { type Alias, listAliases } from "../../shared/store/aliases.ts";
import { listAdapters, type RegisteredAdapter } from "../../shared/store/registry.ts";
import type { Engine } from "./engine/engine.ts";
import type { Arm } from "./model_names.ts";

/** How often the store is looked at, in milliseconds. */
const interval = 1000;

/** Registered adapters that stay loaded. Each takes its size in memory, in every worker. */
export const mostLoaded = 32;

export class RegisteredModels {
  #adapters = new Map<string, RegisteredAdapter>();
  #loading = new Map<string, Promise<void>>();
  /** Names that were asked for, the latest last. */
  #asked = new Set<string>();
  #refreshing: Promise<void> = Promise.resolve();
  #timer: ReturnType<typeof setInterval> | undefined;

  /**
   * @param aliases brought up to date: what was set last holds
   * @param given what aliases point to by this gateway's own settings, and since when
   */
  constructor(
    private readonly database: Database,
    private readonly dataFolder: string,
    private readonly aliases: Map<string, Arm[]>,
    private readonly given: ReadonlyMap<string, Alias>,
  ) {}

  /** Looks at the store now and then every second. @param failed told when it could not be read */
  async start(failed: (error: Error) => void): Promise<void> {
    await this.refresh();
    this.#timer = setInterval(() => this.refresh().catch(failed), interval);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Resolves once everything that was in the store before this call is known. */
  refresh(): Promise<void> {
    return this.#refreshing = this.#refreshing.catch(() => {}).then(async () => {
      const adapters = await listAdapters(this.database);
      const aliases = new Map(this.given);
      for (const [name, alias] of await listAliases(this.database)) {
        if (alias.since >= (aliases.get(name)?.since ?? 0)) aliases.set(name, alias);
      }
      this.#adapters = new Map(adapters.map((adapter) => [adapter.name, adapter]));
      for (const name of this.aliases.keys()) if (!aliases.has(name)) this.aliases.delete(name);
      for (const [name, { arms }] of aliases) this.aliases.set(name, arms);
    });
  }

  /** Registered adapters that fit a base model, newest first. */
  list(base: string): RegisteredAdapter[] {
    return [...this.#adapters.values()].filter((adapter) => adapter.base === base);
  }

  /**
   * Makes an adapter ready to answer.
   *
   * @returns whether there is such an adapter, loaded by hand or registered for the engine's base
   * @throws InputError where its files are gone or do not fit
   */
  async load(engine: Engine, name: string): Promise<boolean> {
    this.#asked.delete(name);
    this.#asked.add(name);
    if (engine.adapters().some((loaded) => loaded.name === name)) return true;
    // It may have been registered since the store was looked at.
    if (!this.#adapters.has(name)) await this.refresh();
    const adapter = this.#adapters.get(name);
    if (adapter?.base !== engine.base) {
      this.#asked.delete(name);
      return false;
    }
    const loading = this.#loading.get(name) ??
      engine.setAdapter(name, join(this.dataFolder, adapter.folder)).finally(() => this.#loading.delete(name));
    this.#loading.set(name, loading);
    await loading;
    await this.#unloadOldest(engine);
    return true;
  }

  /** Only what the registry can load again: an adapter that somebody loaded by hand stays until it is removed by hand. */
  async #unloadOldest(engine: Engine): Promise<void> {
    const registered = engine.adapters().filter(({ name, version }) => this.#adapters.get(name)?.version === version);
    const names = new Set(registered.map(({ name }) => name));
    const oldest = [...this.#asked].filter((name) => names.has(name)).slice(0, -mostLoaded);
    for (const name of oldest) this.#asked.delete(name);
    for (const name of oldest) {
      await engine.removeAdapter(name).catch((error) => {
        // Somebody has removed it meanwhile.
        if (!(error instanceof InputError)) throw error;
      });
    }
  }
}
