// The adapters that may be asked for, by name, and the versions of them that answers under way still use. A version is
// forgotten when no name and no answer has it. It does not know workers.

import { InputError } from "../../../shared/errors.ts";
import { alteredFiles, type FilesVersion, hashAdapterFiles, isVersion } from "../../../shared/runtime/kept_adapters.ts";
import type { OpenModel } from "../../../shared/runtime/open_model.ts";
import { readAdapterFeeds } from "../../../workers/adapter_reader.ts";
import type { AdapterFeeds } from "../../../workers/protocol.ts";
import type { LoadedAdapter } from "./answers.ts";

/** An adapter that was read, and what it is called by its content. */
export interface ReadAdapter {
  files: FilesVersion;
  feeds: AdapterFeeds;
}

/** Reads an adapter for the model. @throws InputError where it is unusable, of another model, or being written */
export async function readServedAdapter(model: OpenModel, folder: string): Promise<ReadAdapter> {
  // A folder that is replaced meanwhile would answer under the name of files that it was not read from. Whatever is
  // missing is said by who reads it.
  const before = await hashAdapterFiles(folder).catch(() => undefined);
  const feeds = await readAdapterFeeds(model, folder);
  const files = await hashAdapterFiles(folder);
  if (before?.version !== files.version) {
    throw new InputError(`${folder}: the adapter changed while it was read; load it again once it is written.`);
  }
  return { files, feeds };
}

/** Reads a registered adapter for the model. @throws UnusableAdapterError for other files than were registered */
export async function readRegisteredAdapter(
  model: OpenModel,
  folder: string,
  name: string,
  version: string,
): Promise<AdapterFeeds> {
  const { files, feeds } = await readServedAdapter(model, folder);
  if (isVersion(files, version)) return feeds;
  throw alteredFiles(name, version);
}

export class AdapterShelf {
  #names = new Map<string, LoadedAdapter>();
  #versions = new Map<string, { feeds: AdapterFeeds; users: number }>();

  /** @param forget is told which version is of no more use */
  constructor(readonly forget: (version: string) => void) {}

  /** All versions in use; one that is added while they are gone through is among them. */
  versions(): Iterable<[version: string, { feeds: AdapterFeeds }]> {
    return this.#versions;
  }

  named(): LoadedAdapter[] {
    return [...this.#names.values()];
  }

  /** Keeps a version until what is returned is called. */
  keep(version: string, feeds: AdapterFeeds): () => void {
    const entry = this.#versions.get(version) ?? { feeds, users: 0 };
    this.#versions.set(version, entry);
    return this.#use(version, entry);
  }

  #use(version: string, entry: { users: number }): () => void {
    entry.users++;
    let used = true;
    return () => {
      if (used) this.#leave(version);
      used = false;
    };
  }

  /** The version that answers under a name now, kept until `release`. @throws InputError where there is none */
  lease(name: string): { version: string; release: () => void } {
    const { version } = this.#loaded(name);
    return { version, release: this.#use(version, this.#versions.get(version)!) };
  }

  #loaded(name: string): LoadedAdapter {
    const loaded = this.#names.get(name);
    if (loaded) return loaded;
    const names = [...this.#names.keys()].join(", ") || "none";
    throw new InputError(`There is no adapter "${name}" here; loaded are: ${names}.`);
  }

  /** Gives a kept version a name, which the version that had it loses. */
  name(name: string, version: string): void {
    const former = this.#names.get(name);
    this.#use(version, this.#versions.get(version)!);
    this.#names.set(name, { name, version, since: Date.now() });
    if (former) this.#leave(former.version);
  }

  /** Takes a name away. @throws InputError where there is none */
  remove(name: string): void {
    const { version } = this.#loaded(name);
    this.#names.delete(name);
    this.#leave(version);
  }

  #leave(version: string): void {
    if (--this.#versions.get(version)!.users > 0) return;
    this.#versions.delete(version);
    this.forget(version);
  }
}
