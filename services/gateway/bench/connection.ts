// One client's connection: HTTP/1.1 over TCP, kept alive, a request at a time. It is as little as a client can be, since
// it shares the machine with the gateway that it loads: fetch takes four times the processor time. It understands bodies
// with a Content-Length, which is what the gateway sends for JSON.

const encoder = new TextEncoder(), decoder = new TextDecoder();

export interface Answer {
  status: number;
  // deno-lint-ignore no-explicit-any -- bodies of every route
  body: any;
}

export class Connection implements Disposable {
  #read = new Uint8Array(2 ** 16);

  private constructor(readonly tcp: Deno.TcpConn, readonly host: string) {}

  /** @param address e.g. `http://127.0.0.1:8000` */
  static async open(address: string): Promise<Connection> {
    const { host, hostname, port } = new URL(address);
    const tcp = await Deno.connect({ hostname, port: Number(port) });
    tcp.setNoDelay(true);
    return new Connection(tcp, host);
  }

  [Symbol.dispose](): void {
    this.tcp.close();
  }

  /** Sends a request and reads all of its answer. @throws Error where the answer is no JSON of a known length */
  async send(method: "GET" | "POST", path: string, body?: unknown): Promise<Answer> {
    const json = encoder.encode(body === undefined ? "" : JSON.stringify(body));
    const head = encoder.encode(
      `${method} ${path} HTTP/1.1\r\nHost: ${this.host}\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${json.length}\r\n\r\n`,
    );
    const request = new Uint8Array(head.length + json.length);
    request.set(head);
    request.set(json, head.length);
    for (let at = 0; at < request.length;) at += await this.tcp.write(request.subarray(at));
    return await this.#answer();
  }

  async #answer(): Promise<Answer> {
    let length = 0, head: string | undefined, bodyStart = 0, bodyEnd = Infinity;
    while (length < bodyEnd) {
      if (length === this.#read.length) this.#grow();
      const count = await this.tcp.read(this.#read.subarray(length));
      if (count === null) throw new Error("the gateway closed a connection in the middle of an answer");
      length += count;
      if (head !== undefined) continue;
      const text = decoder.decode(this.#read.subarray(0, length)), end = text.indexOf("\r\n\r\n");
      if (end < 0) continue;
      head = text.slice(0, end);
      const [, bodyLength] = /^content-length: *(\d+)/im.exec(head) ?? [];
      if (bodyLength === undefined) throw new Error(`an answer has no Content-Length: ${head}`);
      bodyStart = encoder.encode(head).length + 4;
      bodyEnd = bodyStart + Number(bodyLength);
    }
    const body = JSON.parse(decoder.decode(this.#read.subarray(bodyStart, bodyEnd)));
    return { status: Number(head!.split(" ")[1]), body };
  }

  #grow(): void {
    const grown = new Uint8Array(2 * this.#read.length);
    grown.set(this.#read);
    this.#read = grown;
  }
}

/** Sends a request that must succeed. @returns its body */
export async function succeed(
  connection: Connection,
  method: "GET" | "POST",
  path: string,
  body?: unknown,
): Promise<Answer["body"]> {
  const answer = await connection.send(method, path, body);
  if (answer.status < 300) return answer.body;
  throw new Error(`${method} ${path} was answered with ${answer.status}: ${JSON.stringify(answer.body)}`);
}

/** Hands out open connections and closes them after. */
export async function withConnections<Result>(
  address: string,
  count: number,
  use: (connections: Connection[]) => Promise<Result>,
): Promise<Result> {
  const connections = await Promise.all(Array.from({ length: count }, () => Connection.open(address)));
  try {
    return await use(connections);
  } finally {
    for (const connection of connections) connection[Symbol.dispose]();
  }
}
