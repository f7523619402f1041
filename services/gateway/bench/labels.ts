// Thumbs per second, each on disk before it is acknowledged: through the gateway, and by the store alone in this process,
// which is the bound. It does not print.

import { openDatabase } from "../../../shared/store/database.ts";
import { storeCompletion } from "../../../shared/store/completions.ts";
import { putLabel } from "../../../shared/store/labels.ts";
import { succeed, withConnections } from "./connection.ts";
import { type ServedModel, startGatewayProcess } from "./gateway_process.ts";
import { quantile } from "./statistics.ts";

export interface LabelSettings {
  served: ServedModel;
  /** Thumbs under way at a time, a connection each. */
  connections: number;
  seconds: number;
}

export interface LabelRate {
  labels: number;
  perSecond: number;
  /** Milliseconds from a thumb to its acknowledgement. */
  p50: number;
  p99: number;
}

export interface LabelMeasurement {
  gateway: LabelRate & { cpuSecondsPerLabel: number };
  store: LabelRate;
}

/** Completions that are judged in turn, each by ever new people. */
const judged = 100;

/** Times calls until the time is over, each of `callers` one after another. */
async function rateOf(seconds: number, callers: ((index: number) => Promise<void>)[]): Promise<LabelRate> {
  const taken: number[] = [], started = performance.now(), end = started + 1000 * seconds;
  let next = 0;
  await Promise.all(callers.map(async (call) => {
    while (performance.now() < end) {
      const began = performance.now();
      await call(next++);
      taken.push(performance.now() - began);
    }
  }));
  const perSecond = taken.length / (performance.now() - started) * 1000;
  return { labels: taken.length, perSecond, p50: quantile(taken, 0.5), p99: quantile(taken, 0.99) };
}

async function measureGateway({ served, connections, seconds }: LabelSettings): Promise<LabelMeasurement["gateway"]> {
  const gateway = await startGatewayProcess(served);
  try {
    return await withConnections(gateway.address, connections, async (open) => {
      const message = { model: "base", messages: [{ role: "user", content: "hello" }], max_tokens: 1 },
        ids: string[] = [];
      while (ids.length < judged) ids.push((await succeed(open[0]!, "POST", "/v1/chat/completions", message)).id);
      const callers = open.map((connection) => async (index: number) => {
        const body = { completion_id: ids[index % judged], label: index % 2 === 0, end_user: `person ${index}` };
        await succeed(connection, "POST", "/v1/feedback", body);
      });
      await rateOf(seconds / 4, callers);
      const before = await gateway.usage(), rate = await rateOf(seconds, callers), after = await gateway.usage();
      return { ...rate, cpuSecondsPerLabel: (after.cpuSeconds - before.cpuSeconds) / rate.labels };
    });
  } finally {
    await gateway.stop();
  }
}

async function measureStore({ connections, seconds }: LabelSettings): Promise<LabelRate> {
  const folder = await Deno.makeTempDir({ prefix: "prospect-bench-" }),
    database = await openDatabase(`${folder}/store`);
  try {
    const ids = Array.from({ length: judged }, (_, i) => `chatcmpl-${i}`);
    for (const id of ids) {
      await storeCompletion(database, {
        ...{ id, createdAt: Date.now(), source: "chat", model: "base", base: "base", adapter: null, alias: null },
        ...{
          adapterVersion: null,
          parameters: {},
          endUser: null,
          writer: null,
          metadata: null,
          safetyIdentifier: null,
          promptTokens: 1,
        },
        prompt: [{ role: "user", content: "hello" }],
        choices: [{ index: 0, content: "hello", finishReason: "length", tokens: 1, logProb: -1 }],
      });
    }
    const thumb = async (index: number) => {
      const completionId = ids[index % judged]!;
      await putLabel(database, { completionId, choice: 0, endUser: `person ${index}`, label: index % 2 === 0 });
    };
    const callers = new Array(connections).fill(thumb);
    await rateOf(seconds / 4, callers);
    return await rateOf(seconds, callers);
  } finally {
    await database.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** Measures one after the other. */
export async function measureLabels(settings: LabelSettings): Promise<LabelMeasurement> {
  return { gateway: await measureGateway(settings), store: await measureStore(settings) };
}
