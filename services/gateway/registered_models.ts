// Keeps a gateway in step with the store's registry: which adapters there are, and where each alias points. What an alias
// asks for is loaded as soon as it is known, other adapters when they are first asked for; they are unloaded when many
// others were asked for since. What changes in the store, by whichever process, is seen within a second. An adapter answers
// only with the files that it was registered with.

import { InputError } from "../../shared/errors.ts";
import { findRegistered, UnusableAdapterError } from "../../shared/runtime/kept_adapters.ts";
import { type Arm, listAliases } from "../../shared/store/aliases.ts";
import type { Database } from "../../shared/store/database.ts";
import { adapterOf, listAdapters, modelOf, type RegisteredAdapter } from "../../shared/store/registry.ts";
import type { Engine } from "./engine/engine.ts";
import { PublishedAliases } from "./published_aliases.ts";

/** How often the store is looked at, in milliseconds. */
const interval = 1000;

/** Registered adapters that stay loaded, beside those that aliases ask for. Each takes its size in memory, in every worker. */
export const mostLoaded = 32;

/** How long files that could not be used are not tried again, in milliseconds: reading them takes time from answers. */
const trust = 5000;

export class RegisteredModels {
  #adapters = new Map<string, RegisteredAdapter>();
  #aliases: PublishedAliases;
  /** By name and version. */
  #loading = new Map<string, Promise<void>>();
  /** Why adapters could not be loaded, by name and version; `at` in milliseconds of the process's own clock. */
  #failures = new Map<string, { error: UnusableAdapterError; at: number }>();
  /** Names that were asked for, the latest last. */
  #asked = new Set<string>();
  #refreshing: Promise<void> = Promise.resolve();
  #timer: ReturnType<typeof setInterval> | undefined;
  #preparing: Promise<void> | undefined;

  /**
   * @param aliases brought up to date
   * @param given what aliases point to by this gateway's own command
   * @param told of adapters that could not be loaded, and why
   */
  constructor(
    private readonly database: Database,
    private readonly dataFolder: string,
    aliases: Map<string, Arm[]>,
    given: ReadonlyMap<string, Arm[]>,
    private readonly told: (model: string, error: Error) => void = () => {},
  ) {
    this.#aliases = new PublishedAliases(aliases, given);
  }

  /** Looks at the store now and then every second. @param failed told when it could not be read */
  async start(engine: Engine, failed: (error: Error) => void): Promise<void> {
    await this.refresh();
    await this.prepare(engine);
    this.#timer = setInterval(() => {
      this.#preparing ??= this.refresh().then(() => this.prepare(engine)).catch(failed)
        .finally(() => this.#preparing = undefined);
    }, interval);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#preparing;
  }

  /** Resolves once everything that was in the store before this call is known. */
  refresh(): Promise<void> {
    return this.#refreshing = this.#refreshing.catch(() => {}).then(async () => {
      const aliases = await listAliases(this.database);
      this.#adapters = new Map((await listAdapters(this.database)).map((adapter) => [adapter.name, adapter]));
      this.#aliases.follow(aliases);
      const known = new Set([...this.#adapters.values()].map(keyOf));
      for (const key of this.#failures.keys()) if (!known.has(key)) this.#failures.delete(key);
    });
  }

  /** Loads what aliases ask for and takes away what left the registry; what cannot be loaded is told, and `unanswerable`. */
  async prepare(engine: Engine): Promise<void> {
    for (const { name } of engine.adapters()) if (!this.#adapters.has(name)) await unload(engine, name);
    for (const name of this.#published()) {
      await this.load(engine, name).catch((error) => {
        if (!(error instanceof UnusableAdapterError)) throw error;
      });
    }
  }

  /** Names of the adapters that aliases send requests to. */
  #published(): Set<string> {
    const arms = [...this.#aliases.current.values()].flat().filter(({ weight }) => weight > 0);
    return new Set(arms.map(({ model }) => adapterOf(model)).filter((name) => name != null));
  }

  /** Why this process cannot answer for some of its aliases: a sentence each; none where it can for all of them. */
  unanswerable({ base }: Engine): string[] {
    return [...this.#aliases.current].flatMap(([alias, arms]) =>
      arms.filter(({ weight }) => weight > 0).map(({ model }) => this.#whyNot(model, base))
        .filter((reason) => reason !== undefined)
        .map((reason) => `This process cannot answer for ${alias}: ${reason}`)
    );
  }

  #whyNot(model: string, base: string): string | undefined {
    const name = adapterOf(model);
    if (name == null) return undefined;
    const adapter = this.#adapters.get(name);
    if (!adapter) return `${model} is not in the registry; load it, or point the alias elsewhere.`;
    if (adapter.base !== base) return `${model} is for the base model ${adapter.base}; this gateway serves ${base}.`;
    return this.#failures.get(keyOf(adapter))?.error.message;
  }

  /** Registered adapters that fit a base model, the newest first. */
  list(base: string): RegisteredAdapter[] {
    return [...this.#adapters.values()].filter((adapter) => adapter.base === base);
  }

  /**
   * Makes an adapter ready to answer.
   *
   * @returns whether there is such an adapter for the engine's base
   * @throws UnusableAdapterError where its files are gone, others, or do not fit
   */
  async load(engine: Engine, name: string): Promise<boolean> {
    this.#asked.delete(name);
    this.#asked.add(name);
    // It may have been registered since the store was looked at.
    if (!this.#adapters.has(name)) await this.refresh();
    const adapter = this.#adapters.get(name);
    if (adapter?.base !== engine.base) {
      this.#asked.delete(name);
      return false;
    }
    if (engine.adapters().some((loaded) => loaded.name === name && loaded.version === adapter.version)) return true;
    const key = keyOf(adapter),
      loading = this.#loading.get(key) ??
        this.#loadFiles(engine, adapter).finally(() => this.#loading.delete(key));
    this.#loading.set(key, loading);
    await loading;
    await this.#unloadOldest(engine);
    return true;
  }

  /** The next time that an adapter is asked for, its files are looked at again. */
  retry(adapter: Pick<RegisteredAdapter, "name" | "version">): void {
    this.#failures.delete(keyOf(adapter));
  }

  async #loadFiles(engine: Engine, adapter: RegisteredAdapter): Promise<void> {
    const { name, version } = adapter, failure = this.#failures.get(keyOf(adapter));
    if (failure && performance.now() - failure.at < trust) throw failure.error;
    try {
      await engine.setAdapter(name, await findRegistered(this.dataFolder, adapter), version);
      this.retry(adapter);
    } catch (cause) {
      const error = cause instanceof UnusableAdapterError ? cause : unreadable(name, cause);
      if (failure?.error.message !== error.message) this.told(modelOf(name), cause as Error);
      this.#failures.set(keyOf(adapter), { error, at: performance.now() });
      throw error;
    }
  }

  /** Those that aliases ask for stay. */
  async #unloadOldest(engine: Engine): Promise<void> {
    const loaded = new Set(engine.adapters().map(({ name }) => name)), published = this.#published();
    const asked = [...this.#asked].filter((name) => loaded.has(name) && !published.has(name));
    const oldest = asked.slice(0, -mostLoaded);
    for (const name of oldest) this.#asked.delete(name);
    for (const name of oldest) await unload(engine, name);
  }
}

const keyOf = ({ name, version }: Pick<RegisteredAdapter, "name" | "version">) => `${name}@${version}`;

/** Files that are what was registered, and of no use all the same. What is said of them names places, which is for the log. */
const unreadable = (name: string, cause: unknown) =>
  new UnusableAdapterError(`base:${name} cannot answer: its files could not be loaded; the log says why.`, { cause });

/** Takes an adapter off the engine; somebody may have done so meanwhile. */
export async function unload(engine: Engine, name: string): Promise<void> {
  await engine.removeAdapter(name).catch((error) => {
    if (!(error instanceof InputError)) throw error;
  });
}
