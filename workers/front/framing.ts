// Where HTTP/1 messages begin and end, and nothing else of HTTP: strict, because two readers who disagree about that are
// how requests are smuggled. What can be read in two ways is refused. It does no I/O.

import type { RefusalKind } from "./settings.ts";

/** What cannot be let through. */
export class RefusedMessage extends Error {
  constructor(readonly kind: RefusalKind) {
    super(kind);
  }
}

/** How a message's body ends: at once, after so many bytes, with its last chunk, or with the connection. */
type BodyLength = number | "chunked" | "rest";

export interface RequestHead {
  method: string;
  /** As it was sent. */
  target: string;
  minor: "0" | "1";
  host: string | undefined;
  body: BodyLength;
  /** Values of X-Forwarded-For and of Forwarded, in the order they came in. */
  forwardedFor: string[];
  forwarded: string[];
}

export interface ResponseHead {
  status: number;
  body: BodyLength;
  /** Whether the connection ends with it. */
  closes: boolean;
}

const requestLine = /^([!#$%&'*+.^_`|~\w-]{1,40}) ([\x21-\x7e\x80-\xff]+) HTTP\/(\d)\.(\d)$/;
const fieldLine = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*([^\0\r\n]*?)[ \t]*$/;

const malformed = () => new RefusedMessage("malformed");

/** Reads the head of a request. @param text its lines, without the empty one @throws RefusedMessage */
export function parseRequestHead(text: string): RequestHead {
  const lines = text.split("\r\n"), [, method, target, major, minor] = requestLine.exec(lines[0]!) ?? [];
  if (method === undefined || target === undefined) throw malformed();
  if (major !== "1" || (minor !== "0" && minor !== "1")) throw new RefusedMessage("version");
  const head: RequestHead = { method, target, minor, host: undefined, body: 0, forwardedFor: [], forwarded: [] };
  let length: string | undefined, coding: string | undefined;
  for (let i = 1; i < lines.length; i++) {
    const [, name, value] = fieldLine.exec(lines[i]!) ?? [];
    if (name === undefined || value === undefined) throw malformed();
    switch (name.toLowerCase()) {
      case "content-length":
        if (length !== undefined || !/^\d{1,15}$/.test(value)) throw malformed();
        length = value;
        break;
      case "transfer-encoding":
        if (coding !== undefined || value.toLowerCase() !== "chunked") throw malformed();
        coding = value;
        break;
      case "host":
        // It becomes part of the request line.
        if (head.host !== undefined || !/^[\w.:[\]%~!$&'()*+;=-]*$/.test(value)) throw malformed();
        head.host = value;
        break;
      case "x-forwarded-for":
        head.forwardedFor.push(value);
        break;
      case "forwarded":
        head.forwarded.push(value);
    }
  }
  if (coding !== undefined && (length !== undefined || minor === "0")) throw malformed();
  if (head.host === undefined && minor === "1") throw malformed();
  head.body = coding === undefined ? Number(length ?? 0) : "chunked";
  return head;
}

/** Reads the head of the service's response to a request of this method. */
export function parseResponseHead(text: string, method: string): ResponseHead {
  const status = Number(text.slice(9, 12));
  const field = (name: string) => new RegExp(`\r\n${name}:[ \t]*([^\r]*)`, "i").exec(text)?.[1];
  const closes = field("connection")?.toLowerCase() === "close" || text.startsWith("HTTP/1.0");
  const bodiless = method === "HEAD" || status < 200 || status === 204 || status === 304;
  const length = field("content-length");
  const body = bodiless ? 0 : length !== undefined ? Number(length) : field("transfer-encoding") ? "chunked" : "rest";
  return { status, body, closes: closes || body === "rest" };
}

/** Follows a body as it passes. */
export interface PassingBody {
  readonly done: boolean;
  /** How many of the bytes from `start` to `end` belong to it. @throws RefusedMessage for chunks that are none */
  take(bytes: Uint8Array, start: number, end: number): number;
}

export function passingBody(length: BodyLength): PassingBody {
  return length === "chunked" ? new ChunkedBody() : new MeasuredBody(length === "rest" ? Infinity : length);
}

class MeasuredBody implements PassingBody {
  constructor(public left: number) {}

  get done(): boolean {
    return this.left === 0;
  }

  take(_bytes: Uint8Array, start: number, end: number): number {
    const taken = Math.min(this.left, end - start);
    this.left -= taken;
    return taken;
  }
}

/** Longest line of a chunk's size, and longest trailers, in bytes. */
const longestLine = 256, longestTrailers = 8192;

const CR = 13, LF = 10;

class ChunkedBody implements PassingBody {
  done = false;
  #state: "size" | "data" | "data's end" | "trailers" = "size";
  /** Bytes of the chunk that are to come. */
  #left = 0;
  #line = "";
  #trailers = 0;

  take(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && !this.done) {
      if (this.#state === "data") {
        const taken = Math.min(this.#left, end - at);
        at += taken;
        this.#left -= taken;
        if (this.#left === 0) this.#state = "data's end";
        continue;
      }
      const byte = bytes[at++]!;
      if (byte !== LF) {
        if (this.#line.endsWith("\r") || this.#line.length >= longestLine) throw malformed();
        if (byte !== CR && byte !== 9 && byte < 32) throw malformed();
        this.#line += String.fromCharCode(byte);
        continue;
      }
      if (!this.#line.endsWith("\r")) throw malformed();
      this.#endLine(this.#line.slice(0, -1));
      this.#line = "";
    }
    return at - start;
  }

  #endLine(line: string): void {
    if (this.#state === "data's end") {
      if (line !== "") throw malformed();
      this.#state = "size";
    } else if (this.#state === "trailers") {
      this.#trailers += line.length;
      if (this.#trailers > longestTrailers) throw malformed();
      this.done = line === "";
    } else {
      const [, size] = /^([0-9a-f]{1,8})[ \t]*(?:;.*)?$/i.exec(line) ?? [];
      if (size === undefined) throw malformed();
      this.#left = parseInt(size, 16);
      this.#state = this.#left === 0 ? "trailers" : "data";
    }
  }
}
