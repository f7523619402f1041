// `bench gateway`: what is measured, in which order, and how it is shown. Measuring happens in the modules beside it, the
// gateway and its peer run in processes of their own.

import type { Reporter } from "../../../shared/progress.ts";
import { findModel, openModel } from "../../../shared/runtime/open_model.ts";
import { bytes, figures, percent, table, times } from "../../trainer/bench/tables.ts";
import { type ConcurrencyMeasurement, measureConcurrency } from "./concurrency.ts";
import type { ServedModel } from "./gateway_process.ts";
import { type LabelMeasurement, type LabelRate, measureLabels } from "./labels.ts";
import { measureMemory, type MemoryMeasurement } from "./memory.ts";
import { measureOverhead, type WayMeasurement } from "./overhead.ts";

/** What can be measured. */
export const measures = ["overhead", "concurrency", "labels", "memory"] as const;
export type Measure = typeof measures[number];

export interface GatewayBenchOptions {
  /** Path of the command's own file, to be run again as the peer. */
  program: string;
  model: string | undefined;
  dtype: string;
  workers: number | undefined;
  measures: Measure[];
  /** As small as can be: to see that it works, not to learn anything. */
  quick: boolean;
}

/** How much of each thing is done. */
const sizes = {
  full: {
    tokens: 64,
    rounds: 9,
    clients: [1, 4, 16],
    answers: 16,
    connections: 32,
    seconds: 10,
    warmUpRequests: 15_000,
    requests: 10_000,
    requestClients: 8,
  },
  quick: {
    tokens: 4,
    rounds: 1,
    clients: [1, 2],
    answers: 4,
    connections: 4,
    seconds: 0.2,
    warmUpRequests: 40,
    requests: 80,
    requestClients: 2,
  },
};

const signedPercent = (ratio: number) => `${ratio < 1 ? "−" : "+"}${figures(Math.abs(100 * (ratio - 1)))}%`;
const milliseconds = (seconds: number) => `${figures(1000 * seconds)} ms`;

function printOverhead(ways: WayMeasurement[], tokens: number, { line }: Reporter): void {
  const rows = ways.map(({ name, seconds, fastestSeconds, cpuSeconds, ratio, cpuRatio }) => [
    name,
    milliseconds(seconds),
    milliseconds(fastestSeconds),
    milliseconds(cpuSeconds),
    signedPercent(ratio),
    signedPercent(cpuRatio),
  ]);
  line("");
  const head = [`an answer of ${tokens} tokens`, "median", "fastest", "CPU", "against the first", "CPU"];
  for (const text of table(head, rows)) line(text);
  line("The texts are the same, whoever answers.");
}

function printConcurrency(measured: ConcurrencyMeasurement[], { line }: Reporter): void {
  const [{ tokensPerSecond: bound }] = measured as [ConcurrencyMeasurement];
  const rows = measured.map(({ clients, tokensPerSecond, tokensPerSecondOfClient }) => [
    `${clients}`,
    figures(tokensPerSecond),
    figures(tokensPerSecondOfClient),
    times(tokensPerSecond / bound),
  ]);
  line("");
  for (const text of table(["clients", "tokens/s in all", "of one client", "against one after another"], rows)) {
    line(text);
  }
}

function printLabels({ gateway, store }: LabelMeasurement, connections: number, { line }: Reporter): void {
  const row = (name: string, { perSecond, p50, p99 }: LabelRate, cpu: string) => [
    name,
    figures(perSecond),
    `${figures(p50)} ms`,
    `${figures(p99)} ms`,
    cpu,
  ];
  line("");
  const head = [`durable thumbs, ${connections} at a time`, "per second", "p50", "p99", "CPU of each"];
  const rows = [
    row("gateway", gateway, milliseconds(gateway.cpuSecondsPerLabel)),
    row("store alone", store, ""),
  ];
  for (const text of table(head, rows)) line(text);
  line(`The gateway takes ${percent(gateway.perSecond / store.perSecond)} of what its store could keep.`);
}

function printMemory(measured: MemoryMeasurement, { line }: Reporter): void {
  const { warmUpRequests, requests, startBytes, beforeBytes, afterBytes, bytesPerRequest } = measured;
  const whole = (value: number) => Math.round(value).toLocaleString("en");
  line("");
  line(
    `Resident memory: ${bytes(startBytes)} at the start, ${bytes(beforeBytes)} after ${
      whole(warmUpRequests)
    } requests, ` +
      `${bytes(afterBytes)} after ${whole(requests)} more: ${whole(bytesPerRequest)} bytes a request.`,
  );
}

/**
 * Measures and prints.
 *
 * @throws InputError for a model that cannot be served
 */
export async function benchGateway(options: GatewayBenchOptions, reporter: Reporter): Promise<void> {
  const { program, workers, quick } = options;
  const { folder, dtype, tokenizer } = openModel(
    await findModel(options.model, options.dtype, reporter),
    options.dtype,
  );
  const served: ServedModel = { folder: folder.path, dtype, workers };
  const { tokens, rounds, clients, answers, connections, seconds, warmUpRequests, requests, requestClients } = sizes[
    quick ? "quick" : "full"
  ];
  const counted = async <Result>(
    label: string,
    total: number,
    unit: string,
    measure: (count: (units: number) => void) => Promise<Result>,
  ) => {
    const progress = reporter.progress({ label, total, unit });
    try {
      return await measure((units) => progress.advance(units));
    } finally {
      progress.done();
    }
  };
  const asked = (measure: Measure) => options.measures.includes(measure);
  const cores = navigator.hardwareConcurrency, [loadBefore] = Deno.loadavg() as [number, number, number];
  reporter.line(`${folder.name} ${dtype}, ${cores} cores; load of the machine before: ${figures(loadBefore)}.`);

  const result: Record<string, unknown> = {};
  if (asked("overhead")) {
    const settings = { program, served, tokenizer, tokens, rounds };
    const ways = await counted(
      "overhead",
      5 * (rounds + 2),
      "answers",
      (count) => measureOverhead(settings, () => count(1)),
    );
    printOverhead(ways, tokens, reporter);
    result.overhead = ways.map(({ name, seconds, fastestSeconds, cpuSeconds, ratio, cpuRatio }) => ({
      name,
      seconds,
      fastest_seconds: fastestSeconds,
      cpu_seconds: cpuSeconds,
      ratio,
      cpu_ratio: cpuRatio,
    }));
  }
  if (asked("concurrency")) {
    const settings = { served, tokenizer, tokens, clients, answers };
    const measured = await counted(
      "concurrency",
      (clients.length + 1) * answers,
      "answers",
      (count) => measureConcurrency(settings, () => count(1)),
    );
    printConcurrency(measured, reporter);
    result.concurrency = measured.map(({ clients, tokensPerSecond, tokensPerSecondOfClient }) => ({
      clients,
      tokens_per_second: tokensPerSecond,
      tokens_per_second_of_client: tokensPerSecondOfClient,
      ratio: tokensPerSecond / measured[0]!.tokensPerSecond,
    }));
  }
  if (asked("labels")) {
    const { gateway, store } = await measureLabels({ served, connections, seconds });
    printLabels({ gateway, store }, connections, reporter);
    const forPrograms = ({ perSecond, p50, p99 }: LabelRate) => ({
      per_second: perSecond,
      p50_milliseconds: p50,
      p99_milliseconds: p99,
    });
    result.labels = {
      connections,
      gateway: { ...forPrograms(gateway), cpu_seconds: gateway.cpuSecondsPerLabel },
      store: forPrograms(store),
      ratio: gateway.perSecond / store.perSecond,
    };
  }
  if (asked("memory")) {
    const settings = { served, warmUpRequests, requests, clients: requestClients };
    const measured = await counted(
      "memory",
      warmUpRequests + requests,
      "requests",
      (count) => measureMemory(settings, count),
    );
    printMemory(measured, reporter);
    result.memory = {
      warm_up_requests: warmUpRequests,
      requests,
      start_bytes: measured.startBytes,
      before_bytes: measured.beforeBytes,
      after_bytes: measured.afterBytes,
      bytes_per_request: measured.bytesPerRequest,
    };
  }
  reporter.event("bench", { model: folder.name, dtype, cores, load_before: loadBefore, workers, tokens, ...result });
}
