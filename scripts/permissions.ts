// What a command is let do: Deno's flags for the paths that its options name, its database, address and hub, and nothing
// beyond. It starts nothing.

import { existsSync, readdirSync, realpathSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { InputError } from "../shared/errors.ts";
import { cacheFolder } from "../shared/runtime/cache_folder.ts";
import { hubHosts } from "../shared/runtime/hub/endpoint.ts";
import { socketName } from "../shared/scratch.ts";
import { type Command, PathOption } from "./command.ts";

/** What a command needs beside the paths of its options. */
export interface Needs {
  /** ONNX Runtime, which is native code. */
  runtime?: true;
  /** Models of the hub. */
  hub?: true;
  /** The store: in --data-dir, which is a path of its own, or where DATABASE_URL says. */
  store?: true;
  /** Listens on --host and --port. */
  listens?: true;
  /** Calls servers on this machine. */
  loopback?: true;
  /** Starts Deno: the trainer, or a server. */
  startsDeno?: true;
}

const root = fileURLToPath(new URL("../", import.meta.url));
/** What is read of the project itself: code that worker threads run, console, embedded model, libraries. */
const ownPlaces = ["deno.json", "models", "node_modules", "scripts", "services", "shared", "workers"];
/** Read by Prospect, ONNX Runtime, sharp, PostgreSQL's client and commander; of any other variable a program is told that it is not set. */
const variables = [
  ...["PROSPECT_CACHE", "PROSPECT_DEBUG", "XDG_CACHE_HOME", "HOME", "USERPROFILE", "USER", "USERNAME"],
  ...[
    "HF_ENDPOINT",
    "PROSPECT_HUB_HOSTS",
    "HF_TOKEN",
    "HF_ACCESS_TOKEN",
    "DATABASE_URL",
    "PG*",
    "NODE_PG_FORCE_NATIVE",
  ],
  ...[
    "PROSPECT_SCRATCH",
    "TMPDIR",
    "MALLOC_ARENA_MAX",
    "ORT_DISABLE_TELEMETRY",
    "NO_COLOR",
    "FORCE_COLOR",
    "CLICOLOR_FORCE",
    "TERM",
    "TZ",
  ],
];

/**
 * The flags for `deno run`.
 *
 * @param command the command, or the subcommand, whose arguments were parsed
 * @param scratchFolder where a service puts its socket
 * @throws InputError for a path with a comma, which Deno's flags cannot name
 */
export function permissionFlags(command: Command, needs: Needs, scratchFolder: string): string[] {
  const given = command.options.filter((option) => option instanceof PathOption).flatMap((option) => {
    const value: string | string[] | undefined = command.getOptionValue(option.attributeName());
    return [value ?? []].flat().map((text) => ({ access: option.access, path: resolve(option.pathOf(text)) }));
  });
  const database = needs.store ? databasePlace(Deno.env.get("DATABASE_URL")) : { hosts: [], reads: [] };
  const scratch = needs.listens ? [scratchFolder] : [];
  const written = given.filter(({ access }) => access === "write").map(({ path }) => path);
  written.push(...scratch);
  if (needs.hub || needs.runtime) written.push(resolve(cacheFolder()));
  const read = [
    ...[...ownPlaces.map((place) => join(root, place)), ...written, ...database.reads].flatMap(withTarget),
    ...given.map(({ path }) => path).flatMap(withTargets),
  ];
  const net = [
    ...(needs.listens ? [hostWithPort(command.getOptionValue("host"), command.getOptionValue("port"))] : []),
    ...scratch.map((folder) => `unix:${join(folder, socketName)}`),
    ...(needs.loopback ? ["127.0.0.1"] : []),
    ...(needs.hub ? hubHosts() : []),
    ...database.hosts,
  ];
  return [
    "--no-prompt",
    flag("read", read),
    flag("write", written.flatMap(withTarget)),
    flag("net", net),
    flag("env", variables),
    "--ignore-env",
    // All of it: tables that threads share reach ONNX Runtime by their address, which no list of libraries allows.
    needs.runtime ? "--allow-ffi" : "",
    // Asked for by detect-libc, which comes with transformers.js.
    flag("sys", needs.runtime ? ["cpus", "networkInterfaces", "hostname"] : []),
    flag("run", needs.startsDeno ? [Deno.execPath()] : []),
  ].filter((each) => each !== "");
}

/** A flag with a list; none where the list is empty, since without a list it would allow everything. */
function flag(name: string, values: string[]): string {
  const odd = values.find((value) => value.includes(","));
  if (odd !== undefined) {
    throw new InputError(`${odd}: Deno's permissions cannot name a path with a comma; rename it, or link to it.`);
  }
  const distinct = [...new Set(values)];
  return distinct.length === 0 ? "" : `--allow-${name}=${distinct.join(",")}`;
}

/** A path, and where it really is: Deno compares paths as they are written, and some code asks for the real one. */
function withTarget(path: string): string[] {
  try {
    for (let there = path; there !== dirname(there); there = dirname(there)) {
      if (existsSync(there)) return [path, resolve(realpathSync(there), path.slice(there.length + 1))];
    }
  } catch {
    // Where even the launcher may not look, such as /proc; the command says so itself.
  }
  return [path];
}

/** As above, and the files that links in a folder, or in its onnx/, lead to: the hub's own cache is made of such. */
function withTargets(path: string): string[] {
  return [path, join(path, "onnx")].flatMap((folder) => [
    ...(folder === path ? withTarget(path) : []),
    ...linksIn(folder).flatMap(withTarget),
  ]);
}

function linksIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isSymbolicLink())
      .map(({ name }) => join(folder, name));
  } catch {
    return [];
  }
}

const hostWithPort = (host: string, port: number | string) =>
  `${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`;

/** Where a PostgreSQL URL leads, as its client finds it: host and port, or a socket; and the files that it reads. */
function databasePlace(given: string | undefined): { hosts: string[]; reads: string[] } {
  const url = given ? URL.parse(given) : null;
  if (!url || !/^postgres(ql)?:$/.test(url.protocol)) return { hosts: [], reads: [] };
  const { searchParams } = url, env = (name: string) => Deno.env.get(name) || undefined;
  const host = searchParams.get("host") ?? (decodeURIComponent(url.hostname) || (env("PGHOST") ?? "localhost"));
  const port = searchParams.get("port") ?? (url.port || (env("PGPORT") ?? "5432"));
  const passwords = env("PGPASSFILE") ?? join(env("HOME") ?? "", ".pgpass");
  const files = ["sslcert", "sslkey", "sslrootcert"].map((name) => searchParams.get(name)).filter((path) =>
    path !== null
  );
  const socket = host.startsWith("/") ? `${host}/.s.PGSQL.${port}` : undefined;
  return {
    hosts: [socket === undefined ? hostWithPort(host, port) : `unix:${socket}`],
    reads: [...files, passwords, ...(socket === undefined ? [] : [socket])].map((path) => resolve(path)),
  };
}
