// Whether the gateway's memory grows with the requests that it has answered: its resident size over many mixed requests,
// and the slope of the line through it. It does not print.

import { type Connection, succeed, withConnections } from "./connection.ts";
import { type ServedModel, startGatewayProcess } from "./gateway_process.ts";
import { slope } from "./statistics.ts";

export interface MemorySettings {
  served: ServedModel;
  /** Requests before those that count: V8 lets its heaps grow at first, though little in them is alive (docs/LOG.md). */
  warmUpRequests: number;
  requests: number;
  clients: number;
}

export interface MemoryMeasurement {
  warmUpRequests: number;
  requests: number;
  /** Resident size at the start, when the warm-up was over, and at the end. */
  startBytes: number;
  beforeBytes: number;
  afterBytes: number;
  /** Least-squares slope between the last two. */
  bytesPerRequest: number;
}

/** Resident sizes that are read. */
const samples = 200;

/** A request of the mix, by its number. */
async function mixed(connection: Connection, address: string, ids: string[], index: number): Promise<void> {
  const chat = { model: "base", messages: [{ role: "user", content: `hello for the ${index}th time` }], max_tokens: 3 };
  const judged = ids[index % ids.length];
  switch (index % 8) {
    case 0:
    case 1:
      ids.push((await succeed(connection, "POST", "/v1/chat/completions", chat)).id);
      if (ids.length > 100) ids.shift();
      return;
    case 2: {
      const headers = { "Content-Type": "application/json" }, body = JSON.stringify({ ...chat, stream: true });
      await (await fetch(`${address}/v1/chat/completions`, { method: "POST", headers, body })).text();
      return;
    }
    case 3:
      await succeed(connection, "GET", "/v1/feedback?limit=20");
      return;
    case 4:
      await succeed(connection, "GET", "/v1/models");
      return;
    default:
      await succeed(connection, "POST", "/v1/feedback", {
        completion_id: judged,
        label: index % 2 === 0,
        end_user: `person ${index}`,
        tags: ["bench"],
      });
  }
}

/** Measures. @param onRequests called with the number of requests since the last call */
export async function measureMemory(
  { served, warmUpRequests, requests, clients }: MemorySettings,
  onRequests: (count: number) => void,
): Promise<MemoryMeasurement> {
  const gateway = await startGatewayProcess(served);
  const points: { x: number; y: number }[] = [];
  const all = warmUpRequests + requests, every = Math.max(1, Math.floor(all / samples));
  try {
    const ids: string[] = [];
    let next = 0;
    const work = async (connection: Connection) => {
      while (next < all) {
        const index = next++;
        await mixed(connection, gateway.address, ids, index);
        if (index % every !== 0) continue;
        points.push({ x: index, y: (await gateway.usage()).residentBytes });
        onRequests(every);
      }
    };
    await withConnections(gateway.address, clients, async (connections) => {
      // There is something to judge from the beginning.
      await mixed(connections[0]!, gateway.address, ids, 0);
      await Promise.all(connections.map(work));
    });
  } finally {
    await gateway.stop();
  }
  points.sort((a, b) => a.x - b.x);
  const counted = points.filter(({ x }) => x >= warmUpRequests);
  return {
    warmUpRequests,
    requests,
    startBytes: points[0]!.y,
    beforeBytes: counted[0]!.y,
    afterBytes: counted.at(-1)!.y,
    bytesPerRequest: slope(counted),
  };
}
