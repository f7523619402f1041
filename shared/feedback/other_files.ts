// Files that hold rows, but not as JSON lines: named by how they begin, or by how they are called, with a way to convert
// them. It reads none of them.

import { extname } from "node:path";

/** The first bytes of a file by kind; a name's end chooses where kinds begin alike. */
const kinds: { kind: string; begins: number[]; ends?: string; way: (path: string) => string }[] = [
  { kind: "Parquet", begins: [0x50, 0x41, 0x52, 0x31], way: duckdb },
  { kind: "an Excel file", begins: [0x50, 0x4b, 0x03, 0x04], ends: ".xlsx", way: spreadsheet },
  { kind: "a zip archive", begins: [0x50, 0x4b, 0x03, 0x04], way: (path) => `unzip ${path}` },
  { kind: "an old Excel file", begins: [0xd0, 0xcf, 0x11, 0xe0], way: spreadsheet },
  { kind: "compressed with gzip", begins: [0x1f, 0x8b], way: (path) => `gunzip ${path}` },
  { kind: "compressed with zstd", begins: [0x28, 0xb5, 0x2f, 0xfd], way: (path) => `zstd -d ${path}` },
  { kind: "compressed with bzip2", begins: [0x42, 0x5a, 0x68], way: (path) => `bunzip2 ${path}` },
  { kind: "compressed with xz", begins: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], way: (path) => `unxz ${path}` },
  {
    kind: "an Arrow file",
    begins: [0x41, 0x52, 0x52, 0x4f, 0x57, 0x31],
    way: () => `dataset.to_json("rows.jsonl") in Python's datasets`,
  },
  { kind: "a SQLite database", begins: [...new TextEncoder().encode("SQLite format 3\0")], way: duckdb },
];

function duckdb(path: string): string {
  return `duckdb -c "COPY (FROM '${path}') TO 'rows.jsonl' (FORMAT json)"`;
}

function spreadsheet(): string {
  return `save it as CSV, then ${duckdb("rows.csv")}`;
}

/** What a name's end says of a file whose content does not. */
const endings: Record<string, string> = { ".csv": "CSV", ".tsv": "TSV", ".parquet": "Parquet", ".pq": "Parquet" };

/** A first line of names between commas, semicolons or tabs, one of which is a column of feedback. */
const header = /^"?\w+"?([,;\t]"?[\w ]+"?)+$/;
const columns = /(^|[,;\t"])(prompt|completion|chosen|rejected|label|messages|question|answer|response)($|[,;\t"])/i;

/**
 * A sentence that names the kind of a file that is neither JSON lines nor a JSON array, and how to convert it; undefined
 * where it may be either.
 *
 * @param begin the file's first bytes
 */
export function describeOtherFile(path: string, begin: Uint8Array): string | undefined {
  const known = kinds.find(({ begins, ends }) =>
    begins.every((byte, i) => begin[i] === byte) && (ends === undefined || path.toLowerCase().endsWith(ends))
  );
  if (known) return sentence(path, known.kind, known.way(path));
  const text = new TextDecoder().decode(begin).trimStart();
  // The content decides: JSON is read, whatever the file is called.
  if (text === "" || /^[[{]/.test(text)) return undefined;
  const [first = ""] = text.split(/\r?\n/, 1);
  const kind = endings[extname(path).toLowerCase()] ?? (header.test(first) && columns.test(first) ? "CSV" : undefined);
  return kind === undefined ? undefined : sentence(path, kind, duckdb(path));
}

function sentence(path: string, kind: string, way: string): string {
  return `${path} is ${kind}, which is not read: convert it to JSONL, one JSON object a line (e.g. ${way}).`;
}
