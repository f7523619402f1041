// Copies a feedback file without the rows of people who were deleted. Knows which fields of a row name a person, and
// nothing of what else is in it: what is not JSON stays as it is.

import { createReadStream } from "node:fs";
import { ArrayError, concat, elementsOf } from "./json_array.ts";

/** Fields that name who judged, and who asked. */
const personFields = ["end_user", "asked_by", "safety_identifier"];

/** No record is longer, in bytes. */
const longestRecord = 16 * 1024 * 1024;

/** Bytes that are written at once. */
const pieceSize = 1 << 20;

interface Piece {
  bytes: Uint8Array;
  /** A record, and not a part of something that is longer than any. */
  whole: boolean;
}

/** The records of a file, whatever it is. */
const piecesOf = async (path: string) => await isArray(path) ? elements(path) : lines(path);

/** Whether a row of the file names one of these people. */
export async function namesPeople(path: string, isGone: (name: string) => boolean): Promise<boolean> {
  for await (const piece of await piecesOf(path)) if (namesOne(piece, isGone)) return true;
  return false;
}

/**
 * Copies a file of JSON Lines, or of one array, without the rows that name one of these people. Of the file, no more is
 * in memory than its longest record.
 *
 * @param to where no file is; on the disk when this returns
 * @returns the copy's bytes; undefined, and no copy, where no row names one of them
 */
export async function copyWithoutPeople(
  path: string,
  to: string,
  isGone: (name: string) => boolean,
): Promise<number | undefined> {
  if (!await namesPeople(path, isGone)) return undefined;
  const array = await isArray(path);
  using file = await Deno.open(to, { write: true, createNew: true, mode: 0o600 });
  let held: Uint8Array[] = [], size = 0, total = 0;
  const flush = async () => {
    const bytes = concat(held, size);
    for (let written = 0; written < size;) written += await file.write(bytes.subarray(written));
    [held, size] = [[], 0];
  };
  const write = async (bytes: Uint8Array) => {
    held.push(bytes);
    size += bytes.length;
    total += bytes.length;
    if (size >= pieceSize) await flush();
  };
  const text = (text: string) => write(new TextEncoder().encode(text));
  if (array) await text("[");
  let rows = 0;
  for await (const piece of await piecesOf(path)) {
    if (namesOne(piece, isGone)) continue;
    if (array && rows++ > 0) await text(",\n");
    await write(piece.bytes);
  }
  if (array) await text("]\n");
  await flush();
  await file.sync();
  return total;
}

const blocksOf = (path: string) => createReadStream(path, { highWaterMark: pieceSize }) as AsyncIterable<Uint8Array>;

/** Whether the first character that is no space opens an array. */
async function isArray(path: string): Promise<boolean> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const block of blocksOf(path)) {
    text = (text + decoder.decode(block, { stream: true })).trimStart();
    if (text !== "") break;
  }
  return text.startsWith("[");
}

/** The elements of an array, to where it stops being one: nothing reads beyond that. */
async function* elements(path: string): AsyncGenerator<Piece> {
  try {
    for await (const { bytes } of elementsOf(blocksOf(path), longestRecord)) yield { bytes, whole: true };
  } catch (error) {
    if (!(error instanceof ArrayError)) throw error;
  }
}

/** Lines with their ends. */
async function* lines(path: string): AsyncGenerator<Piece> {
  let pieces: Uint8Array[] = [], size = 0, whole = true;
  const take = (end: boolean): Piece => {
    const piece = { bytes: concat(pieces, size), whole: whole && end };
    [pieces, size, whole] = [[], 0, end];
    return piece;
  };
  const push = (bytes: Uint8Array) => {
    pieces.push(bytes);
    size += bytes.length;
  };
  for await (const block of blocksOf(path)) {
    let start = 0;
    for (let end = block.indexOf(10); end >= 0; end = block.indexOf(10, start)) {
      push(block.subarray(start, end + 1));
      yield take(true);
      start = end + 1;
    }
    push(block.subarray(start));
    if (size > longestRecord) yield take(false);
  }
  if (size > 0) yield take(true);
}

function namesOne({ bytes, whole }: Piece, isGone: (name: string) => boolean): boolean {
  if (!whole) return false;
  const text = new TextDecoder().decode(bytes);
  if (!personFields.some((field) => text.includes(field)) && !text.includes("\\u")) return false;
  const record = parsed(text);
  return personFields.some((field) => typeof record?.[field] === "string" && isGone(record[field]));
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
