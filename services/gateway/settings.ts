// The settings of a gateway, read from a command's options and the environment. It opens nothing.

import { InputError } from "../../shared/errors.ts";
import type { Device } from "../../shared/runtime/session.ts";
import { TrustedProxies } from "../../workers/front/addresses.ts";
import type { EngineSettings } from "./engine/engine.ts";
import { type Arm, namePattern, parseAlias } from "./model_names.ts";

export interface GatewaySettings {
  host: string;
  /** 0 takes a free one. */
  port: number;
  dataFolder: string;
  /** PostgreSQL's URL; undefined keeps everything in the data folder, in SQLite. */
  databaseUrl: string | undefined;
  engine: EngineSettings;
  /** Adapters to load: name and folder. */
  adapters: [name: string, folder: string][];
  /** Where aliases point from now on, whatever they pointed to before. */
  aliases: Map<string, Arm[]>;
  requireKeys: boolean;
  corsOrigins: string[];
  /** Requests per minute and key, 0 without a limit; undefined is `defaultRateLimit` where keys are required. */
  rateLimit: number | undefined;
  /** Of each key without limits of its own that is not for admins; 0 and undefined are none. */
  requestsPerDay: number | undefined;
  /** The same of bytes of request bodies; undefined is `defaultBytesPerDay` where keys are required. */
  bytesPerDay: number | undefined;
  logPrompts: boolean;
  /** Days that answers are kept which nobody judges; 0 keeps them for good. */
  keepDays: number;
  /** Addresses or networks whose X-Forwarded-For is believed. */
  trustedProxies: string[];
  /** Connections in all and from one address; undefined leaves it to the system's limits. */
  maxConnections: number | undefined;
  maxConnectionsPerAddress: number | undefined;
}

/** What commander made of the arguments. */
export interface GatewayOptions {
  host: string;
  port: number;
  dataDir: string;
  model?: string;
  dtype: string;
  device: Device | "auto";
  workers?: number;
  queue: number;
  adapter: string[];
  alias: string[];
  requireKeys?: boolean;
  corsOrigin: string[];
  rateLimit?: number;
  requestsPerDay?: number;
  bytesPerDay?: number;
  logPrompts?: boolean;
  keepDays: number;
  trustedProxy: string[];
  maxConnections?: number;
  maxConnectionsPerAddress?: number;
}

/** Requests per minute and key where keys are required and nothing else is said. */
export const defaultRateLimit = 6000;

/** Bytes of request bodies per day and key where keys are required and nothing else is said: a gibibyte. */
export const defaultBytesPerDay = 2 ** 30;

function parseAdapter(text: string): [string, string] {
  const [, name, folder] = /^([^=]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || folder === undefined || !namePattern.test(name)) {
    throw new InputError(`--adapter ${text}: write NAME=FOLDER; a name has letters, digits, dots and dashes.`);
  }
  return [name, folder];
}

function parseOrigin(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || url.origin === "null" || url.origin !== text.replace(/\/$/, "")) {
    throw new InputError(`--cors-origin ${text}: write an origin, e.g. https://app.example.com.`);
  }
  return url.origin;
}

function parseProxy(text: string): string {
  try {
    new TrustedProxies([text]);
    return text;
  } catch {
    throw new InputError(`--trusted-proxy ${text}: write an address, or a network such as 10.0.0.0/8.`);
  }
}

/** Reads settings. @throws InputError naming the option at fault */
export function parseGatewaySettings(options: GatewayOptions): GatewaySettings {
  const aliases = new Map(options.alias.map(parseAlias).map(({ name, arms }) => [name, arms]));
  if (aliases.size < options.alias.length) throw new InputError("--alias: an alias is set twice; set each once.");
  const adapters = options.adapter.map(parseAdapter);
  if (new Set(adapters.map(([name]) => name)).size < adapters.length) {
    throw new InputError("--adapter: a name is used twice; give each adapter its own.");
  }
  const { model, dtype, device, workers, queue } = options;
  return {
    host: options.host,
    port: options.port,
    dataFolder: options.dataDir,
    databaseUrl: Deno.env.get("DATABASE_URL") || undefined,
    engine: { model, dtype, device, workers, queue, json: false },
    adapters,
    aliases,
    requireKeys: options.requireKeys ?? false,
    corsOrigins: options.corsOrigin.map(parseOrigin),
    rateLimit: options.rateLimit,
    requestsPerDay: options.requestsPerDay,
    bytesPerDay: options.bytesPerDay,
    logPrompts: options.logPrompts ?? false,
    keepDays: options.keepDays,
    trustedProxies: options.trustedProxy.map(parseProxy),
    maxConnections: options.maxConnections,
    maxConnectionsPerAddress: options.maxConnectionsPerAddress,
  };
}
