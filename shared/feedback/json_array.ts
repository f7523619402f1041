// Cuts a JSON array into the texts of its elements as its bytes come, so that a file of any size is read in the memory of
// one element. It finds strings, brackets and commas alone: whether an element is JSON is for its reader to find out.

/** An element's text. */
export interface ArrayElement {
  bytes: Uint8Array;
  /** 1-based line of the file on which it begins. */
  line: number;
  /** 1-based. */
  position: number;
}

/** What keeps bytes from being an array. */
export class ArrayError extends Error {
  constructor(readonly line: number, readonly position: number, message: string) {
    super(message);
  }
}

const code = (character: string) => character.charCodeAt(0);
const quote = code('"'), backslash = code("\\"), comma = code(","), newline = code("\n");
const openBracket = code("["), closeBracket = code("]"), openBrace = code("{"), closeBrace = code("}");
/** White space of JSON, and the bytes of a byte order mark, which may stand before all. */
const blank = new Set([code(" "), code("\t"), code("\r"), newline]), mark = new Set([0xef, 0xbb, 0xbf]);

/**
 * The elements of an array, in order. Between the commas of `[1,,2]` is an element without text.
 *
 * @param blocks bytes of a file that begins with an array
 * @param longest bytes of an element
 * @throws ArrayError for an element that is longer, an array that does not end, and for what comes after its end
 */
export async function* elementsOf(blocks: AsyncIterable<Uint8Array>, longest: number): AsyncGenerator<ArrayElement> {
  let depth = 0, line = 1, position = 1, begun = 0, over = false, inString = false, escaped = false;
  let pieces: Uint8Array[] = [], size = 0;
  const keep = (piece: Uint8Array) => {
    size += piece.length;
    if (size > longest) throw new ArrayError(begun || line, position, `it is longer than ${longest} bytes`);
    pieces.push(piece);
  };
  const finish = (): ArrayElement => {
    const element = { bytes: concat(pieces, size), line: begun || line, position: position++ };
    [pieces, size, begun] = [[], 0, 0];
    return element;
  };
  for await (const block of blocks) {
    let start = 0;
    for (let at = 0; at < block.length; at++) {
      const byte = block[at]!;
      if (byte === newline) line++;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === backslash) escaped = true;
        else if (byte === quote) inString = false;
        continue;
      }
      if (blank.has(byte)) continue;
      if (depth === 0) {
        if (!over && byte === openBracket) [depth, start] = [1, at + 1];
        else if (over || !mark.has(byte)) {
          throw new ArrayError(line, position, "there is something after the array's end");
        }
        continue;
      }
      const ends = depth === 1 && byte === closeBracket;
      if (ends || (depth === 1 && byte === comma)) {
        keep(block.subarray(start, at));
        start = at + 1;
        if (ends) [depth, over] = [0, true];
        // An empty array has no element, not even one without text.
        if (!ends || begun > 0 || position > 1) yield finish();
        continue;
      }
      begun ||= line;
      if (byte === quote) inString = true;
      else if (byte === openBracket || byte === openBrace) depth++;
      else if ((byte === closeBracket || byte === closeBrace) && depth > 1) depth--;
    }
    if (depth > 0) keep(block.subarray(start));
  }
  if (!over) throw new ArrayError(begun || line, position, "the array does not end");
}

/** Pieces as one. */
export function concat(pieces: readonly Uint8Array[], size: number): Uint8Array {
  if (pieces.length === 1) return pieces[0]!;
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
