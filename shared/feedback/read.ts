// A feedback file (.jsonl, or .json with one array) to rows, line by line, with every complaint naming file and line.
// Leaves what a record means to formats.ts; knows nothing of tokens or models.

import { createReadStream, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { basename } from "node:path";
import { counted } from "../counted.ts";
import { InputError } from "../errors.ts";
import { RefusedRecord } from "./fields.ts";
import { type Context, type ReadRecord, readRecord } from "./formats.ts";
import { ArrayError, concat, elementsOf } from "./json_array.ts";
import { labelReader } from "./labels.ts";
import { describeOtherFile } from "./other_files.ts";
import { type FeedbackRow, isEmptyCompletion, listLines } from "./row.ts";

/** What is known of a feedback file once it was read. */
export interface FeedbackSummary {
  path: string;
  /** Records by the name of their format. */
  formats: Record<string, number>;
  desirable: number;
  undesirable: number;
  /** Lines of the rows that were dropped because their completion is empty. */
  emptyCompletions: number[];
  /** Lines of the records that could not be read as what they mean, by the reason. */
  refused: Record<string, number[]>;
  /** By field: how many records have it, where no row has what it says. */
  unused: Record<string, number>;
  /** Plain sentences on all of this, and those of them that must not be missed. */
  summary: string[];
  warnings: string[];
}

/** A feedback file, read. */
export interface FeedbackFile extends FeedbackSummary {
  /** The rows that say something, in file order. */
  rows: FeedbackRow[];
}

/** A record longer than this is no feedback row but a mistake (a whole data set in one line, a binary file). */
const MAX_RECORD_BYTES = 16 * 1024 * 1024;

/** Unused fields that are named: a file may have another in every record. */
const mostNames = 40;

/**
 * Reads feedback in any known format, detected record by record.
 *
 * @param path JSON Lines, or a JSON array. UTF-8; a byte order mark and CRLF line ends are tolerated.
 * @throws InputError: no such file, not JSON, no label, a label not understood, nothing in it.
 */
export async function readFeedback(path: string): Promise<FeedbackFile> {
  const rows: FeedbackRow[] = [], reading = streamFeedback(path);
  for (;;) {
    const { done, value } = await reading.next();
    if (done) return { ...value, rows };
    rows.push(value);
  }
}

/**
 * As readFeedback, but gives each row as it is read, and keeps none.
 *
 * @param wanted rows that are given although their completion is empty
 * @throws InputError, maybe after many rows
 */
export async function* streamFeedback(
  path: string,
  wanted: (row: FeedbackRow) => boolean = () => false,
): AsyncGenerator<FeedbackRow, FeedbackSummary> {
  checkFile(path);
  const formats: Record<string, number> = {};
  const emptyCompletions: number[] = [];
  // Names come from the file.
  const refused = new Map<string, number[]>(), unused = new Map<string, number>();
  let firstRefused = "";
  const label = labelReader();
  let index = 0, rows = 0, desirable = 0;
  const readRows = function* (record: unknown, line: number, where: string): Generator<FeedbackRow> {
    const read = readOrRefuse(record, { where, label });
    if (typeof read === "string") {
      firstRefused ||= `${where}: ${read}.`;
      const lines = refused.get(read) ?? [];
      refused.set(read, lines);
      lines.push(line);
      index += isPair(record) ? 2 : 1;
      return;
    }
    formats[read.format] = (formats[read.format] ?? 0) + 1;
    for (const field of read.unused) {
      const name = unused.has(field) || unused.size < mostNames ? field : "other fields";
      unused.set(name, (unused.get(name) ?? 0) + 1);
    }
    for (const draft of read.rows) {
      const row: FeedbackRow = { index: index++, line, ...draft };
      if (isEmptyCompletion(row.completion) && !wanted(row)) emptyCompletions.push(line);
      else {
        rows++;
        if (row.label) desirable++;
        yield row;
      }
    }
  };

  if (await startsWithBracket(path)) {
    for await (const { line, position, text } of arrayOf(path)) {
      const record = parse(text, `${path}:${line}: element ${position}`);
      yield* readRows(record, position, `${path}: element ${position}`);
    }
  } else {
    for await (const { line, text } of linesOf(path)) {
      if (text.trim() !== "") yield* readRows(parse(text, `${path}:${line}`), line, `${path}:${line}`);
    }
  }
  if (index === 0) throw new InputError(`${path} is empty: it needs one row of feedback a line.`);
  if (rows === 0 && firstRefused !== "") {
    const all = [...refused.values()].flat().length;
    throw new InputError(all === 1 ? firstRefused : `${firstRefused} None of ${counted(all, "record")} can be read.`);
  }
  if (rows === 0) {
    throw new InputError(`${path} has no row with anything in its completion (lines ${listLines(emptyCompletions)}).`);
  }
  const file = {
    path,
    formats,
    desirable,
    undesirable: rows - desirable,
    emptyCompletions,
    refused: Object.fromEntries(refused),
    unused: Object.fromEntries(unused),
  };
  return { ...file, summary: summarize(file), warnings: warningsOf(file) };
}

/** A record, read, or why it is left out. @throws InputError where the file is something else */
function readOrRefuse(record: unknown, context: Context): ReadRecord | string {
  try {
    return readRecord(record, context);
  } catch (error) {
    if (error instanceof RefusedRecord) return error.message;
    throw error;
  }
}

/** Whether a record is two rows. */
const isPair = (record: unknown) => typeof record === "object" && record !== null && "chosen" in record;

type Read = Omit<FeedbackSummary, "summary" | "warnings">;

function warningsOf({ path, refused }: Read): string[] {
  return Object.entries(refused).map(([reason, lines]) =>
    `${counted(lines.length, "record")} left out: ${reason} (${path}:${listLines(lines)}).`
  );
}

function summarize(file: Read): string[] {
  const kinds = Object.entries(file.formats).map(([name, count]) => `${count} × ${name}`).join(", ");
  const lines = [
    `${basename(file.path)}: ${
      counted(file.desirable + file.undesirable, "row")
    }, ${file.desirable} desirable and ${file.undesirable} undesirable (${kinds}).`,
  ];
  const empty = file.emptyCompletions;
  if (empty.length > 0) {
    lines.push(`${empty.length} dropped: the completion is empty (${file.path}:${listLines(empty)}).`);
  }
  const unused = Object.entries(file.unused).map(([field, count]) => `${field} (${counted(count, "record")})`);
  if (unused.length > 0) lines.push(`Not used: ${unused.join(", ")}.`);
  return lines;
}

function checkFile(path: string): void {
  let folder: boolean;
  try {
    folder = statSync(path).isDirectory();
  } catch (error) {
    const missing = (error as { code?: string }).code === "ENOENT";
    throw new InputError(
      missing ? `There is no file ${path}: check --data.` : `${path} cannot be read: ${(error as Error).message}.`,
    );
  }
  if (folder) throw new InputError(`${path} is a folder: give the .jsonl or .json file in it.`);
}

/**
 * Whether the first character that is no space opens an array: the content decides, not the file's name.
 *
 * @throws InputError for a file of another kind
 */
async function startsWithBracket(path: string): Promise<boolean> {
  let file;
  try {
    file = await open(path);
    const { buffer, bytesRead } = await file.read(new Uint8Array(4096), 0, 4096, 0);
    const begin = buffer.subarray(0, bytesRead), other = describeOtherFile(path, begin);
    if (other !== undefined) throw new InputError(other);
    return new TextDecoder().decode(begin).trimStart().startsWith("[");
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${path} cannot be read: ${(error as Error).message}.`);
  } finally {
    await file?.close();
  }
}

/** The elements of a file that is an array, never holding more than one and one block in memory. */
async function* arrayOf(path: string): AsyncGenerator<{ line: number; position: number; text: string }> {
  try {
    for await (const { bytes, line, position } of elementsOf(blocksOf(path), MAX_RECORD_BYTES)) {
      yield { line, position, text: decode(bytes, `${path}:${line}`) };
    }
  } catch (error) {
    if (!(error instanceof ArrayError)) throw error;
    throw new InputError(`${path}:${error.line}: element ${error.position}: not JSON (${error.message}).`);
  }
}

/** @param where the record stands */
function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // V8 counts lines inside the text it was given, which begins somewhere in the file.
    const message = (error as Error).message.replace(/ \(line \d+ column \d+\)$/, "");
    throw new InputError(`${where}: not JSON (${message}); write one JSON object a line, or one JSON array.`);
  }
}

/** The lines of a file without their ends, never holding more than one line and one block in memory. */
async function* linesOf(path: string): AsyncGenerator<{ line: number; text: string }> {
  let pieces: Uint8Array[] = [];
  let size = 0;
  let line = 1;
  const finish = () => {
    const text = decode(concat(pieces, size), `${path}:${line}`);
    const result = { line, text };
    pieces = [];
    size = 0;
    line++;
    return result;
  };
  const push = (piece: Uint8Array) => {
    pieces.push(piece);
    size += piece.length;
    if (size > MAX_RECORD_BYTES) {
      throw new InputError(`${path}:${line}: the line is longer than 16 MB: write one JSON object a line.`);
    }
  };
  for await (const block of blocksOf(path)) {
    let start = 0;
    for (let end = block.indexOf(10); end >= 0; end = block.indexOf(10, start)) {
      push(block.subarray(start, end));
      yield finish();
      start = end + 1;
    }
    if (start < block.length) push(block.subarray(start));
  }
  if (size > 0) yield finish();
}

/** A file's bytes. @throws InputError where it is gone meanwhile, or its disk fails */
async function* blocksOf(path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw new InputError(`${path} cannot be read: ${(error as Error).message}.`);
  }
}

/** UTF-8 text without a byte order mark. */
function decode(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InputError(`${where}: not UTF-8 text: save the file as UTF-8.`);
  }
}
