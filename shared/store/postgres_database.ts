// A Database on a PostgreSQL server: a pool of connections, of which one at a time writes. Does not know the tables.

import pg from "pg";
import { InputError } from "../errors.ts";
import { GroupCommit, type WriteConnection } from "./group_commit.ts";
import { checkText, type Database, type Lock, type Queries, type Value } from "./queries.ts";

/** Names the lock that writers of Prospect take turns by ("prospect" in hexadecimal, cut to 31 bits). */
const writersLock = 0x70726f73;
/** Milliseconds a connection may take. */
const patience = 10_000;

/** Begins only once no other process of Prospect writes, and is as durable as SQLite whatever the server's default. */
const begin = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL synchronous_commit TO on;
  SELECT pg_advisory_xact_lock(${writersLock})`;

/** 64-bit integers (times, counts) as numbers: all of Prospect's are below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser:
    ((oid: number, format?: "text") =>
      oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
};

/** @throws InputError when the URL is none, or the server cannot be reached or refuses. */
export async function openPostgresDatabase(url: string): Promise<Database> {
  if (!URL.canParse(url)) throw new InputError("The database's URL is none: write postgres://user@host:5432/name.");
  const pool = new pg.Pool({ connectionString: url, types, connectionTimeoutMillis: patience });
  // A connection that breaks while idle is replaced; without a listener it would end the process.
  pool.on("error", ignore);
  try {
    await pool.query("SELECT 1");
  } catch (error) {
    await pool.end();
    throw new InputError(
      `${nameOfServer(url)} cannot be reached (${messageOf(error)}); check that it runs, and the URL's user and name.`,
    );
  }
  const reads = new PostgresQueries(pool);
  let closed: Promise<void> | undefined;
  const writes = new GroupCommit(async () => new PostgresWriter(await pool.connect()));
  return {
    kind: "postgres",
    all: (sql, values) => reads.all(sql, values),
    run: (sql, values) => writes.write((queries) => queries.run(sql, values)),
    write: (work) => writes.write(work),
    lock: (name) => lock(url, name),
    close: () => closed ??= writes.close().then(() => pool.end()),
  };
}

/** The server's own probes of a connection: a holder whose machine has died loses its locks within half a minute. */
const probes = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4";

/** An advisory lock on a connection of its own, whose end is the lock's. */
async function lock(url: string, name: string): Promise<Lock | undefined> {
  const client = new pg.Client({ connectionString: url, keepAlive: true, connectionTimeoutMillis: patience });
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  client.on("error", () => resolve()).on("end", () => resolve());
  const release = async () => {
    await client.end();
    resolve();
  };
  try {
    await client.connect();
    await client.query(probes);
    const sql = `SELECT pg_try_advisory_lock(${writersLock}, hashtext($1)) AS held`;
    if ((await client.query<{ held: boolean }>(sql, [name])).rows[0]?.held) return { ended, release };
  } catch (error) {
    await release().catch(ignore);
    throw error;
  }
  await release();
  return undefined;
}

/** Host and database of a URL, without user and password. */
export function nameOfServer(url: string): string {
  const { host, pathname } = new URL(url);
  return `PostgreSQL at ${host}${pathname}`;
}

function ignore(): void {}

/** Several addresses that all refuse make an error without a message of its own. */
function messageOf(error: unknown): string {
  const { message, code } = error as { message: string; code?: string };
  return message || code || "no answer";
}

class PostgresQueries implements Queries {
  constructor(protected readonly connection: pg.Pool | pg.PoolClient) {}

  async all<Row>(sql: string, values: readonly Value[] = []): Promise<Row[]> {
    return (await this.#query(sql, values)).rows as Row[];
  }

  async run(sql: string, values: readonly Value[] = []): Promise<number> {
    return (await this.#query(sql, values)).rowCount ?? 0;
  }

  #query(sql: string, values: readonly Value[]): Promise<pg.QueryResult> {
    return Promise.try(() => {
      for (const value of values) if (typeof value === "string") checkText(value);
      return this.connection.query(sql, [...values]);
    });
  }
}

class PostgresWriter extends PostgresQueries implements WriteConnection {
  readonly #client: pg.PoolClient;

  constructor(client: pg.PoolClient) {
    super(client);
    this.#client = client;
    // The query that waits is told of a broken connection; without a listener the error would end the process too.
    client.on("error", ignore);
  }

  async begin(): Promise<void> {
    await this.#client.query(begin);
  }

  async execute(sql: string): Promise<void> {
    await this.#client.query(sql);
  }

  release(broken?: Error): void {
    // A broken one may still have something to say.
    if (!broken) this.#client.off("error", ignore);
    this.#client.release(broken);
  }
}
