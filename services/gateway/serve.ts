// Starts a gateway and ends it: opens the store, listens, loads the model, drains. The command and the tests call this;
// it parses no arguments and sets no exit codes.

import { InputError } from "../../shared/errors.ts";
import { cacheFolder } from "../../shared/runtime/cache_folder.ts";
import { countKeys } from "../../shared/store/keys.ts";
import { adapterOf, RegistryConflictError } from "../../shared/store/registry.ts";
import { loadByHand } from "./adapters_by_hand.ts";
import { createApp, probes } from "./app.ts";
import { openStore } from "../../shared/store/open_store.ts";
import { noteServedBase } from "../../shared/store/presence.ts";
import { type Engine, startEngine } from "./engine/engine.ts";
import { addressOf, frontLimits, ListenError, type OpenFront, openFront } from "./front.ts";
import type { Gateway } from "./gateway.ts";
import { createLog } from "./http/log.ts";
import { createMetrics } from "./http/metrics.ts";
import type { Arm } from "./model_names.ts";
import { RegisteredModels } from "./registered_models.ts";
import { KeyUsage } from "./key_usage.ts";
import { startUpkeep } from "./upkeep.ts";
import { defaultBytesPerDay, defaultRateLimit, type GatewaySettings } from "./settings.ts";

/** How long answers under way may take once the gateway is asked to end, in milliseconds. */
const patience = 30_000;

/** How long clients then have to take what is left, in milliseconds. */
const lateness = 5_000;

/** A gateway that listens. */
export interface RunningGateway {
  /** E.g. `http://127.0.0.1:8000`. */
  address: string;
  gateway: Gateway;
  /** Takes no new requests, finishes those under way, closes everything. */
  stop(): Promise<void>;
}

const isLoopback = (host: string) => /^(localhost|127\.\d+\.\d+\.\d+|::1|\[::1\])$/i.test(host);

/** Loads the command's adapters. @throws InputError for files that do not fit, or a name whose files may not change */
async function loadAdapters({ adapters }: GatewaySettings, gateway: Gateway, engine: Engine): Promise<void> {
  for (const [name, folder] of adapters) {
    await loadByHand(gateway, engine, name, folder).catch((error) => {
      throw error instanceof RegistryConflictError
        ? new InputError(`--adapter ${name}=${folder}: ${error.message}`)
        : error;
    });
  }
}

/** @throws InputError for arms of the command's aliases that nothing answers; what the store has is for /readyz to say */
async function checkArms({ aliases }: GatewaySettings, { models }: Gateway, engine: Engine): Promise<void> {
  for (const [alias, arms] of aliases) {
    for (const { model } of arms) {
      const adapter = adapterOf(model);
      if (adapter == null || await models.load(engine, adapter)) continue;
      throw new InputError(
        `The alias ${alias} sends requests to ${model}, but there is no such adapter; load it with --adapter ` +
          `${adapter}=FOLDER, or send them elsewhere with --alias ${alias}=base.`,
      );
    }
  }
}

async function loadEngine(settings: GatewaySettings, gateway: Gateway): Promise<Engine> {
  const { log, models } = gateway;
  const engine = await startEngine(settings.engine, (sentence) => log.info("warning", { message: sentence }));
  try {
    await loadAdapters(settings, gateway, engine);
    await models.start(engine, (error) => log.error("the registry could not be read", { error: error.message }));
    await checkArms(settings, gateway, engine);
    await noteServedBase(gateway.database, engine.base);
    for (const message of models.unanswerable(engine)) log.error("not ready", { message });
    return engine;
  } catch (error) {
    await models.stop();
    await engine.close(0);
    throw error;
  }
}

/**
 * Starts a gateway; it listens at once and answers as soon as the model is loaded.
 *
 * @throws InputError for an open address without keys, a port in use, a model or an adapter that cannot be served
 */
export async function startGateway(settings: GatewaySettings): Promise<RunningGateway> {
  const { host, dataFolder } = settings, limits = frontLimits(settings);
  const database = await openStore(dataFolder, settings.databaseUrl);
  const keysRequired = settings.requireKeys || !isLoopback(host);
  if (keysRequired && await countKeys(database) === 0) {
    await database.close();
    throw noKeysError(settings);
  }
  const log = createLog();
  let front: OpenFront | undefined;
  const aliases = new Map<string, Arm[]>();
  const gateway: Gateway = {
    engine: undefined,
    database,
    aliases,
    models: new RegisteredModels(
      database,
      dataFolder,
      aliases,
      settings.aliases,
      (model, error) => log.error("an adapter could not be loaded", { model, error: error.message }),
    ),
    dataFolder,
    usage: new KeyUsage(
      database,
      {
        requests: settings.requestsPerDay ?? 0,
        bytes: settings.bytesPerDay ?? (keysRequired ? defaultBytesPerDay : 0),
      },
      (error) => log.error("use of keys was not noted", { error: error.message }),
    ),
    metrics: createMetrics(() => gateway.engine?.state(), async () => await front?.counts()),
    log,
    options: {
      keysRequired,
      hosts: keysRequired ? undefined : new Set(["localhost", "127.0.0.1", "[::1]", host.toLowerCase()]),
      corsOrigins: settings.corsOrigins,
      rateLimit: settings.rateLimit ?? (keysRequired ? defaultRateLimit : 0),
      folders: [
        cacheFolder(),
        ...settings.adapters.map(([, folder]) => folder),
        ...(settings.engine.model === undefined ? [] : [settings.engine.model]),
      ],
      logPrompts: settings.logPrompts,
      keepDays: settings.keepDays,
    },
  };
  const app = createApp(gateway, addressOf);
  const { port, trustedProxies } = settings;
  const opened = openFront(
    { hostname: host, port, trustedProxies, limits, probes },
    (request) => app.fetch(request),
    (error) => log.error("the front died", { error: error.message }),
  );
  const listening = front = await opened.catch(async (error) => {
    await database.close();
    throw error instanceof ListenError ? listenError(error, settings) : error;
  });
  const stopUpkeep = startUpkeep(gateway);
  const stop = async () => {
    const engine = gateway.engine;
    gateway.engine = undefined;
    const settled = gateway.models.stop();
    const drained = listening.drain();
    await engine?.close(patience);
    // Whoever has not read their answer by then, or not sent their request, is left behind.
    let late: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([drained, new Promise((resolve) => late = setTimeout(resolve, lateness))]);
    clearTimeout(late);
    await listening.close();
    await Promise.all([settled, stopUpkeep(), gateway.usage.close()]);
    await log.flush();
    await database.close();
  };
  try {
    gateway.engine = await loadEngine(settings, gateway);
  } catch (error) {
    await stop();
    throw error;
  }
  const name = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  return { address: `http://${name}:${listening.port}`, gateway, stop };
}

/** Where keys are needed and there is none: the command that makes one in the very store that was looked at. */
function noKeysError({ host, dataFolder, databaseUrl }: GatewaySettings): InputError {
  const folder = /^[\w@%+=:,./-]+$/.test(dataFolder) ? dataFolder : `'${dataFolder.replaceAll("'", "'\\''")}'`;
  const where = databaseUrl === undefined ? "" : " (with this DATABASE_URL)";
  return new InputError(
    `API keys are needed ${
      isLoopback(host) ? "with --require-keys" : `on ${host}`
    } and none was made yet: make one with ` +
      `deno task keys create --scope admin --data-dir ${folder}${where}, then start again` +
      `${isLoopback(host) ? "" : "; on 127.0.0.1 none is needed"}.`,
  );
}

function listenError(error: ListenError, { host, port }: GatewaySettings): Error {
  if (error.name === "AddrInUse") {
    return new InputError(`Port ${port} on ${host} is in use; choose another with --port.`);
  }
  if (error.name === "AddrNotAvailable" || error.code === "ENOTFOUND") {
    return new InputError(`--host ${host} is no address of this machine.`);
  }
  if (error.name === "PermissionDenied") {
    return new InputError(`Port ${port} may not be used by this user; choose one above 1023 with --port.`);
  }
  return error;
}
