// How much each API key may use in a day, and has used: requests, and bytes of their bodies. Counted in memory and added to
// the store every second, for all keys in one write; so a killed gateway forgets a second of them at most, and several
// gateways see each other's within one. It knows no HTTP.

import type { Database } from "../../shared/store/database.ts";
import { addUsage, type Used, usedBy } from "../../shared/store/key_usage.ts";
import type { ApiKey } from "../../shared/store/keys.ts";

/** What is asked for in vain once it is used up. */
export interface DailyLimits {
  /** 0 is no limit. */
  requests: number;
  bytes: number;
}

/** A limit that was reached. */
export interface UsedUp {
  what: keyof DailyLimits;
  limit: number;
  /** Seconds until the next day, which begins at midnight UTC. */
  seconds: number;
}

/** How often counts are added to the store, in milliseconds. */
const interval = 1000;

const millisecondsPerDay = 86_400_000;

interface Counted extends Used {
  /** Not yet in the store. */
  fresh: Used;
}

export class KeyUsage {
  #counted = new Map<string, Counted>();
  #reading = new Map<string, Promise<Counted>>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing: Promise<void> = Promise.resolve();

  /** @param usual limits of keys that have none of their own and are not for admins */
  constructor(
    private readonly database: Database,
    private readonly usual: DailyLimits,
    private readonly failed: (error: Error) => void,
  ) {}

  /**
   * Counts a request, unless a limit is reached already.
   *
   * @param bytes of its body, as far as they are known
   */
  async count(key: ApiKey, bytes: number): Promise<UsedUp | undefined> {
    const { requests, bytes: mostBytes } = this.#limitsOf(key);
    if (requests === 0 && mostBytes === 0) return undefined;
    const used = await this.#usedBy(key.id);
    if (requests > 0 && used.requests >= requests) return usedUp("requests", requests, used);
    if (mostBytes > 0 && used.bytes + bytes > mostBytes) return usedUp("bytes", mostBytes, used);
    this.#add(key.id, used, 1, bytes);
    return undefined;
  }

  /** Counts bytes of a body whose length was not told before. @returns the limit that they pass */
  async countBytes(key: ApiKey, bytes: number): Promise<UsedUp | undefined> {
    const { bytes: most } = this.#limitsOf(key);
    if (most === 0) return undefined;
    const used = await this.#usedBy(key.id);
    this.#add(key.id, used, 0, bytes);
    return used.bytes > most ? usedUp("bytes", most, used) : undefined;
  }

  /** Adds what is left to the store. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#write();
  }

  #limitsOf({ requestsPerDay, bytesPerDay, scopes }: ApiKey): DailyLimits {
    const { requests, bytes } = scopes.includes("admin") ? { requests: 0, bytes: 0 } : this.usual;
    return { requests: requestsPerDay ?? requests, bytes: bytesPerDay ?? bytes };
  }

  #usedBy(keyId: string): Counted | Promise<Counted> {
    const counted = this.#counted.get(keyId);
    if (counted && counted.day >= today()) return counted;
    const reading = this.#reading.get(keyId) ?? this.#read(keyId).finally(() => this.#reading.delete(keyId));
    this.#reading.set(keyId, reading);
    return reading;
  }

  /** A clock that is set back gives nobody a second day: the newest day in the store goes on. */
  async #read(keyId: string): Promise<Counted> {
    await this.#write();
    const used = await usedBy(this.database, keyId, today());
    const counted = { ...used, fresh: { day: used.day, requests: 0, bytes: 0 } };
    this.#counted.set(keyId, counted);
    return counted;
  }

  #add(keyId: string, used: Counted, requests: number, bytes: number): void {
    for (const counts of [used, used.fresh]) {
      counts.requests += requests;
      counts.bytes += bytes;
    }
    // A key that is asked of again was read meanwhile.
    this.#counted.set(keyId, used);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#write().catch(this.failed);
    }, interval);
  }

  #write(): Promise<void> {
    const writing = this.#writing.catch(() => {}).then(async () => {
      const taken = [...this.#counted].filter(([, { fresh }]) => fresh.requests > 0 || fresh.bytes > 0)
        .map(([keyId, counted]) => ({ keyId, counted, added: { ...counted.fresh } }));
      if (taken.length === 0) return;
      const totals = await addUsage(this.database, taken.map(({ keyId, added }) => ({ keyId, ...added })));
      for (const { keyId, counted, added } of taken) {
        const total = totals.get(keyId)!;
        counted.fresh.requests -= added.requests;
        counted.fresh.bytes -= added.bytes;
        // Other gateways' counts are in the store's.
        counted.requests = total.requests + counted.fresh.requests;
        counted.bytes = total.bytes + counted.fresh.bytes;
      }
    });
    this.#writing = writing;
    return writing;
  }
}

const today = () => Math.floor(Date.now() / millisecondsPerDay);

function usedUp(what: UsedUp["what"], limit: number, { day }: Used): UsedUp {
  return { what, limit, seconds: Math.max(1, Math.ceil(((day + 1) * millisecondsPerDay - Date.now()) / 1000)) };
}
