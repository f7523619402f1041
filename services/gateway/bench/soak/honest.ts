// What honest clients do all day: chats whole and streamed, thumbs, lists, statistics, exports, probes. Each is timed and
// its status kept. It does not know that others are hostile meanwhile.

import { setTimeout as wait } from "node:timers/promises";
import { quantile } from "../statistics.ts";

/** What came of one kind of request. */
export interface Outcome {
  requests: number;
  /** Milliseconds, over those that succeeded. */
  p50: number;
  p99: number;
  slowest: number;
  /** How often each status but 2xx was answered; "none" where the connection broke. */
  others: Record<string, number>;
}

/** Requests of all kinds, kept by kind. */
export class Diary {
  readonly #taken = new Map<string, number[]>();
  readonly #others = new Map<string, Map<string, number>>();

  note(kind: string, status: number | "none", milliseconds: number): void {
    if (!this.#taken.has(kind)) this.#taken.set(kind, []);
    if (status !== "none" && status < 300) return void this.#taken.get(kind)!.push(milliseconds);
    const others = this.#others.get(kind) ?? new Map<string, number>();
    others.set(String(status), (others.get(String(status)) ?? 0) + 1);
    this.#others.set(kind, others);
  }

  outcomes(): Record<string, Outcome> {
    return Object.fromEntries([...this.#taken].map(([kind, taken]) => {
      const others = Object.fromEntries(this.#others.get(kind) ?? []);
      const refused = Object.values(others).reduce((sum, count) => sum + count, 0);
      const known = taken.length > 0;
      return [kind, {
        requests: taken.length + refused,
        p50: known ? quantile(taken, 0.5) : NaN,
        p99: known ? quantile(taken, 0.99) : NaN,
        slowest: known ? Math.max(...taken) : NaN,
        others,
      }];
    }));
  }
}

/** A client that does one thing after another, with pauses as people make them. */
type Client = (ask: Ask, turn: number) => Promise<void>;

/** @returns the answer's text, undefined where there was none */
type Ask = (kind: string, method: "GET" | "POST", path: string, body?: unknown) => Promise<string | undefined>;

const question = (
  turn: number,
) => [{ role: "user", content: `What is the opposite of hot, and who says so ${turn} times?` }];

const idOf = (answer: string | undefined) => answer === undefined ? undefined : /"id":"([^"]+)"/.exec(answer)?.[1];

/** Who there is, and the pause of each between two turns in milliseconds. */
const clients: { pause: number; count: number; act: Client }[] = [
  {
    pause: 50,
    count: 3,
    act: async (ask, turn) => {
      const body = { model: "prospect", messages: question(turn), max_tokens: 24, user: `person ${turn % 200}` };
      const id = idOf(await ask("answer", "POST", "/v1/chat/completions", body));
      if (id !== undefined) await ask("thumb", "POST", "/v1/feedback", { completion_id: id, label: turn % 3 > 0 });
    },
  },
  {
    pause: 50,
    count: 3,
    act: async (ask, turn) => {
      const body = { model: "base", messages: question(turn), max_tokens: 24, stream: true };
      await ask("streamed answer", "POST", "/v1/chat/completions", body);
    },
  },
  {
    pause: 500,
    count: 1,
    act: async (ask) => {
      await ask("list", "GET", "/v1/feedback?limit=50");
      await ask("list", "GET", "/v1/answers?limit=50");
      await ask("statistics", "GET", "/v1/experiments");
    },
  },
  { pause: 5000, count: 1, act: async (ask) => void await ask("export", "GET", "/v1/feedback/export") },
  {
    pause: 100,
    count: 1,
    act: async (ask) => {
      await ask("probe", "GET", "/healthz");
      await ask("probe", "GET", "/readyz");
    },
  },
];

/** Runs honest clients against a gateway until the signal comes. */
export async function beHonest(address: string, diary: Diary, signal: AbortSignal): Promise<void> {
  const ask: Ask = async (kind, method, path, body) => {
    const started = performance.now();
    try {
      const response = await fetch(`${address}${path}`, {
        method,
        signal,
        ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
      });
      const text = await response.text();
      diary.note(kind, response.status, performance.now() - started);
      return response.ok ? text : undefined;
    } catch {
      // What the end of the soak cut short is nobody's fault.
      if (!signal.aborted) diary.note(kind, "none", performance.now() - started);
    }
  };
  await Promise.all(clients.flatMap(({ pause, count, act }) =>
    Array.from({ length: count }, async (_, index) => {
      for (let turn = index; !signal.aborted; turn += count) {
        await act(ask, turn);
        await wait(pause, undefined, { signal }).catch(() => {});
      }
    })
  ));
}
