// A gateway without a network: the app over a store in a temporary folder and a scripted engine.

import { join } from "node:path";
import { createApp } from "../../services/gateway/app.ts";
import type { Gateway } from "../../services/gateway/gateway.ts";
import { createMetrics } from "../../services/gateway/http/metrics.ts";
import { type DailyLimits, KeyUsage } from "../../services/gateway/key_usage.ts";
import { RegisteredModels } from "../../services/gateway/registered_models.ts";
import { openDatabase } from "../../shared/store/database.ts";
import { noteServedBase } from "../../shared/store/presence.ts";
import { withFolder } from "../commands/run_task.ts";
import { type Script, scriptedEngine } from "./scripted_engine.ts";

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  // deno-lint-ignore no-explicit-any -- tests look into bodies of every shape
  json: any;
}

export interface OpenGateway {
  gateway: Gateway;
  scripted: Awaited<ReturnType<typeof scriptedEngine>>;
  /** What was logged, a line each. */
  logged: { level: string; event: string; fields: Record<string, unknown> }[];
  fetch(request: Request): Promise<Response>;
  /** A body that is a string or bytes is sent as it is, anything else as JSON. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  folder: string;
}

/** Hands out a gateway and closes it after. */
export function withGateway(
  options: { script?: Partial<Script>; options?: Partial<Gateway["options"]>; limits?: DailyLimits },
  use: (open: OpenGateway) => Promise<void>,
): Promise<void> {
  return withFolder(async (folder) => {
    const database = await openDatabase(join(folder, "store.sqlite"));
    const scripted = await scriptedEngine(options.script);
    await noteServedBase(database, scripted.engine.base);
    const logged: OpenGateway["logged"] = [];
    const aliases = new Map([["prospect", [{ model: "base", weight: 1 }]]]);
    const gateway: Gateway = {
      engine: scripted.engine,
      database,
      aliases,
      models: new RegisteredModels(database, folder, aliases, new Map(), (model, error) => {
        gateway.log.error("an adapter could not be loaded", { model, error: error.message });
      }),
      dataFolder: folder,
      usage: new KeyUsage(database, options.limits ?? { requests: 0, bytes: 0 }, (error) => {
        throw error;
      }),
      metrics: createMetrics(() => scripted.engine.state()),
      log: {
        info: (event, fields = {}) => logged.push({ level: "info", event, fields }),
        error: (event, fields = {}) => logged.push({ level: "error", event, fields }),
        flush: () => Promise.resolve(),
      },
      options: {
        keysRequired: false,
        hosts: new Set(["localhost"]),
        corsOrigins: [],
        rateLimit: 0,
        folders: [],
        logPrompts: false,
        keepDays: 0,
        ...options.options,
      },
    };
    const app = createApp(gateway, () => "127.0.0.1");
    const fetch = async (request: Request) => await app.fetch(request);
    const call: OpenGateway["call"] = async (method, path, body, headers = {}) => {
      const raw = typeof body === "string" || body instanceof Uint8Array || body instanceof ReadableStream;
      const response = await fetch(
        new Request(`http://localhost${path}`, {
          method,
          headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
          ...(body === undefined ? {} : { body: (raw ? body : JSON.stringify(body)) as BodyInit }),
        }),
      );
      const text = await response.text();
      const json = response.headers.get("Content-Type")?.startsWith("application/json") ? JSON.parse(text) : undefined;
      return { status: response.status, headers: response.headers, text, json };
    };
    try {
      await use({ gateway, scripted, logged, fetch, call, folder });
    } finally {
      await gateway.usage.close();
      await database.close();
    }
  });
}

/** The objects of a stream of server-sent events; the last is `[DONE]` where it ended well. */
export function eventsOf(text: string): unknown[] {
  return text.split("\n\n").filter((event) => event !== "").map((event) => {
    const data = event.replace(/^data: /, "");
    return data === "[DONE]" ? data : JSON.parse(data);
  });
}
