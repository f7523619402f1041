// The front of a service: takes connections, no more than there is room for, and serves each until it ends. It never
// stops listening, whatever comes. It knows no routes but the probes that are answered also where there is no room.

import { addressKey, TrustedProxies } from "./addresses.ts";
import { ClientConnection, type Surroundings } from "./client_connection.ts";
import type { RequestHead } from "./framing.ts";
import type { Front, FrontCounts, FrontSettings, Listening, RefusalKind } from "./settings.ts";

/** How long to rest where the system gives no connection, e.g. since all file descriptors are taken, in milliseconds. */
const acceptPause = 50;

/** Counts by key; a key that is not there counts 0. */
class Tally {
  #counts = new Map<string, number>();

  of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  add(key: string, by: 1 | -1): void {
    const count = this.of(key) + by;
    if (count === 0) this.#counts.delete(key);
    else this.#counts.set(key, count);
  }
}

export class ListeningFront implements Surroundings {
  readonly limits;
  readonly refusals;
  readonly addressHeader;
  readonly ownHost: string;
  now = performance.now();
  draining = false;
  readonly port: number;
  #listener: Deno.TcpListener;
  #proxies: TrustedProxies;
  #probes: Set<string>;
  /** Connections that have a place. */
  #placed = new Set<ClientConnection>();
  /** Those that have none, the oldest first. */
  #overflow = new Set<ClientConnection>();
  /** Connections by address, and requests under way that trusted proxies ask for somebody. */
  #connections = new Tally();
  #requests = new Tally();
  #refused = 0;
  #timedOut = 0;
  #watch: ReturnType<typeof setInterval>;

  /** @throws Deno.errors.AddrInUse and others where it cannot listen; Error for a proxy that is no address */
  constructor(readonly settings: FrontSettings) {
    const { hostname, port, limits, refusals, addressHeader, trustedProxies, probes } = settings;
    this.limits = limits;
    this.refusals = refusals;
    this.addressHeader = addressHeader;
    this.#proxies = new TrustedProxies(trustedProxies);
    this.#probes = new Set(probes);
    this.#listener = Deno.listen({ hostname: hostname.replace(/^\[(.*)\]$/, "$1"), port });
    this.port = this.#listener.addr.port;
    this.ownHost = `${hostname.includes(":") && !hostname.startsWith("[") ? `[${hostname}]` : hostname}:${this.port}`;
    const shortest = Math.min(limits.headTime, limits.idleTime, limits.bodyPause, limits.standingTime);
    this.#watch = setInterval(() => this.#check(), Math.min(250, shortest / 4));
    this.#accept();
  }

  counts(): FrontCounts {
    const connections = this.#placed.size + this.#overflow.size;
    return { connections, refused: this.#refused, timedOut: this.#timedOut };
  }

  drain(): void {
    if (this.draining) return;
    this.draining = true;
    this.#listener.close();
    for (const connection of this.#all()) if (connection.idle) connection.close();
  }

  end(): void {
    this.drain();
    clearInterval(this.#watch);
    for (const connection of this.#all()) connection.close();
  }

  connect(): Promise<Deno.Conn> {
    return Deno.connect({ transport: "unix", path: this.settings.backend });
  }

  addressOf({ peer }: ClientConnection, head: RequestHead): string {
    return this.#proxies.has(peer) ? addressKey(this.#proxies.clientOf(peer, head)) ?? peer : keyOf(peer);
  }

  refusalOf(connection: ClientConnection, { method, target }: RequestHead, address: string): RefusalKind | undefined {
    const probe = (method === "GET" || method === "HEAD") && this.#probes.has(target.split("?")[0]!);
    const full = this.#proxies.has(connection.peer) && this.#requests.of(address) >= this.limits.connectionsPerAddress;
    const refusal = probe ? undefined : connection.overflow ?? (full ? "crowdedAddress" : undefined);
    if (refusal) this.#refused++;
    else this.#requests.add(address, 1);
    return refusal;
  }

  onAnswered(_connection: ClientConnection, address: string): void {
    this.#requests.add(address, -1);
  }

  onTimeOut(): void {
    this.#timedOut++;
  }

  #all(): ClientConnection[] {
    return [...this.#placed, ...this.#overflow];
  }

  #check(): void {
    this.now = performance.now();
    for (const connection of this.#placed) connection.check(this.now);
    for (const connection of this.#overflow) connection.check(this.now);
  }

  async #accept(): Promise<void> {
    while (!this.draining) {
      try {
        this.#serve(await this.#listener.accept());
      } catch {
        // Such as a client that has gone already, or no file descriptor left: others will come and go.
        if (!this.draining) await new Promise((resolve) => setTimeout(resolve, acceptPause));
      }
    }
  }

  async #serve(tcp: Deno.TcpConn): Promise<void> {
    tcp.setNoDelay(true);
    const peer = tcp.remoteAddr.hostname, key = keyOf(peer), { connections, connectionsPerAddress } = this.limits;
    const overflow = this.#placed.size >= connections
      ? "crowded" as const
      : this.#connections.of(key) >= connectionsPerAddress && !this.#proxies.has(peer)
      ? "crowdedAddress" as const
      : undefined;
    const connection = new ClientConnection(tcp, peer, overflow, this);
    const held = overflow ? this.#overflow : this.#placed;
    if (overflow && this.#overflow.size >= this.limits.overflow) this.#makeRoom();
    held.add(connection);
    if (!overflow) this.#connections.add(key, 1);
    await connection.serve();
    held.delete(connection);
    if (!overflow) this.#connections.add(key, -1);
  }

  /** Ends the oldest of those without a place: whoever asks for a probe asks at once. */
  #makeRoom(): void {
    const oldest = [...this.#overflow].find(({ idle }) => idle) ?? [...this.#overflow][0];
    if (!oldest) return;
    this.#overflow.delete(oldest);
    this.#refused++;
    oldest.makeWay();
  }
}

const keyOf = (peer: string): string => addressKey(peer) ?? peer;

/** The front of a thread. */
export function threadFront(): Front {
  let front: ListeningFront | undefined;
  return {
    listen(settings: FrontSettings): Listening {
      try {
        front = new ListeningFront(settings);
        return { port: front.port };
      } catch (error) {
        const { name, message, code } = error as Error & { code?: string };
        return { error: { name, code, message } };
      }
    },
    counts: () => front?.counts() ?? { connections: 0, refused: 0, timedOut: 0 },
    drain: () => front?.drain(),
    end: () => front?.end(),
  };
}
