// A hub of one repository on this machine, for tests: lists and serves a folder's files under the hub's addresses, with
// ranges and entity tags, and can refuse, redirect, break off or change files as the hub and the net do.

import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { DownloadProgress, ResolveOptions } from "../../shared/runtime/model_folder.ts";

/** What was asked of a file. */
export interface Asked {
  file: string;
  range: string | null;
  ifRange: string | null;
}

export interface LocalHub {
  address: string;
  /** The repository. */
  folder: string;
  /** Requests for files that were answered in the usual way since the last look. */
  asked: Asked[];
  /** Whether the hub lists hashes, as Hugging Face's does, or names alone, as mirrors may. */
  listsHashes: boolean;
  /** What happens to a request, where it is not the usual; may be changed while the hub runs. */
  trouble?: ((path: string, request: Request) => Response | undefined | Promise<Response | undefined>) | undefined;
}

/** The commit that main and v1 stand for. */
export const commit = "c0ffee".padEnd(40, "0");

const digest = (algorithm: string, ...parts: (string | Uint8Array)[]) => {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
};

const all = (folder: string, path = ""): string[] =>
  readdirSync(join(folder, path)).flatMap((name) => {
    const each = path === "" ? name : `${path}/${name}`;
    return statSync(join(folder, each)).isDirectory() ? all(folder, each) : [each];
  });

/** A file as the hub lists it: weights are in large file storage. */
function listed(folder: string, rfilename: string, hashes: boolean) {
  if (!hashes) return { rfilename };
  const bytes = readFileSync(join(folder, rfilename)), size = bytes.length;
  const blobId = digest("sha1", `blob ${size}\0`, bytes);
  const lfs = { sha256: digest("sha256", bytes), size, pointerSize: 130 };
  return /onnx|safetensors/.test(rfilename) ? { rfilename, size, blobId: commit, lfs } : { rfilename, size, blobId };
}

/** A body that ends with an error after its first bytes. */
export function brokenOff(
  bytes: Uint8Array<ArrayBuffer>,
  after: number,
  headers: Record<string, string> = {},
): Response {
  const body = new ReadableStream({
    async pull(controller) {
      controller.enqueue(bytes.subarray(0, after));
      await new Promise((resolve) => setTimeout(resolve, 10));
      controller.error(new Error("the cable was cut"));
    },
  });
  return new Response(body, { headers: { "content-length": `${bytes.length}`, etag: tagOf(bytes), ...headers } });
}

/** A body that brings its first bytes and then nothing more, without ending. */
export function fallenSilent(bytes: Uint8Array<ArrayBuffer>, after: number): Response {
  const body = new ReadableStream({ start: (controller) => controller.enqueue(bytes.subarray(0, after)) });
  return new Response(body, { headers: { "content-length": `${bytes.length}`, etag: tagOf(bytes) } });
}

/** The entity tag under which the hub serves a content. */
export function tagOf(bytes: Uint8Array): string {
  return `"${digest("sha256", bytes).slice(0, 32)}"`;
}

/** A file, or as much of it as is asked for. */
export function serveBytes(bytes: Uint8Array<ArrayBuffer>, request: Request): Response {
  const etag = tagOf(bytes), from = Number(/^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
  const condition = request.headers.get("if-range");
  if (from === 0 || (condition !== null && condition !== etag)) {
    return new Response(bytes, { headers: { "content-length": `${bytes.length}`, etag } });
  }
  if (from >= bytes.length) return new Response(null, { status: 416 });
  return new Response(bytes.slice(from), {
    status: 206,
    headers: { etag, "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` },
  });
}

/** Listens on a free port of this machine, as a host of its own. */
export async function withServer(
  answer: (request: Request) => Response | Promise<Response>,
  run: (address: string) => Promise<void>,
): Promise<void> {
  const onError = () => new Response(null, { status: 500 }), ending = new AbortController();
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {}, onError, signal: ending.signal },
    answer,
  );
  try {
    await run(`http://127.0.0.1:${server.addr.port}`);
  } finally {
    ending.abort();
    await server.finished;
  }
}

/** Sets variables of the environment while something runs. */
export async function withEnvironment(values: Record<string, string>, run: () => Promise<void>): Promise<void> {
  const before = Object.keys(values).map((name) => [name, Deno.env.get(name)] as const);
  for (const [name, value] of Object.entries(values)) Deno.env.set(name, value);
  try {
    await run();
  } finally {
    for (const [name, value] of before) value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
  }
}

/** Serves `folder` as the repository owner/name of the hub that HF_ENDPOINT names meanwhile. */
export function withHub(folder: string, run: (hub: LocalHub) => Promise<void>): Promise<void> {
  const hub: LocalHub = { address: "", folder, asked: [], listsHashes: true };
  const answer = async (request: Request): Promise<Response> => {
    const { pathname } = new URL(request.url);
    const trouble = await hub.trouble?.(pathname, request);
    if (trouble) return trouble;
    const [, api, revision, file] =
      /^(\/api\/models)?\/owner\/name(?:\/revision|\/resolve)\/([^/]+)(?:\/(.+))?$/.exec(pathname) ?? [];
    if (revision === undefined) {
      const headers = { "x-error-code": "RepoNotFound" };
      return new Response("Invalid username or password.", { status: 401, headers });
    }
    if (!["main", "v1", "refs%2Fpr%2F1", commit].includes(revision)) {
      return new Response(null, { status: 404, headers: { "x-error-code": "RevisionNotFound" } });
    }
    if (api) {
      const siblings = all(folder).map((name) => listed(folder, name, hub.listsHashes));
      return Response.json(hub.listsHashes ? { id: "owner/name", sha: commit, siblings } : { siblings });
    }
    const { headers } = request;
    hub.asked.push({ file: file!, range: headers.get("range"), ifRange: headers.get("if-range") });
    const path = join(folder, file!);
    if (!existsSync(path)) {
      return new Response("Entry not found", { status: 404, headers: { "x-error-code": "EntryNotFound" } });
    }
    return serveBytes(await Deno.readFile(path), request);
  };
  return withServer(answer, (address) => {
    hub.address = address;
    return withEnvironment({ HF_ENDPOINT: address, HF_TOKEN: "" }, () => run(hub));
  });
}

/** Where a test's downloads go, and what is said and shown meanwhile. */
export interface Place {
  options: ResolveOptions & { cacheDir: string; importDir: string };
  /** The folder of owner/name. */
  folder: string;
  remarks: string[];
  progress: DownloadProgress[];
}

/** A repository with the named files (content, or a fixture's file to copy), its hub, and an empty cache folder. */
export async function withRepository(
  files: Record<string, string | Uint8Array | { from: string }>,
  run: (hub: LocalHub, place: Place) => Promise<void>,
): Promise<void> {
  const parent = await Deno.makeTempDir({ prefix: "prospect-hub-" }), repository = join(parent, "repository");
  try {
    for (const [name, content] of Object.entries(files)) {
      const path = join(repository, name);
      mkdirSync(dirname(path), { recursive: true });
      if (typeof content === "string" || content instanceof Uint8Array) writeFileSync(path, content);
      else cpSync(join(content.from, name), path);
    }
    const cacheDir = join(parent, "hub"), remarks: string[] = [], progress: DownloadProgress[] = [];
    const options = {
      cacheDir,
      importDir: join(parent, "imported"),
      patience: { pause: 1, silence: 5000 },
      onRemark: (sentence: string) => remarks.push(sentence),
      onProgress: (step: DownloadProgress) => progress.push(step),
    };
    const place = { options, folder: join(cacheDir, "owner", "name"), remarks, progress };
    await withHub(repository, (hub) => run(hub, place));
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}
