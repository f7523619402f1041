// A front over real connections before a service that is told what to do, and a client that says what it likes.

import { fail } from "@std/assert";
import { frontLimits, type OpenFront, openFront } from "../../services/gateway/front.ts";
import type { FrontLimits } from "../../workers/front/settings.ts";

const patientLimits: FrontLimits = {
  ...frontLimits({ maxConnections: undefined, maxConnectionsPerAddress: undefined }, 4096),
  headTime: 60_000,
  idleTime: 60_000,
  bodyPause: 60_000,
  standingTime: 60_000,
};

export interface Served {
  front: OpenFront;
  port: number;
}

/** Hands out a front and closes it after. Its limits are patient unless told otherwise. */
export async function withFront(
  { limits = {}, trustedProxies = [], answer }: {
    limits?: Partial<FrontLimits>;
    trustedProxies?: string[];
    answer: (request: Request) => Response | Promise<Response>;
  },
  use: (served: Served) => Promise<void>,
): Promise<void> {
  const options = {
    hostname: "127.0.0.1",
    port: 0,
    trustedProxies,
    limits: { ...patientLimits, ...limits },
    probes: ["/healthz"],
  };
  const front = await openFront(options, answer, (error) => fail(error.message));
  try {
    await use({ front, port: front.port });
  } finally {
    await front.close();
  }
}

const encoder = new TextEncoder(), decoder = new TextDecoder();

/** A client that says what it likes. */
export class RawClient implements Disposable {
  private constructor(readonly tcp: Deno.TcpConn) {}

  static async open(port: number, words = ""): Promise<RawClient> {
    const client = new RawClient(await Deno.connect({ hostname: "127.0.0.1", port }));
    await client.say(words);
    return client;
  }

  async say(words: string | Uint8Array): Promise<void> {
    const bytes = typeof words === "string" ? encoder.encode(words) : words;
    for (let at = 0; at < bytes.length;) at += await this.tcp.write(bytes.subarray(at));
  }

  /** What comes until `enough` is there, or the end. */
  async hear(enough: (text: string) => boolean = () => false): Promise<string> {
    let text = "";
    const buffer = new Uint8Array(65536);
    while (!enough(text)) {
      const count = await this.tcp.read(buffer).catch(() => null);
      if (count === null) return text;
      text += decoder.decode(buffer.subarray(0, count));
    }
    return text;
  }

  [Symbol.dispose](): void {
    try {
      this.tcp.close();
    } catch { /* it is closed */ }
  }
}

/** A request without a body. */
export const get = (path: string, fields = "") => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n`;
