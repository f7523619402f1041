// The few calls of a Prospect server that the demo makes, over HTTP like any client's. It knows no one's opinions.

/** A server did not answer as it should. */
export class CallError extends Error {}

export interface Client {
  /** JSON in, JSON out. A full queue is waited for. @throws CallError with the server's own sentence */
  call<Body>(method: string, path: string, body?: unknown): Promise<Body>;
  /** The text at a path. @throws CallError */
  read(path: string): Promise<string>;
}

const longestWait = 60_000;

/** A client of the server at `address`. */
export function connect(address: string): Client {
  return {
    async read(path) {
      const response = await fetch(address + path), text = await response.text();
      if (response.ok) return text;
      throw new CallError(`GET ${path}: ${response.status}`);
    },
    async call<Body>(method: string, path: string, body?: unknown) {
      for (const end = Date.now() + longestWait;;) {
        const response = await fetch(address + path, {
          method,
          headers: body === undefined ? {} : { "Content-Type": "application/json" },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        if (response.status === 429 && Date.now() < end) {
          await response.body?.cancel();
          await new Promise((resolve) => setTimeout(resolve, 1000 * Number(response.headers.get("Retry-After") ?? 1)));
          continue;
        }
        const answer = await response.json();
        if (response.ok) return answer as Body;
        throw new CallError(`${method} ${path}: ${response.status} ${answer.error?.message ?? ""}`);
      }
    },
  };
}

/** Does `work` for every item, `width` at a time, and returns the results in the items' order. */
export async function mapWide<Item, Result>(
  items: readonly Item[],
  width: number,
  work: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results = new Array<Result>(items.length);
  let next = 0;
  const run = async () => {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index]!, index);
    }
  };
  await Promise.all(Array.from({ length: width }, run));
  return results;
}
