// Walks the fields of a protobuf file without loading it: tags, lengths and the places of what they hold. Every length is
// checked against the file, which is untrusted. It does not know ONNX.

/** Reads a byte range of an open file through a window, for parsing without loading the file. */
export class FileWindow {
  #window = new Uint8Array(0);
  #start = 0;
  constructor(readonly file: Deno.FsFile, readonly size: number, readonly fail: (why: string) => never) {}

  bytes(offset: number, length: number): Uint8Array {
    if (offset + length > this.size) {
      this.fail("it ends in the middle of a field, so it is cut short or not an ONNX file");
    }
    if (offset < this.#start || offset + length > this.#start + this.#window.length) {
      this.#window = new Uint8Array(Math.min(Math.max(length, 65536), this.size - offset));
      this.#start = offset;
      this.file.seekSync(offset, Deno.SeekMode.Start);
      for (let filled = 0; filled < this.#window.length;) {
        const read = this.file.readSync(this.#window.subarray(filled));
        if (read === null) this.fail("it changed while being read");
        filled += read!;
      }
    }
    return this.#window.subarray(offset - this.#start, offset - this.#start + length);
  }

  /** A protobuf varint (as a number; exact below 2^53) and the offset behind it. */
  varint(offset: number): [value: number, next: number] {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      const byte = this.bytes(offset + i, 1)[0]!;
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return [value, offset + i + 1];
    }
    return this.fail("a number in it has no end, so it is not an ONNX file");
  }
}

/** One field of a message. */
export interface Field {
  id: number;
  wireType: number;
  /** Where its tag is. */
  at: number;
  /** Payload range; for varints the range is empty and `value` holds the number. */
  start: number;
  end: number;
  value: number;
}

/** The fields of the message in a range of the file. */
export function* fields(window: FileWindow, start: number, end: number): Generator<Field> {
  for (let at = start; at < end;) {
    const [tag, afterTag] = window.varint(at);
    const id = Math.floor(tag / 8), wireType = tag % 8;
    if (id === 0) window.fail("it holds a field without a number, so it is not an ONNX file");
    let from = afterTag, to: number, value = 0;
    if (wireType === 0) {
      [value, from] = window.varint(afterTag);
      to = from;
    } else if (wireType === 1) to = from + 8;
    else if (wireType === 5) to = from + 4;
    else if (wireType === 2) {
      const [length, next] = window.varint(afterTag);
      from = next;
      to = next + length;
    } else return window.fail(`it holds a field of wire type ${wireType}, so it is not an ONNX file`);
    if (to > end) window.fail("it ends in the middle of a field, so it is cut short or not an ONNX file");
    yield { id, wireType, at, start: from, end: to, value };
    at = to;
  }
}
