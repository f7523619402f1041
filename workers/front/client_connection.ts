// One client's connection: reads a request's head in whole, passes the request on to the service, passes the answer back,
// and so on until someone ends it. It keeps its own deadlines, which `check` is called for now and then. What it holds of
// a client is a few KiB, whatever is sent: who does not read keeps the service from writing. It does not know who else is
// connected.

import { Buffer } from "node:buffer";
import { parseRequestHead, parseResponseHead, type PassingBody, passingBody, RefusedMessage } from "./framing.ts";
import type { RequestHead } from "./framing.ts";
import type { FrontLimits, Refusal, RefusalKind } from "./settings.ts";

/** What a connection asks of the front that it belongs to. */
export interface Surroundings {
  readonly limits: FrontLimits;
  readonly refusals: Record<RefusalKind, Refusal>;
  readonly addressHeader: string;
  /** Host of requests that name none. */
  readonly ownHost: string;
  /** Milliseconds, a moment ago: precise enough for deadlines, and free. */
  readonly now: number;
  /** Whether connections end with the answer that is under way. */
  readonly draining: boolean;
  /** A connection to the service. */
  connect(): Promise<Deno.Conn>;
  /** Who asks. */
  addressOf(connection: ClientConnection, head: RequestHead): string;
  /** Whether a request may be passed on: nothing, or why not. */
  refusalOf(connection: ClientConnection, head: RequestHead, address: string): RefusalKind | undefined;
  /** Called as a request that was passed on ends. */
  onAnswered(connection: ClientConnection, address: string): void;
  onTimeOut(): void;
}

const firstBuffer = 4096, answerBuffer = 16 * 1024, largeBuffer = 64 * 1024;

/** Longest head of a request, in bytes. */
const longestHead = 32 * 1024;

const noBytes = new Uint8Array(0);

/** Buffers of answers that are over: a connection needs one only while it is answered. */
const spareBuffers: Uint8Array<ArrayBuffer>[] = [], mostSpare = 64;

/** Bytes that are read ahead of an answer's end, so that a client that hangs up is noticed. */
const readAhead = 1024;

/**
 * How long a client that was refused may take to take the refusal, in milliseconds, and what it may still send until it
 * looks, in bytes: many look only once they have sent all.
 */
const leavingTime = 5000, leavingBytes = 64 * 2 ** 20;

/** How long one that has no place may take to ask for a probe, in milliseconds. */
const overflowTime = 2000;

const reasons: Record<number, string> = {
  400: "Bad Request",
  408: "Request Timeout",
  431: "Request Header Fields Too Large",
  503: "Service Unavailable",
  505: "HTTP Version Not Supported",
};

const bufferOf = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);

/** Where the head that begins at `start` ends, its empty line not counted; -1 while it has not. */
function headEnd(bytes: Uint8Array, start: number, end: number, searchedTo: number): number {
  const at = bufferOf(bytes.subarray(start, end)).indexOf("\r\n\r\n", Math.max(0, searchedTo - start - 3));
  return at < 0 ? -1 : start + at;
}

const latin1 = (bytes: Uint8Array, start: number, end: number) => bufferOf(bytes).toString("latin1", start, end);

/** What a connection waits for: a request, the rest of its head, of its body, of its answer, or that the client goes. */
type State = "idle" | "head" | "body" | "answer" | "leaving";

export class ClientConnection {
  #in = new Uint8Array(firstBuffer);
  #start = 0;
  #end = 0;
  /** Of the next buffer. */
  #bufferLength = firstBuffer;
  #reading: Promise<boolean> | undefined;
  #backend: Deno.Conn | undefined;
  /** What is passed back, while there is an answer. */
  #out = noBytes;
  #closed = false;
  /** Counts requests, so that who watches over one knows when it is over. */
  #exchange = 0;
  #answerBegun = false;
  #state: State = "idle";
  /** When the state began. */
  #since: number;
  /** When the client was last waited for to send of a body, 0 while it is not; how long it was in all, and for how much. */
  #bodyWait = 0;
  #bodyWaited = 0;
  #bodyBytes = 0;
  /** When the client began to be waited for to take something; 0 while it is not. */
  #standingSince = 0;
  /** Settles when a refusal was taken, where one was given. */
  #leaving: Promise<void> | undefined;

  /** @param overflow why it has no place, where it has none: it may ask for a probe, once */
  constructor(
    readonly tcp: Deno.Conn,
    readonly peer: string,
    readonly overflow: RefusalKind | undefined,
    readonly around: Surroundings,
  ) {
    this.#since = around.now;
  }

  /** Whether no request is under way. */
  get idle(): boolean {
    return this.#state !== "body" && this.#state !== "answer";
  }

  /** Serves until the end. Never rejects. */
  async serve(): Promise<void> {
    try {
      while (await this.#serveOne());
    } catch (error) {
      if (error instanceof RefusedMessage) this.refuse(error.kind);
      // Else either side has gone.
    }
    await this.#leaving;
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeBackend();
    try {
      this.tcp.close();
    } catch { /* it is closed */ }
  }

  /** Ends the connection with an answer of the front's own, where none has begun. @param patient whether the client may take its time */
  refuse(kind: RefusalKind, patient = true): void {
    if (this.#closed || this.#state === "leaving") return;
    this.#enter("leaving");
    this.#closeBackend();
    if (this.#answerBegun) return this.close();
    this.#leaving = this.#refuse(this.around.refusals[kind], patient).catch(() => {}).then(() => this.close());
  }

  async #refuse({ status, body, retryAfter }: Refusal, patient: boolean): Promise<void> {
    const head = `HTTP/1.1 ${status} ${reasons[status]}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n` +
      (retryAfter === undefined ? "" : `Retry-After: ${retryAfter}\r\n`);
    await this.#write(this.tcp, Buffer.from(`${head}\r\n${body}`));
    if (patient) await this.#leave();
  }

  /** Makes room for another: one that has no place is told so and ended at once. */
  makeWay(): void {
    if (this.#state === "leaving") this.close();
    else this.refuse(this.overflow ?? "crowded", false);
  }

  /** Ends the sending side and lets the client take what was sent: closing at once could make its system drop it. */
  async #leave(): Promise<void> {
    this.#enter("leaving");
    this.#closeBackend();
    await (this.tcp as Deno.TcpConn).closeWrite();
    this.#bufferLength = largeBuffer;
    for (let left = leavingBytes; left > 0;) {
      // What was being read may still be under way, and nothing of it is wanted.
      this.#start = this.#end;
      if (!await this.#read()) return;
      left -= this.#end - this.#start;
    }
  }

  /** Ends what takes too long. */
  check(now: number): void {
    const { limits } = this.around, took = now - this.#since;
    if (this.#standingSince > 0 && now - this.#standingSince > limits.standingTime) return this.#timeOut();
    if (this.#state === "leaving" && took > leavingTime) return this.close();
    if (this.overflow && this.idle && took > overflowTime) return this.refuse(this.overflow);
    if (this.#state === "idle" && took > limits.idleTime) return this.#timeOut();
    if (this.#state === "head" && took > limits.headTime) return this.#timeOut("slowHead");
    if (this.#state !== "body" || this.#bodyWait === 0) return;
    const pause = now - this.#bodyWait, waited = this.#bodyWaited + pause;
    const slow = waited > limits.bodyPause && this.#bodyBytes < limits.bodyRate * waited / 1000;
    if (pause > limits.bodyPause || slow) this.#timeOut("slowBody");
  }

  #timeOut(kind?: RefusalKind): void {
    this.around.onTimeOut();
    if (kind) this.refuse(kind);
    else this.close();
  }

  #enter(state: State): void {
    this.#state = state;
    this.#since = this.around.now;
  }

  /** Reads what comes next behind what is there. @returns false at the end */
  #read(): Promise<boolean> {
    return this.#reading ??= this.#readMore();
  }

  async #readMore(): Promise<boolean> {
    if (this.#start === this.#end) {
      this.#start = this.#end = 0;
      if (this.#in.length !== this.#bufferLength) this.#in = new Uint8Array(this.#bufferLength);
    } else if (this.#end === this.#in.length) this.#makeRoom(this.#in.length);
    try {
      const count = await this.tcp.read(this.#in.subarray(this.#end));
      this.#end += count ?? 0;
      return count !== null;
    } finally {
      this.#reading = undefined;
    }
  }

  /** Moves what is there to the beginning of a buffer that has room for more. */
  #makeRoom(length: number): void {
    const kept = this.#in.subarray(this.#start, this.#end);
    const next = new Uint8Array(kept.length * 2 > length ? 2 * length : length);
    next.set(kept);
    this.#in = next;
    this.#end = kept.length;
    this.#start = 0;
  }

  async #write(side: Deno.Conn, bytes: Uint8Array): Promise<void> {
    const client = side === this.tcp;
    for (let at = 0; at < bytes.length;) {
      if (client) this.#standingSince = this.around.now;
      at += await side.write(at === 0 ? bytes : bytes.subarray(at));
    }
    if (client) this.#standingSince = 0;
  }

  /** @returns the end of the next request's head, -1 where the client has gone instead */
  async #readHead(): Promise<number> {
    let searchedTo = this.#start;
    while (true) {
      // An empty line before a request is no part of it.
      while (this.#end - this.#start >= 2 && this.#in[this.#start] === 13 && this.#in[this.#start + 1] === 10) {
        this.#start += 2;
        searchedTo = this.#start;
      }
      const end = headEnd(this.#in, this.#start, this.#end, searchedTo);
      const length = (end < 0 ? this.#end : end) - this.#start;
      if (length > longestHead) throw new RefusedMessage("longHead");
      if (end >= 0) return end;
      if (length > 0 && this.#state === "idle") this.#enter("head");
      const [startBefore, endBefore] = [this.#start, this.#end];
      if (!await this.#read()) return -1;
      // What was there may have been moved.
      searchedTo = this.#start + endBefore - startBefore;
    }
  }

  /** @returns whether another request may come */
  async #serveOne(): Promise<boolean> {
    this.#answerBegun = false;
    this.#enter("idle");
    const end = await this.#readHead();
    if (end < 0 || this.#closed || this.#state === "leaving") return false;
    const text = latin1(this.#in, this.#start, end), head = parseRequestHead(text);
    const address = this.around.addressOf(this, head), refusal = this.around.refusalOf(this, head, address);
    if (refusal) throw new RefusedMessage(refusal);
    try {
      return await this.#pass(head, text, end + 4, address) && this.overflow === undefined && !this.around.draining;
    } finally {
      if (this.#out.length === answerBuffer && spareBuffers.length < mostSpare) spareBuffers.push(this.#out);
      this.#out = noBytes;
      this.#exchange++;
      this.around.onAnswered(this, address);
    }
  }

  /** Passes a request on and its answer back. @returns whether the connection may be used again */
  async #pass(head: RequestHead, text: string, bodyStart: number, address: string): Promise<boolean> {
    const backend = this.#backend ??= await this.around.connect().catch(() => {
      throw new RefusedMessage("unavailable");
    });
    if (this.#closed) {
      backend.close();
      return false;
    }
    const body = passingBody(head.body);
    this.#start = bodyStart;
    const taken = body.take(this.#in, this.#start, this.#end);
    const first = this.#forwardedHead(head, text, address), request = Buffer.allocUnsafe(first.length + taken);
    request.write(first, "latin1");
    request.set(this.#in.subarray(this.#start, this.#start + taken), first.length);
    this.#start += taken;
    this.#enter(body.done ? "answer" : "body");
    let refused: RefusalKind | undefined;
    const sent = this.#sendRequest(backend, request, body).catch((error) => {
      if (error instanceof RefusedMessage) refused = error.kind;
      // The service notices that the request broke off.
      this.#closeBackend();
    });
    const again = await this.#passAnswer(backend, head.method).catch((error) => {
      throw refused ? new RefusedMessage(refused) : error;
    });
    if (body.done) {
      await sent;
      return again;
    }
    // It was answered before all of it had come: what is left has nowhere to go.
    await this.#leave();
    return false;
  }

  #closeBackend(): void {
    try {
      this.#backend?.close();
    } catch { /* it is closed */ }
  }

  /** The head as the service gets it: its target with the host, and the client's address before all other fields. */
  #forwardedHead({ target, host, method, minor }: RequestHead, text: string, address: string): string {
    const whole = target.startsWith("/") ? `http://${host || this.around.ownHost}${target}` : target;
    const rest = text.slice(text.indexOf("\r\n"));
    return `${method} ${whole} HTTP/1.${minor}\r\n${this.around.addressHeader}: ${address}${rest}\r\n\r\n`;
  }

  /** Sends a request's head and body, then watches whether the client hangs up. */
  async #sendRequest(backend: Deno.Conn, first: Uint8Array, body: PassingBody): Promise<void> {
    const exchange = this.#exchange;
    this.#bodyBytes = this.#bodyWaited = 0;
    await this.#write(backend, first);
    while (!body.done) {
      this.#bodyWait = this.around.now;
      if (!await this.#read()) throw new Error("the client has gone");
      this.#bodyWaited += this.around.now - this.#bodyWait;
      this.#bodyWait = 0;
      if (exchange !== this.#exchange || this.#state === "leaving") return;
      const taken = body.take(this.#in, this.#start, this.#end);
      const piece = this.#in.subarray(this.#start, this.#start + taken);
      if (this.#end === this.#in.length) this.#bufferLength = largeBuffer;
      this.#bodyBytes += taken;
      await this.#write(backend, piece);
      this.#start += taken;
    }
    if (this.#state === "body") this.#enter("answer");
    this.#bufferLength = firstBuffer;
    this.#watch(exchange);
  }

  /** Notices that a client hangs up while it is being answered. */
  async #watch(exchange: number): Promise<void> {
    try {
      while (exchange === this.#exchange && this.#end - this.#start < readAhead) {
        if (!await this.#read() && exchange === this.#exchange) return this.close();
      }
    } catch {
      this.close();
    }
  }

  /** @returns whether the connection may be used again */
  async #passAnswer(backend: Deno.Conn, method: string): Promise<boolean> {
    this.#out = spareBuffers.pop() ?? new Uint8Array(answerBuffer);
    let length = 0, end = -1, searchedTo = 0;
    while (true) {
      while (end < 0) {
        const count = await backend.read(this.#out.subarray(length));
        if (count === null) throw new RefusedMessage("unavailable");
        length += count;
        end = headEnd(this.#out, 0, length, searchedTo);
        searchedTo = length;
        if (end < 0 && length === this.#out.length) this.#out = grown(this.#out);
      }
      const { status, body, closes } = parseResponseHead(latin1(this.#out, 0, end), method);
      if (status >= 200) return await this.#passBody(backend, end + 4, length, passingBody(body), !closes);
      // Such as 100 Continue: the answer follows.
      await this.#write(this.tcp, this.#out.subarray(0, end + 4));
      this.#out.copyWithin(0, end + 4, length);
      length -= end + 4;
      end = headEnd(this.#out, 0, length, 0);
      searchedTo = length;
    }
  }

  async #passBody(
    backend: Deno.Conn,
    bodyStart: number,
    length: number,
    body: PassingBody,
    again: boolean,
  ): Promise<boolean> {
    this.#answerBegun = true;
    let end = bodyStart + body.take(this.#out, bodyStart, length);
    while (true) {
      await this.#write(this.tcp, this.#out.subarray(0, end));
      if (body.done) return again;
      if (end === this.#out.length && end < largeBuffer) this.#out = new Uint8Array(largeBuffer);
      const count = await backend.read(this.#out);
      if (count === null) return false;
      end = body.take(this.#out, 0, count);
    }
  }
}

function grown(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const next = new Uint8Array(2 * bytes.length);
  next.set(bytes);
  return next;
}
