// API keys: a secret that is shown once and kept as its hash. Does not know which request needs which scope.

import { createHash, randomBytes } from "node:crypto";
import { timeOrderedId } from "./ids.ts";
import type { Database } from "./queries.ts";

/**
 * What a key may be used for: answers; labels of its own; chatting and judging what others were answered; `admin` is for
 * everything.
 */
export const scopes = ["inference", "feedback", "reviewer", "admin"] as const;
export type Scope = typeof scopes[number];

/** A key without its secret. */
export interface ApiKey {
  id: string;
  scopes: Scope[];
  name: string | null;
  /** Who uses it. Keys of one owner share their labels. */
  owner: string | null;
  /** Its own limits; null leaves them to the gateway, 0 is none. */
  requestsPerDay: number | null;
  /** Of request bodies. */
  bytesPerDay: number | null;
}

/** Who asks, where it matters whose something is. */
export interface Caller {
  /** null where no key is needed. */
  keyId: string | null;
  /** Whose is what it writes: its owner's, whichever of their keys it is, or its own where it has none. */
  writer: string | null;
  /** Whether it sees and changes what others wrote, too. */
  everyones: boolean;
}

/** Whoever asks where no key is needed. */
export const withoutKey: Caller = { keyId: null, writer: null, everyones: true };

/** The caller that uses a key. */
export function callerOf(key: ApiKey): Caller {
  const writer = key.owner === null ? key.id : `owner ${key.owner}`;
  return { keyId: key.id, writer, everyones: allows(key, "admin") };
}

/** A key as it is listed. */
export interface ListedKey extends ApiKey {
  /** Milliseconds since 1970. */
  createdAt: number;
  revokedAt: number | null;
}

/** What a new key is made of; see ApiKey. */
export interface NewKey {
  scopes: readonly Scope[];
  name?: string | undefined;
  owner?: string | undefined;
  requestsPerDay?: number | undefined;
  bytesPerDay?: number | undefined;
}

/** Makes a key. @returns Its secret, which is nowhere else: 256 random bits after `pk-`. */
export async function createKey(
  database: Database,
  { scopes, name, owner, requestsPerDay, bytesPerDay }: NewKey,
): Promise<{ id: string; secret: string }> {
  const id = timeOrderedId("key-");
  const secret = `pk-${randomBytes(32).toString("base64url")}`;
  await database.run(
    `INSERT INTO api_keys (id, hash, scopes, name, created_at, owner, requests_per_day, bytes_per_day)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [
      id,
      hashOf(secret),
      JSON.stringify([...new Set(scopes)]),
      name ?? null,
      Date.now(),
      owner ?? null,
      requestsPerDay ?? null,
      bytesPerDay ?? null,
    ],
  );
  return { id, secret };
}

/** The key of a secret, "revoked" where it was, undefined where there is none. */
export async function findKey(database: Database, secret: string): Promise<ApiKey | "revoked" | undefined> {
  const row = await database.get<KeyRow>(`${selectKeys} WHERE hash = $1`, [hashOf(secret)]);
  if (!row) return undefined;
  const { createdAt: _, revokedAt, ...key } = keyOf(row);
  return revokedAt === null ? key : "revoked";
}

/** Whether a key may do what needs `scope`. */
export function allows({ scopes }: Pick<ApiKey, "scopes">, scope: Scope): boolean {
  return scopes.includes("admin") || scopes.includes(scope);
}

/** All keys, also revoked ones, newest first. */
export async function listKeys(database: Database): Promise<ListedKey[]> {
  return (await database.all<KeyRow>(`${selectKeys} ORDER BY id DESC`)).map(keyOf);
}

/** Ends a key's use at once. @returns Whether there was such a key in use. */
export async function revokeKey(database: Database, id: string): Promise<boolean> {
  const sql = "UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
  return await database.run(sql, [id, Date.now()]) > 0;
}

/** Keys in use. */
export async function countKeys(database: Database): Promise<number> {
  const sql = "SELECT COUNT(*) AS count FROM api_keys WHERE revoked_at IS NULL";
  return (await database.all<{ count: number }>(sql))[0]?.count ?? 0;
}

type KeyRow = Omit<ListedKey, "scopes"> & { scopes: string };

const selectKeys =
  `SELECT id, scopes, name, owner, requests_per_day AS "requestsPerDay", bytes_per_day AS "bytesPerDay",
  created_at AS "createdAt", revoked_at AS "revokedAt" FROM api_keys`;

function keyOf(row: KeyRow): ListedKey {
  return { ...row, scopes: JSON.parse(row.scopes) };
}

/** A secret of 256 random bits cannot be guessed, so it needs no slow hash. */
function hashOf(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}
