// A Database on a PostgreSQL server: a pool of connections, of which one at a time writes. Nothing is waited for without a
// bound, neither the server nor another process. Does not know the tables.

import { setTimeout } from "node:timers/promises";
import pg from "pg";
import { InputError } from "../errors.ts";
import { ConflictError, DuplicateError, GroupCommit, type WriteConnection } from "./group_commit.ts";
import {
  checkText,
  type Database,
  type Durability,
  type Isolation,
  type Lock,
  type Queries,
  type Value,
} from "./queries.ts";
import { StoreUnavailableError } from "./unavailable.ts";

/** Sets Prospect's advisory locks apart from others' ("prospect" in hexadecimal, cut to 31 bits). */
const lockSpace = 0x70726f73;
/** Milliseconds a connection may take, and another's lock on a row. */
const patience = 5_000;
/** Milliseconds a process may be silent in the middle of a write: one that is frozen gives its locks back then. */
const longestSilence = 5_000;
/** Milliseconds a statement may take, as the server counts them; after some more its answer is no longer waited for. */
const longestStatement = 20_000;
/** Milliseconds writes of others may take to end. */
const longestWrite = 10_000;

/** As durable as SQLite whatever the server's default. */
const levels: Record<Isolation, string> = { serial: "SERIALIZABLE", snapshot: "REPEATABLE READ" };
const syncs: Record<Durability, string> = { now: "on", later: "off" };

/** 64-bit integers (times, counts) as numbers: all of Prospect's are below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser:
    ((oid: number, format?: "text") =>
      oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
};

/**
 * @param statementTime Milliseconds a statement may take; 0 sets no bound.
 * @throws InputError when the URL is none, or the server cannot be reached or refuses.
 */
export async function openPostgresDatabase(url: string, statementTime = longestStatement): Promise<Database> {
  if (!URL.canParse(url)) throw new InputError("The database's URL is none: write postgres://user@host:5432/name.");
  const pool = new pg.Pool({
    connectionString: url,
    types,
    keepAlive: true,
    connectionTimeoutMillis: patience,
    lock_timeout: patience,
    statement_timeout: statementTime,
    ...(statementTime > 0 ? { query_timeout: statementTime + patience } : {}),
    idle_in_transaction_session_timeout: longestSilence,
  });
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
  const writes = new GroupCommit(async () => new PostgresWriter(await pool.connect()), asPostgresError);
  return {
    kind: "postgres",
    all: (sql, values) => reads.all(sql, values),
    scan: (sql, values) => reads.all(sql, values),
    get: (sql, values) => reads.get(sql, values),
    run: (sql, values) => writes.write((queries) => queries.run(sql, values)),
    write: (work, isolation, durability) => writes.write(work, isolation, durability),
    settled: (table) => settled(reads, table),
    emptyLog: () => Promise.resolve(true),
    lock: (name) => lock(url, name),
    close: () => closed ??= writes.close().then(() => pool.end()),
  };
}

/**
 * Who writes to a table holds this lock from before its sequence gives out a number until the end. A lock of our own that
 * waits for them would hold up all who come after it; looking does not.
 */
async function settled(queries: Queries, table: string): Promise<void> {
  const writers = async () =>
    (await queries.all<{ writer: string }>(
      `SELECT DISTINCT virtualtransaction AS writer FROM pg_locks
       WHERE relation = to_regclass($1) AND mode = 'RowExclusiveLock' AND granted
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      [table],
    )).map(({ writer }) => writer);
  let left = await writers();
  for (const end = performance.now() + longestWrite; left.length > 0;) {
    if (performance.now() > end) throw new StoreUnavailableError("another process's write does not end");
    await setTimeout(5);
    const now = new Set(await writers());
    left = left.filter((writer) => now.has(writer));
  }
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
    const sql = `SELECT pg_try_advisory_lock(${lockSpace}, hashtext($1)) AS held`;
    if ((await client.query<{ held: boolean }>(sql, [name])).rows[0]?.held) return { ended, release };
  } catch (error) {
    await release().catch(ignore);
    throw asPostgresError(error);
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

/**
 * Codes of what passes: connections, resources, timeouts, another's lock, a server that starts or ends or is a standby;
 * and the system's for an address that does not answer.
 */
const passing = /^(08|53|57|58)...$|^(55P03|25P03|25P04|25006)$|^E[A-Z_]+$/;
/** What node-postgres says without a code. */
const broken = /^(Connection terminated|Query read timeout|timeout exceeded|Client has encountered)/i;

const known = [InputError, StoreUnavailableError, DuplicateError];

/** What an error of PostgreSQL is to those who asked: one that may pass, or itself. */
function asPostgresError(error: unknown): unknown {
  if (!(error instanceof Error) || known.some((type) => error instanceof type)) return error;
  const { code = "" } = error as { code?: string };
  // Serialization failure, deadlock; and a write that the server ended since this process stood still in its middle.
  if (/^(40001|40P01|25P03)$/.test(code)) return new ConflictError(error.message, error);
  if (code === "23505") return new DuplicateError(error.message, { cause: error });
  return passing.test(code) || broken.test(error.message) ? new StoreUnavailableError(messageOf(error), error) : error;
}

class PostgresQueries implements Queries {
  constructor(protected readonly connection: pg.Pool | pg.PoolClient) {}

  async all<Row>(sql: string, values: readonly Value[] = []): Promise<Row[]> {
    return (await this.#query(sql, values)).rows as Row[];
  }

  async get<Row>(sql: string, values: readonly Value[] = []): Promise<Row | undefined> {
    return (await this.all<Row>(sql, values))[0];
  }

  async run(sql: string, values: readonly Value[] = []): Promise<number> {
    return (await this.#query(sql, values)).rowCount ?? 0;
  }

  async #query(sql: string, values: readonly Value[]): Promise<pg.QueryResult> {
    for (const value of values) if (typeof value === "string") checkText(value);
    try {
      return await this.connection.query(sql, [...values]);
    } catch (error) {
      throw asPostgresError(error);
    }
  }
}

class PostgresWriter extends PostgresQueries implements WriteConnection {
  readonly #client: pg.PoolClient;
  /** Why the server ended the connection, where it said so. */
  #end: Error | undefined;
  readonly #note = (error: Error) => void (this.#end ??= error);

  constructor(client: pg.PoolClient) {
    super(client);
    this.#client = client;
    // The query that waits is told of a broken connection; without a listener the error would end the process too.
    client.on("error", this.#note);
  }

  async begin(isolation: Isolation, durability: Durability): Promise<void> {
    await this.execute(
      `BEGIN ISOLATION LEVEL ${levels[isolation]} READ WRITE; SET LOCAL synchronous_commit TO ${syncs[durability]}`,
    );
  }

  async execute(sql: string): Promise<void> {
    try {
      await this.#client.query(sql);
    } catch (error) {
      throw asPostgresError(this.#end ?? error);
    }
  }

  release(broken?: Error): void {
    // A broken one may still have something to say.
    if (!broken) this.#client.off("error", this.#note);
    this.#client.release(broken);
  }
}
