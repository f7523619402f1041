// Large bodies, as they come over the network: they go to the disk piece by piece, so that neither memory nor answers feel
// how large they are. It does not know what is sent.

import { createHash, type Hash } from "node:crypto";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Busboy, type BusboyFileStream, type BusboyHeaders } from "@fastify/busboy";
import { writeFailure } from "../../../shared/atomic_file.ts";
import { InputError } from "../../../shared/errors.ts";
import { ApiError, tooLarge } from "./errors.ts";

/**
 * The pieces of a body.
 *
 * @throws ApiError for one of more than `limit` bytes, as soon as that is known, and for one that ends before its end
 */
export async function* piecesOf(request: Request, limit: number): AsyncGenerator<Uint8Array> {
  if (Number(request.headers.get("Content-Length")) > limit) throw tooLarge(limit);
  let size = 0;
  try {
    for await (const piece of request.body ?? []) {
      size += piece.length;
      if (size > limit) throw tooLarge(limit);
      yield piece;
    }
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError(400, "The body broke off before its end; nothing of it was taken in.", "body", "broken_body");
  }
}

/**
 * Writes a new file that only this user reads, and waits until it is on the disk.
 *
 * @returns its bytes
 * @throws WriteError, and what `pieces` throw
 */
export async function writePieces(path: string, pieces: AsyncIterable<Uint8Array>): Promise<number> {
  let size = 0;
  const write = async (file: Deno.FsFile, piece: Uint8Array) => {
    for (let at = 0; at < piece.length;) at += await file.write(piece.subarray(at));
  };
  const failed = (error: unknown) => {
    throw writeFailure(path, error);
  };
  using file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 }).catch(failed);
  for await (const piece of pieces) {
    size += piece.length;
    await write(file, piece).catch(failed);
  }
  await file.sync().catch(failed);
  return size;
}

/** The same pieces, once the hash has seen them. */
export async function* hashing(pieces: AsyncIterable<Uint8Array>, hash: Hash): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    hash.update(piece);
    yield piece;
  }
}

/** A form's fields, and the file in it. */
export interface ReceivedForm {
  fields: Map<string, string>;
  /** undefined where the form has none of that name. */
  file: { name: string; size: number; sha256: string } | undefined;
}

/** What a form may have beside its file. */
const limits = {
  fieldNameSize: 100,
  fieldSize: 4096,
  fields: 16,
  files: 1,
  parts: 32,
  headerPairs: 64,
  headerSize: 8192,
};

/**
 * Receives a form whose file of the given field is written to `path`.
 *
 * @throws ApiError for a body that is too large, breaks off or is no form; WriteError
 */
export async function receiveForm(request: Request, field: string, path: string, limit: number): Promise<ReceivedForm> {
  const fields = new Map<string, string>(), hash = createHash("sha256");
  let name = "", writing: Promise<number> | undefined, stream: BusboyFileStream | undefined;
  const parser = openParser(request.headers.get("Content-Type") ?? "");
  parser.on("field", (name, value) => fields.set(name, value));
  parser.on("file", (fieldname, file, filename) => {
    stream = file;
    // Whoever reads it is told; without a listener the error would end the process too.
    file.on("error", () => {});
    if (fieldname !== field) return void file.resume();
    name = filename ?? "";
    writing = writePieces(path, hashing(file, hash));
    // The parser waits for whoever reads the file.
    writing.catch((error) => parser.destroy(error));
  });
  try {
    await pipeline(Readable.from(piecesOf(request, limit)), parser);
  } catch (error) {
    stream?.destroy(error as Error);
    await writing?.catch(() => {});
    throw error instanceof ApiError || error instanceof InputError ? error : noForm();
  }
  return { fields, file: writing && { name, size: await writing, sha256: hash.digest("hex") } };
}

const noForm = () => new ApiError(400, "The body could not be read as multipart/form-data.", "body");

function openParser(type: string) {
  if (!/^multipart\/form-data\b/i.test(type)) {
    throw new ApiError(415, "This route wants a form: send it as multipart/form-data.");
  }
  try {
    return new Busboy({ headers: { "content-type": type } as BusboyHeaders, limits });
  } catch {
    throw noForm();
  }
}
