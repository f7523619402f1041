// What every route of the gateway works with. It starts nothing and knows no route.

import type { Database } from "../../shared/store/database.ts";
import type { ApiKey, Caller, Scope } from "../../shared/store/keys.ts";
import type { Engine } from "./engine/engine.ts";
import { ApiError } from "./http/errors.ts";
import type { Log } from "./http/log.ts";
import type { Metrics } from "./http/metrics.ts";
import type { KeyUsage } from "./key_usage.ts";
import type { Arm } from "./model_names.ts";
import type { RegisteredModels } from "./registered_models.ts";

export interface Gateway {
  /** Undefined until the model can answer, and again once the gateway drains. */
  engine: Engine | undefined;
  database: Database;
  /** What each alias spreads its requests over. */
  aliases: Map<string, Arm[]>;
  models: RegisteredModels;
  /** Where uploads, runs and adapters lie. */
  dataFolder: string;
  /** What keys have used of their day. */
  usage: KeyUsage;
  metrics: Metrics;
  log: Log;
  options: {
    /** Whether a request without a key is refused. */
    keysRequired: boolean;
    /** Host names that a request may be addressed to; undefined takes any (an open address, where keys are required). */
    hosts: ReadonlySet<string> | undefined;
    /** Origins of web pages that may call. */
    corsOrigins: string[];
    /** Requests per minute and key (or address); 0 sets no limit. */
    rateLimit: number;
    /** Folders of this machine, beside the data folder, that only admins may hear of. */
    folders: string[];
    /** Whether logs hold prompts and answers. */
    logPrompts: boolean;
    /** Days that answers are kept which nobody judges; 0 keeps them for good. */
    keepDays: number;
  };
}

/** What middleware leaves for routes. */
export interface RequestVariables {
  requestId: string;
  key: ApiKey | undefined;
  /** Scopes that the request has; all of them where no key is needed. */
  scopes: ReadonlySet<Scope>;
  /** Whose is what the request writes, and what it may see of others'. */
  caller: Caller;
  /** Further fields of the request's log line. */
  logFields: Record<string, unknown>;
}

export type GatewayEnv = { Variables: RequestVariables };

/** The engine. @throws ApiError 503 while there is none */
export function readyEngine({ engine }: Gateway): Engine {
  if (engine) return engine;
  throw new ApiError(503, "The model is not ready to answer; try again shortly.", null, "not_ready", {
    "Retry-After": "1",
  });
}
