// `bench soak`: a gateway under hostile and honest clients together for minutes: is its memory bounded, are the honest ones
// answered, and how fast. It does not know what either kind of client does.

import { setTimeout as wait } from "node:timers/promises";
import { type Remote, wrap } from "comlink";
import { type Reporter, withProgress } from "../../../../shared/progress.ts";
import { findModel, openModel } from "../../../../shared/runtime/open_model.ts";
import { bytes, figures, table } from "../../../trainer/bench/tables.ts";
import { type GatewayProcess, startGatewayProcess } from "../gateway_process.ts";
import { slope } from "../statistics.ts";
import { beHonest, Diary, type Outcome } from "./honest.ts";
import type { Attempts, HostileClients } from "./hostile_worker.ts";

export interface SoakOptions {
  minutes: number;
  model: string | undefined;
  dtype: string;
  /** Attempts of each hostile way that are under way at a time; 0 leaves the honest ones alone. */
  hostile: number;
}

/** Memory at a moment. */
interface Reading {
  minutes: number;
  residentBytes: number;
}

const readings = 12;

/** Memory over the time, by the gateway's own account. @throws Error where it does not answer any more */
async function watchMemory(gateway: GatewayProcess, minutes: number, onReading: () => void): Promise<Reading[]> {
  const taken: Reading[] = [], started = performance.now();
  const passed = () => (performance.now() - started) / 60_000;
  for (let reading = 1; reading <= readings; reading++) {
    await wait(Math.max(0, (minutes * reading / readings - passed()) * 60_000));
    taken.push({ minutes: passed(), residentBytes: (await gateway.usage()).residentBytes });
    onReading();
  }
  return taken;
}

async function withHostile<Result>(
  address: string,
  each: number,
  use: () => Promise<Result>,
): Promise<{ result: Result; attempts: Attempts }> {
  const thread = new Worker(new URL("./hostile_worker.ts", import.meta.url), { type: "module" });
  try {
    const clients: Remote<HostileClients> = wrap<HostileClients>(thread), { hostname, port } = new URL(address);
    if (each > 0) await clients.start({ hostname, port: Number(port) }, each);
    const result = await use();
    return { result, attempts: await clients.stop() };
  } finally {
    thread.terminate();
  }
}

/** Answers that no honest client may get: those of the server's fault, but 503, which says when to come again. */
export function faults(outcomes: Record<string, Outcome>): string[] {
  return Object.entries(outcomes).flatMap(([kind, { others }]) =>
    Object.entries(others).filter(([status]) => status === "none" || Number(status) >= 500 && status !== "503")
      .map(([status, count]) => `${kind}: ${count} × ${status === "none" ? "no answer" : status}`)
  );
}

function print(outcomes: Record<string, Outcome>, memory: Reading[], attempts: Attempts, { line }: Reporter): void {
  const milliseconds = (value: number) => Number.isNaN(value) ? "none" : `${figures(value)} ms`;
  const rows = Object.entries(outcomes).map(([kind, { requests, p50, p99, slowest, others }]) => [
    kind,
    requests.toLocaleString("en"),
    ...[p50, p99, slowest].map(milliseconds),
    Object.entries(others).map(([status, count]) => `${count} × ${status}`).join(", ") || "none",
  ]);
  for (const text of table(["honest", "requests", "p50", "p99", "slowest", "not answered"], rows)) line(text);
  line("");
  const tried = Object.entries(attempts).map(([name, count]) => [name, count.toLocaleString("en")]);
  for (const text of table(["hostile", "attempts"], tried)) line(text);
  line("");
  const half = memory.slice(readings / 2);
  const growth = slope(half.map(({ minutes, residentBytes }) => ({ x: minutes, y: residentBytes })));
  line(`Resident memory: ${memory.map(({ residentBytes }) => bytes(residentBytes)).join(", ")}.`);
  line(`In the second half it grew by ${figures(growth / 1e6)} MB a minute.`);
}

/**
 * Soaks a gateway and prints what came of it.
 *
 * @throws Error where an honest client got what it may not, or the gateway ended
 */
export async function soak({ minutes, model, dtype, hostile }: SoakOptions, reporter: Reporter): Promise<void> {
  const { folder, dtype: chosen } = await openModel(await findModel(model, dtype, reporter), dtype);
  const gateway = await startGatewayProcess({ folder: folder.path, dtype: chosen, workers: undefined });
  const diary = new Diary(), stopping = new AbortController();
  try {
    const honest = beHonest(gateway.address, diary, stopping.signal);
    const options = { label: `${folder.name} ${chosen}`, total: readings, unit: "readings" };
    const { result: memory, attempts } = await withHostile(gateway.address, hostile, async () => {
      const memory = await withProgress(
        reporter,
        options,
        (advance) => watchMemory(gateway, minutes, () => advance(1)),
      );
      stopping.abort();
      await honest;
      return memory;
    });
    const outcomes = diary.outcomes();
    print(outcomes, memory, attempts, reporter);
    reporter.event("soak", { minutes, model: folder.name, dtype: chosen, outcomes, memory, attempts });
    const found = faults(outcomes);
    if (found.length > 0) throw new Error(`honest clients were let down: ${found.join("; ")}`);
  } finally {
    stopping.abort();
    await gateway.stop();
  }
}
