// Puts a front before the gateway's app: a thread that takes its connections (workers/front), and a Unix socket on which
// this one answers. A front that dies is replaced. It knows no routes.

import { join } from "node:path";
import { type Remote, wrap } from "comlink";
import { InputError } from "../../shared/errors.ts";
import { makeScratchFolder, socketName } from "../../shared/scratch.ts";
import type {
  Front,
  FrontCounts,
  FrontLimits,
  FrontSettings,
  Refusal,
  RefusalKind,
} from "../../workers/front/settings.ts";
import { mostDescriptors } from "./descriptors.ts";
import { ApiError, errorBody } from "./http/errors.ts";
import type { GatewaySettings } from "./settings.ts";

/** The header in which the front says where a request is from. */
const addressHeader = "x-prospect-address";

/** File descriptors that are left for files, databases, workers and the system's own. */
const reservedDescriptors = 192;

/** Of a connection with a request under way: the client's, and both ends of the one to the app. */
const descriptorsPerConnection = 3;

/** Connections beyond the most, to tell them so. */
const overflow = 32;

const fewestConnections = 16;

/** How long requests may take to notice that nobody waits for them, in milliseconds. */
const lastPatience = 1000;

/** Connections in all where descriptors are plenty. */
const mostConnections = 4096;

/**
 * The limits of a gateway: as many connections as its file descriptors are enough for, if nothing else is said.
 *
 * @throws InputError where more are asked for
 */
export function frontLimits(
  { maxConnections, maxConnectionsPerAddress }: Pick<GatewaySettings, "maxConnections" | "maxConnectionsPerAddress">,
  descriptors = mostDescriptors(),
): FrontLimits {
  const fitting = Math.max(
    fewestConnections,
    Math.floor((descriptors - reservedDescriptors) / descriptorsPerConnection) - overflow,
  );
  if (maxConnections !== undefined && maxConnections > fitting) {
    throw new InputError(
      `--max-connections ${maxConnections}: this process may have ${descriptors} files open (ulimit -n), which is enough ` +
        `for ${fitting} connections.`,
    );
  }
  const connections = maxConnections ?? Math.min(mostConnections, fitting);
  return {
    connections,
    // Nobody alone takes every place. Behind a proxy that is not trusted, everybody is one address.
    connectionsPerAddress: maxConnectionsPerAddress ?? Math.ceil(connections / 2),
    overflow,
    headTime: 10_000,
    idleTime: 20_000,
    bodyPause: 20_000,
    bodyRate: 500,
    standingTime: 25_000,
  };
}

const slow = (what: string) => new ApiError(408, what, null, "request_timeout");
const crowded = (message: string) => new ApiError(503, message, null, "too_many_connections", { "Retry-After": "2" });

const errors: Record<RefusalKind, ApiError> = {
  crowded: crowded("There are more connections than this gateway takes; try again shortly."),
  crowdedAddress: crowded("There are more connections from this address than this gateway takes; try again shortly."),
  slowHead: slow("The head of the request did not come in time."),
  slowBody: slow("The body of the request did not come in time."),
  malformed: new ApiError(
    400,
    "This is not HTTP as it should be: check the request line, Host, Content-Length and Transfer-Encoding.",
  ),
  longHead: new ApiError(431 as 400, "The request's head is longer than 32 KiB."),
  version: new ApiError(505, "Only HTTP/1.1 and 1.0 are spoken here."),
  unavailable: new ApiError(503, "The gateway takes no requests at the moment; try again shortly.", null, "not_ready", {
    "Retry-After": "1",
  }),
};

const refusals = Object.fromEntries(
  Object.entries(errors).map(([kind, error]): [string, Refusal] => [kind, {
    status: error.status,
    body: JSON.stringify(errorBody(error)),
    ...("Retry-After" in error.headers ? { retryAfter: Number(error.headers["Retry-After"]) } : {}),
  }]),
) as Record<RefusalKind, Refusal>;

/** Where to listen, and for whom. */
export interface FrontOptions {
  hostname: string;
  port: number;
  trustedProxies: string[];
  limits: FrontLimits;
  /** Paths that are answered also where all places are taken. */
  probes: string[];
}

/** A front that listens. */
export interface OpenFront {
  port: number;
  counts(): Promise<FrontCounts>;
  /** Takes no new connections, and resolves when those there are have ended. */
  drain(): Promise<void>;
  /** Ends everything. */
  close(): Promise<void>;
}

/** The address that a request is from. */
export const addressOf = (request: Request): string => request.headers.get(addressHeader)?.split(",")[0] ?? "";

/** Why a front cannot listen, as Deno.listen says it. */
export class ListenError extends Error {
  constructor(override readonly name: string, readonly code: string | undefined, message: string) {
    super(message);
  }
}

/**
 * Listens, and has `answer` answer.
 *
 * @param onDeath told of a front that died; another takes its place
 * @throws ListenError
 */
export async function openFront(
  options: FrontOptions,
  answer: (request: Request) => Response | Promise<Response>,
  onDeath: (error: Error) => void,
): Promise<OpenFront> {
  const folder = await makeScratchFolder(), backend = join(folder, socketName);
  const server = Deno.serve({ path: backend, onListen: () => {} }, answer);
  let thread: Worker, front: Remote<Front>, closed = false;
  const listen = async (port: number): Promise<number> => {
    thread = new Worker(new URL("../../workers/front_worker.ts", import.meta.url), { type: "module", name: "front" });
    front = wrap<Front>(thread);
    const settings: FrontSettings = { ...options, port, backend, addressHeader, refusals };
    const died = new Promise<never>((_, reject) =>
      thread.addEventListener("error", (event) => {
        event.preventDefault();
        reject(new Error(event.message || "it died"));
      })
    );
    const listening = await Promise.race([front.listen(settings), died]);
    if ("error" in listening) {
      thread.terminate();
      throw new ListenError(listening.error.name, listening.error.code, listening.error.message);
    }
    died.catch((error) => replace(listening.port, error));
    return listening.port;
  };
  const replace = async (port: number, error: Error): Promise<void> => {
    thread.terminate();
    if (closed) return;
    onDeath(error);
    await listen(port).catch((error) => setTimeout(() => replace(port, error), 1000));
  };
  const close = async () => {
    closed = true;
    thread.terminate();
    // Its connections have gone with it; whoever still computes an answer is not waited for.
    let late: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([server.shutdown(), new Promise((resolve) => late = setTimeout(resolve, lastPatience))]);
    clearTimeout(late);
    await Deno.remove(folder, { recursive: true }).catch(() => {});
  };
  try {
    const port = await listen(options.port);
    return {
      port,
      counts: () => front.counts(),
      async drain() {
        await front.drain();
        await server.shutdown();
        // The last bytes of an answer are the front's for a moment longer, and would end with it.
        while (!closed && (await front.counts()).connections > 0) await new Promise((next) => setTimeout(next, 5));
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
