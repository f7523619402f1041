// What a front is told by the service behind it, and what it tells. It runs nothing.

/** An answer that the front gives by itself, written by the service, which knows the shape of its errors. */
export interface Refusal {
  status: number;
  /** JSON. */
  body: string;
  /** Seconds until it is worth trying again. */
  retryAfter?: number;
}

/** Why the front answers by itself. */
export type RefusalKind =
  /** All places are taken. */
  | "crowded"
  /** All places of this address are taken. */
  | "crowdedAddress"
  /** The head did not come in time. */
  | "slowHead"
  /** The body stands still, or hardly moves. */
  | "slowBody"
  /** No HTTP that is understood without doubt. */
  | "malformed"
  | "longHead"
  /** Not HTTP/1.0 or 1.1. */
  | "version"
  /** The service does not take connections. */
  | "unavailable";

export interface FrontLimits {
  /** Connections in all, and from one address. */
  connections: number;
  connectionsPerAddress: number;
  /** Connections beyond these that are let in to ask a probe, or to be told that there is no place. */
  overflow: number;
  /** From a head's first byte to its last, in milliseconds. */
  headTime: number;
  /** How long a connection may be silent before a request and between two, in milliseconds. */
  idleTime: number;
  /** How long a body that is under way may stand still, in milliseconds. */
  bodyPause: number;
  /** Bytes a second that a body has to come with on average, once it took longer than `bodyPause`. */
  bodyRate: number;
  /** How long a client may leave an answer standing without taking a byte of it, in milliseconds. */
  standingTime: number;
}

export interface FrontSettings {
  hostname: string;
  /** 0 takes a free one. */
  port: number;
  /** Path of the Unix socket that the service answers on. */
  backend: string;
  /** Name of the header, in lower case, in which the service is told the client's address, before any the client sent. */
  addressHeader: string;
  /** Addresses, or networks as `10.0.0.0/8`, whose X-Forwarded-For or Forwarded says who the client is. */
  trustedProxies: string[];
  /** Paths of GET and HEAD that are answered also where all places are taken. */
  probes: string[];
  limits: FrontLimits;
  refusals: Record<RefusalKind, Refusal>;
}

/** Connections now, and since the start how many were refused a place or ended for being slow. */
export interface FrontCounts {
  connections: number;
  refused: number;
  timedOut: number;
}

/** How listening went. */
export type Listening = { port: number } | { error: { name: string; code: string | undefined; message: string } };

/** The face of the front's thread. */
export interface Front {
  listen(settings: FrontSettings): Listening;
  counts(): FrontCounts;
  /** Takes no new connections, and ends each as soon as no request of it is under way. */
  drain(): void;
  /** Ends all connections. */
  end(): void;
}
