// One request to the hub: follows its redirects, shows the token to the hub alone, notices when nothing comes any more,
// and turns what the hub will not give into a sentence. It does not know what is done with an answer.

import { InputError } from "../../errors.ts";
import { formatSeconds } from "../../progress.ts";
import { hubEndpoint, hubToken } from "./endpoint.ts";
import { type HubModel, mainRevision, nameOf } from "./hub_model.ts";
import { PassingTrouble } from "./patience.ts";

const redirects = new Set([301, 302, 303, 307, 308]);
const mostRedirects = 10;

/** Longest answer in JSON, in bytes, unpacked: a hundred thousand files are listed in less. */
const largestJson = 32 * 2 ** 20;

export interface Question {
  model: HubModel;
  /** Path and query below the endpoint. */
  path: string;
  /** Which of the model's files it asks for, for what is said about it. */
  file?: string;
  headers?: Record<string, string>;
  /** Milliseconds without a sign of life after which the connection counts as dead. */
  silence: number;
}

/** Ends a request on which nothing was heard for a while. */
class Silence {
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly milliseconds: number) {
    this.heard();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  heard(): void {
    this.stop();
    this.#timer = setTimeout(() => this.#controller.abort(), this.milliseconds);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** What a failed read or connection is called. */
  troubleOf(error: unknown): PassingTrouble {
    if (!this.signal.aborted) return new PassingTrouble(reasonOf(error));
    return new PassingTrouble(`nothing came for ${formatSeconds(this.milliseconds / 1000)}`);
  }
}

/** An answer whose body is still to be read. One of `chunks`, `json` and `cancel` must be called. */
export class HubAnswer {
  constructor(
    readonly response: Response,
    /** Size and sha256 of a large file, as the hub says before it redirects to where such files are. */
    readonly linked: { size?: number; sha256?: string },
    readonly silence: Silence,
  ) {}

  /** The body, unpacked where it was compressed all the same: Deno leaves that to who asks for "identity". */
  #body(): ReadableStream<Uint8Array> | undefined {
    const { body, headers } = this.response, encoding = headers.get("content-encoding") ?? "identity";
    if (!body || encoding === "identity") return body ?? undefined;
    if (encoding === "gzip") return body.pipeThrough(new DecompressionStream("gzip"));
    throw new InputError(
      `${new URL(this.response.url).host} compresses files (${encoding}) although asked not to: check HF_ENDPOINT.`,
    );
  }

  /** The body. @throws {PassingTrouble} where it breaks off */
  async *chunks(): AsyncGenerator<Uint8Array> {
    const reader = this.#body()?.getReader();
    try {
      for (;;) {
        const part = await reader?.read().catch((error) => {
          throw this.silence.troubleOf(error);
        });
        if (!part || part.done) return;
        // While a chunk is written nothing is waited for.
        this.silence.stop();
        yield part.value;
        this.silence.heard();
      }
    } finally {
      await this.cancel(reader);
    }
  }

  /** Whether the body is unpacked, and may be any length whatever its headers say. */
  get packed(): boolean {
    return this.response.headers.has("content-encoding");
  }

  /** @throws {InputError} for more than lists have; PassingTrouble where the body breaks off or is not JSON */
  async json(): Promise<unknown> {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let size = 0;
    for await (const part of this.chunks()) {
      size += part.length;
      if (size > largestJson) {
        throw new InputError(
          `${new URL(this.response.url).host} answers with more than ${
            largestJson / 2 ** 20
          } MiB where a list of files ` +
            `was asked for: check HF_ENDPOINT.`,
        );
      }
      parts.push(part as Uint8Array<ArrayBuffer>);
    }
    try {
      return await new Blob(parts).text().then(JSON.parse);
    } catch (error) {
      throw this.silence.troubleOf(error);
    }
  }

  async cancel(body: { cancel(): Promise<void> } | undefined | null = this.response.body): Promise<void> {
    this.silence.stop();
    await body?.cancel().catch(() => {});
  }
}

/**
 * Asks the hub.
 *
 * @throws {InputError} for what is not there or may not be read
 * @throws {PassingTrouble} for what may be another time
 */
export async function ask({ model, path, file, headers = {}, silence }: Question): Promise<HubAnswer> {
  const endpoint = hubEndpoint(), token = hubToken(), watch = new Silence(silence);
  const linked: HubAnswer["linked"] = {};
  let url = new URL(endpoint + path), atHub = true;
  try {
    for (let hop = 0; hop <= mostRedirects; hop++) {
      const response = await open(url, {
        // A compressed body can neither be measured nor gone on with.
        "Accept-Encoding": "identity",
        ...headers,
        ...(atHub && token ? { Authorization: `Bearer ${token}` } : {}),
      }, watch);
      watch.heard();
      if (atHub) Object.assign(linked, linkedOf(response.headers));
      if (response.ok || response.status === 416) return new HubAnswer(response, linked, watch);
      await response.body?.cancel();
      const location = redirects.has(response.status) ? response.headers.get("location") : null;
      if (location === null) {
        throw passing(response, url) ?? (atHub
          ? refusal(response, model, file, endpoint, token)
          // Addresses that the hub redirects to are signed for a while only.
          : new PassingTrouble(`HTTP ${response.status} from ${url.host}`));
      }
      url = redirected(url, location);
      atHub &&= url.origin === new URL(endpoint).origin;
    }
    throw new PassingTrouble(`${endpoint} redirects without end`);
  } catch (error) {
    watch.stop();
    throw error;
  }
}

async function open(url: URL, headers: Record<string, string>, watch: Silence): Promise<Response> {
  try {
    return await fetch(url, { headers, redirect: "manual", signal: watch.signal });
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      throw new InputError(
        `Deno may not connect to ${url.host}: commands may reach the hub's hosts, HF_ENDPOINT's and its ` +
          `subdomains; name another in PROSPECT_HUB_HOSTS.`,
      );
    }
    throw watch.troubleOf(error);
  }
}

function redirected(from: URL, location: string): URL {
  const url = URL.parse(location, from.href);
  if (url?.protocol === "https:" || (url?.protocol === "http:" && from.protocol === "http:")) return url;
  throw new InputError(
    `${from.host} redirects to ${url?.protocol ?? "no"}//${
      url?.host ?? "address"
    }, which is not safe: check HF_ENDPOINT.`,
  );
}

function linkedOf(headers: Headers): HubAnswer["linked"] {
  const size = headers.get("x-linked-size"),
    sha256 = /^"?([0-9a-f]{64})"?$/.exec(headers.get("x-linked-etag") ?? "")?.[1];
  return {
    ...(size !== null && /^\d+$/.test(size) ? { size: Number(size) } : {}),
    ...(sha256 ? { sha256 } : {}),
  };
}

/** A status that another request may not meet. */
function passing({ status, headers }: Response, url: URL): PassingTrouble | undefined {
  if (status !== 408 && status !== 429 && status < 500) return undefined;
  const after = headers.get("retry-after");
  const pause = after === null ? NaN : /^\d+$/.test(after) ? 1000 * Number(after) : Date.parse(after) - Date.now();
  if (!Number.isFinite(pause)) return new PassingTrouble(`HTTP ${status} from ${url.host}`);
  const wait = Math.max(0, pause);
  return new PassingTrouble(
    `HTTP ${status} from ${url.host}, which asks for ${formatSeconds(wait / 1000)} of rest`,
    wait,
  );
}

/** The sentence for what the hub will not give. Codes: huggingface_hub's errors by `x-error-code`. */
function refusal(
  { status, headers }: Response,
  model: HubModel,
  file: string | undefined,
  endpoint: string,
  token: string | undefined,
): InputError {
  const { id, revision } = model, name = nameOf(model), code = headers.get("x-error-code");
  const page = `${endpoint}/${id}`, asked = `(HTTP ${status})`;
  if (code === "GatedRepo" || status === 403) {
    return new InputError(
      `The hub's ${id} is gated ${asked}: accept its terms on ${page}, and ${
        token ? "check that HF_TOKEN is a token of yours that may read it" : "set HF_TOKEN to a token of yours"
      }; or give a local folder.`,
    );
  }
  if (code === "RevisionNotFound") {
    return new InputError(
      `The hub's ${id} has no revision ${revision} ${asked}: its branches are listed on ${page}/tree/main.`,
    );
  }
  if (status === 404 && file !== undefined && code !== "RepoNotFound") {
    return new InputError(
      `The hub's ${name} has no ${file} ${asked}: its files are listed on ${page}/tree/${revision}.`,
    );
  }
  // The hub answers 401 for a repository that does not exist, so as not to tell which private ones do.
  if (status === 401 || status === 404) {
    const mend = token ? "the token in HF_TOKEN may not read it" : "set HF_TOKEN to a token that may read it";
    const what = revision === mainRevision ? "the id" : "id and revision";
    return new InputError(`The hub has no ${name} ${asked}: check ${what}, or, if it is private or gated, ${mend}.`);
  }
  return new InputError(`The hub does not give ${file ?? "the list of files"} of ${name} ${asked}: look at ${page}.`);
}

/** What went wrong, without the addresses: signed ones are secrets. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const said = error.cause instanceof Error ? error.cause.message : error.message;
  return said.replaceAll(/ for url \([^)]*\)/g, "").replaceAll(/\s+/g, " ");
}
