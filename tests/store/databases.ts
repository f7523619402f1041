// Opens a new database of each kind for a test: an SQLite file, and one on a PostgreSQL server that the first test of a
// file starts in a temporary folder and the last one's end stops. Without PostgreSQL's programs a test says so and passes.

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { type Database, openDatabase } from "../../shared/store/database.ts";
import { withFolder } from "../commands/run_task.ts";

/** Debian's place for the programs of each version. */
const debianFolder = "/usr/lib/postgresql";
/** Debian's user nobody: PostgreSQL refuses to run as root. */
const nobody = { uid: 65534, gid: 65534 };

const kinds = ["sqlite", "postgres"] as const;

/** A database that exists and was not opened yet. */
export interface Place {
  kind: typeof kinds[number];
  /** What `openDatabase` takes. */
  where: string;
  /** Ends the server as a crash does and, when what it returns is called, starts it again; nothing for SQLite. */
  interrupt(): Promise<() => Promise<void>>;
}

/** A test on both databases, or on those of some kind, each given as a place of its own. */
export function placeTest(
  sentence: string,
  use: (place: Place) => Promise<void>,
  on: readonly Place["kind"][] = kinds,
): void {
  for (const kind of on) {
    Deno.test(`${kind}: ${sentence}`, async () => {
      if (kind === "sqlite") {
        return await withFolder((folder) => use({ kind, where: `${folder}/store.sqlite`, interrupt }));
      }
      server ??= await startServer();
      if (!server) return console.log("skipped: no PostgreSQL");
      await use({ kind, where: await server.create(), interrupt: server.interrupt });
    });
  }
}

/** A test on both databases, each opened new and closed after. */
export function databaseTest(sentence: string, use: (database: Database, place: Place) => Promise<void>): void {
  placeTest(sentence, async (place) => {
    const database = await openDatabase(place.where);
    try {
      await use(database, place);
    } finally {
      await database.close();
    }
  });
}

const interrupt = () => Promise.resolve(() => Promise.resolve());

interface Server extends Pick<Place, "interrupt"> {
  /** Makes a database. @returns Its URL. */
  create(): Promise<string>;
  stop(): Promise<void>;
}

let server: Server | undefined;

Deno.test.afterAll(() => server?.stop());

/** The folder of `initdb` and `postgres`: the newest of Debian's, else one of the path. */
function findPrograms(): string | undefined {
  const versions = existsSync(debianFolder) ? readdirSync(debianFolder).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [
    ...versions.map((version) => join(debianFolder, version, "bin")),
    ...(Deno.env.get("PATH") ?? "").split(":"),
  ];
  return folders.find((folder) => ["initdb", "postgres"].every((program) => existsSync(join(folder, program))));
}

async function startServer(): Promise<Server | undefined> {
  const programs = findPrograms();
  if (!programs) return undefined;
  const folder = await Deno.makeTempDir({ prefix: "prospect-postgres-" });
  const root = Deno.uid() === 0;
  if (root) await Deno.chown(folder, nobody.uid, nobody.gid);
  const command = (program: string, args: string[]) =>
    new Deno.Command(join(programs, program), {
      args,
      cwd: folder,
      ...(root ? nobody : {}),
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    });
  const data = join(folder, "data");
  const made = await command("initdb", ["-D", data, "-U", "prospect", "-A", "trust", "-E", "UTF8", "--no-sync"])
    .output();
  if (!made.success) throw new Error(`initdb: ${new TextDecoder().decode(made.stderr)}`);
  const port = freePort();
  // The tests kill those who write, never the server: nothing of it needs to reach the disk.
  const settings = { listen_addresses: "127.0.0.1", port, unix_socket_directories: "", fsync: "off" };
  const spawn = () => {
    const process = command(
      "postgres",
      ["-D", data, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
    ).spawn();
    return { process, log: new Response(process.stderr).text() };
  };
  let running = spawn();
  const end = async () => {
    // Immediate shutdown: nobody is waited for, and nothing is tidied up.
    running.process.kill("SIGQUIT");
    await running.process.status;
    return await running.log;
  };
  const url = (name: string) => `postgres://prospect:secret@127.0.0.1:${port}/${name}`;
  let databases = 0;
  const started: Server = {
    create: async () => {
      const name = `store${databases++}`;
      await ask(url("postgres"), `CREATE DATABASE ${name}`);
      return url(name);
    },
    interrupt: async () => {
      await end();
      return async () => {
        running = spawn();
        await untilStarted();
      };
    },
    stop: async () => {
      await end();
      await Deno.remove(folder, { recursive: true });
    },
  };
  const untilStarted = async () => {
    const patience = Date.now() + 30_000;
    for (;;) {
      try {
        return await ask(url("postgres"), "SELECT 1");
      } catch (error) {
        if (Date.now() < patience) await new Promise((resolve) => setTimeout(resolve, 50));
        else throw new Error(`PostgreSQL does not start: ${await end()}`, { cause: error });
      }
    }
  };
  await untilStarted();
  return started;
}

async function ask(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  // The server may end while the client does.
  client.on("error", () => {});
  try {
    await client.connect();
    await client.query(sql);
  } finally {
    await client.end();
  }
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}
