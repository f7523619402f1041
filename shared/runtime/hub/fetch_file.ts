// Puts one file of the hub on the disk, whole or not at all: goes on where an earlier try, call or process was cut off,
// begins again where the file is another by now, and checks size and hash before the file gets its name.

import { createHash, type Hash } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { writeFailure } from "../../atomic_file.ts";
import { InputError } from "../../errors.ts";
import { ask, type HubAnswer } from "./ask.ts";
import { type HubModel, nameOf } from "./hub_model.ts";
import type { ListedFile } from "./list_files.ts";
import { openPartial, type PartialFile } from "./partial_file.ts";
import { keepTrying, PassingTrouble, type Patience } from "./patience.ts";

/** One step of a download. `total` is absent where the server does not say. */
export interface DownloadProgress {
  file: string;
  loaded: number;
  total?: number;
}

/** Where a file comes from and who hears of it. */
export interface Source {
  model: HubModel;
  /** The commit that all of the model's files are taken from. */
  commit: string;
  patience: Patience;
  onRemark: (sentence: string) => void;
  onProgress: (progress: DownloadProgress) => void;
}

/** What is known of the content; the key is one for each content, and absent where nothing tells contents apart. */
interface Content {
  key?: string | undefined;
  size?: number | undefined;
  sha256?: string | undefined;
  etag?: string | undefined;
}

const keyOf = (name: string | undefined) => name && createHash("sha256").update(name).digest("hex").slice(0, 16);

/** Whether a file that is here is the one that the hub lists, as far as the listing tells. */
export async function isAsListed(path: string, { size, sha256, blob }: ListedFile): Promise<boolean> {
  const here = (await Deno.stat(path)).size;
  if (size !== undefined && here !== size) return false;
  const hash = sha256 ? createHash("sha256") : blob ? createHash("sha1").update(`blob ${here}\0`) : undefined;
  if (!hash) return true;
  using file = await Deno.open(path);
  await hashBytes(hash, file, here);
  return hash.digest("hex") === (sha256 ?? blob);
}

async function hashBytes(hash: Hash, file: Deno.FsFile, length: number): Promise<void> {
  const buffer = new Uint8Array(1 << 20);
  await file.seek(0, Deno.SeekMode.Start);
  for (let left = length; left > 0;) {
    const read = await file.read(buffer.subarray(0, Math.min(left, buffer.length)));
    if (read === null) return;
    hash.update(buffer.subarray(0, read));
    left -= read;
  }
}

/**
 * Puts a file into the folder, unless one of its name is there.
 *
 * @throws {InputError} for what the hub will not give and the disk will not take; PassingTrouble where it was tried again
 * to no avail: what has come by then is kept for the next call
 */
export async function fetchFile(listed: ListedFile, folder: string, source: Source): Promise<void> {
  const target = join(folder, listed.path);
  if (existsSync(target)) return;
  const download = new Download(listed, target, source);
  try {
    await Deno.mkdir(dirname(target), { recursive: true });
    await keepTrying(() => download.attempt(), {
      ...source,
      what: listed.path,
      reached: () => download.reached,
    });
  } catch (error) {
    throw writeFailure(target, error);
  }
}

/** Most bytes of a file that comes compressed and of which nobody says how long it is: weights are listed with a size. */
const largestUnpacked = 256 * 2 ** 20;

class Download {
  /** Bytes on the disk after the last try. */
  reached = 0;
  #content: Content;
  #damaged = 0;

  constructor(readonly listed: ListedFile, readonly target: string, readonly source: Source) {
    this.#content = this.#asListed();
  }

  #asListed(): Content {
    const { size, sha256 } = this.listed;
    return { size, sha256, key: keyOf(sha256) };
  }

  /** Gets all that is missing, or as far as it gets. */
  async attempt(): Promise<void> {
    let first = this.#content.key === undefined ? await this.#ask() : undefined;
    if (first) this.#learn(first);
    const { key } = this.#content, { path: name } = this.listed;
    using partial = await openPartial(this.target, key ?? crypto.randomUUID(), async () => {
      await first?.cancel();
      first = undefined;
      this.source.onRemark(`${name} is being downloaded by another process: waiting for it.`);
    });
    if (!partial) return await first?.cancel();
    let finished = false;
    try {
      const { answer, offset } = await this.#answerFor(partial, first);
      await this.#copy(partial, answer, offset);
      await partial.file.sync();
      await Deno.rename(partial.path, this.target);
      finished = true;
    } finally {
      await first?.cancel();
      // A part of nobody knows what cannot be gone on with.
      if (!finished && this.#content.key === undefined) await Deno.remove(partial.path).catch(() => {});
    }
  }

  #ask(headers: Record<string, string> = {}): Promise<HubAnswer> {
    const { model, commit, patience } = this.source, { path: file } = this.listed;
    const path = `/${model.id}/resolve/${encodeURIComponent(commit)}/${file}`;
    return ask({ model, path, file, headers, silence: patience.silence });
  }

  /** Adds what an answer with the whole file says of it to what is known. */
  #learn({ response: { headers }, linked }: HubAnswer): void {
    const content = this.#content, length = headers.get("content-length"), etag = strongTag(headers);
    content.sha256 ??= linked.sha256;
    content.etag = etag;
    // A compressed body's length is not the file's.
    content.size ??= linked.size ?? (length === null || headers.has("content-encoding") ? undefined : Number(length));
    content.key ??= keyOf(content.sha256 ?? etag);
  }

  /** The answer whose body continues the partial file at `offset`; none where everything is there. */
  async #answerFor(
    partial: PartialFile,
    whole: HubAnswer | undefined,
  ): Promise<{ answer?: HubAnswer; offset: number }> {
    const { size, etag } = this.#content, offset = partial.size;
    if (offset > 0 && offset === size) return { offset };
    if (offset > 0 && (size === undefined || offset < size)) {
      await whole?.cancel();
      const answer = await this.#ask({ Range: `bytes=${offset}-`, ...(etag ? { "If-Range": etag } : {}) });
      if (this.#continues(answer, offset)) return { answer, offset };
      if (answer.response.status === 200) return { answer: await this.#begun(answer, partial), offset: 0 };
      await answer.cancel();
      whole = undefined;
    }
    return { answer: whole ?? await this.#begun(await this.#ask(), partial), offset: 0 };
  }

  /** Whether the answer is the rest of this very content. */
  #continues({ response: { status, headers } }: HubAnswer, offset: number): boolean {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
    if (status !== 206 || !range || headers.has("content-encoding") || Number(range[1]) !== offset) return false;
    const { size, etag } = this.#content, tag = strongTag(headers), total = range[2] === "*" ? size : Number(range[2]);
    this.#content.size ??= total;
    this.#content.etag ??= tag;
    return total === this.#content.size && (!tag || !etag || tag === etag);
  }

  /** An answer with the whole file. @throws {PassingTrouble} where it is another file than the one that was begun */
  async #begun(answer: HubAnswer, partial: PartialFile): Promise<HubAnswer> {
    const { etag, sha256, key } = this.#content, tag = strongTag(answer.response.headers);
    if (key !== undefined && sha256 === undefined && tag !== etag) {
      await answer.cancel();
      await Deno.remove(partial.path);
      this.#content = this.#asListed();
      throw new PassingTrouble("it has changed on the hub, so it begins again");
    }
    this.#learn(answer);
    return answer;
  }

  /** Writes an answer behind the first `offset` bytes and checks the whole. */
  async #copy({ file, path }: PartialFile, answer: HubAnswer | undefined, offset: number): Promise<void> {
    const { size, sha256 } = this.#content, { path: name } = this.listed;
    const hash = sha256 ? createHash("sha256") : undefined;
    const most = size ?? (answer?.packed ? largestUnpacked : Infinity);
    let loaded = offset;
    try {
      if (hash) await hashBytes(hash, file, offset);
      await file.truncate(offset);
      await file.seek(offset, Deno.SeekMode.Start);
      for await (const chunk of answer?.chunks() ?? []) {
        for (let written = 0; written < chunk.length;) written += await file.write(chunk.subarray(written));
        hash?.update(chunk);
        loaded += chunk.length;
        // More of it would be wrong alike, and might have no end.
        if (loaded > most) break;
        this.source.onProgress({ file: name, loaded, ...(size === undefined ? {} : { total: size }) });
      }
    } finally {
      await answer?.cancel();
      this.reached = loaded;
    }
    if (size !== undefined && loaded < size) throw new PassingTrouble(`it ended after ${loaded} of ${size} bytes`);
    if (loaded <= most && (size === undefined || loaded === size) && (!hash || hash.digest("hex") === sha256)) return;
    await Deno.remove(path);
    this.#damaged++;
    const why = loaded > most ? `it has more than ${most} bytes` : "its sha256 is not the one that the hub tells";
    if (this.#damaged === 1) throw new PassingTrouble(`${why}, so it begins again`);
    throw new InputError(
      `${name} of the hub's ${nameOf(this.source.model)} arrived damaged twice (${why}): run the same command again ` +
        `later, or, behind a proxy or a mirror, look whether it changes files.`,
    );
  }
}

/** The entity tag, where it stands for every byte. */
function strongTag(headers: Headers): string | undefined {
  const tag = headers.get("etag");
  return tag !== null && /^"[^"]*"$/.test(tag) ? tag : undefined;
}
