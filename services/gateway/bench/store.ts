// `bench store`: how long a thumb and a probe take while a large store is filled, listed, counted and exported. The
// gateway is a process of its own, what weighs on it a thread of its own.

import type { Reporter } from "../../../shared/progress.ts";
import { findModel, openModel } from "../../../shared/runtime/open_model.ts";
import { figures, table } from "../../trainer/bench/tables.ts";
import { type Connection, succeed, withConnections } from "./connection.ts";
import { startGatewayProcess } from "./gateway_process.ts";
import { quantile } from "./statistics.ts";
import type { StoreLoad } from "./store_load.ts";

/** Milliseconds between two thumbs, and between two probes. */
const pause = 10;

interface Taken {
  name: string;
  seconds: number;
  /** Milliseconds of each. */
  thumbs: number[];
  probes: number[];
}

const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** What a console and a client of the API ask for, with filters that few rows and that many rows pass. */
const lists = [
  ...["", "&label=false", "&tag=a", "&model=none", "&source=import", "&end_user=person%207", "&since=99999999999999"]
    .map((filter) => ({ path: `/v1/feedback?limit=50${filter}` })),
  ...["?limit=20", "?limit=20&unlabelled=true", "?limit=20&model=none"].map((query) => ({
    path: `/v1/answers${query}`,
  })),
];

/** Times thumbs and probes for as long as a load takes, or so many milliseconds. */
async function measure(
  name: string,
  load: StoreLoad | undefined,
  milliseconds: number | undefined,
  [forThumbs, forProbes]: Connection[],
  thumb: () => unknown,
): Promise<Taken> {
  const thread = new Worker(new URL("./store_load.ts", import.meta.url), { type: "module" });
  let over = false;
  const ended = new Promise<void>((resolve, reject) => {
    thread.onmessage = () => resolve();
    thread.onerror = (event) => reject(new Error(event.message));
    if (milliseconds !== undefined) setTimeout(resolve, milliseconds);
  });
  const thumbs: number[] = [], probes: number[] = [], began = performance.now();
  const repeat = async (taken: number[], call: () => Promise<unknown>) => {
    while (!over) {
      const began = performance.now();
      await call();
      taken.push(performance.now() - began);
      await sleep(pause);
    }
  };
  try {
    if (load) thread.postMessage(load);
    const repeated = [
      repeat(thumbs, () => succeed(forThumbs!, "POST", "/v1/feedback", thumb())),
      repeat(probes, () => succeed(forProbes!, "GET", "/healthz")),
    ];
    await ended;
    over = true;
    await Promise.all(repeated);
    return { name, seconds: (performance.now() - began) / 1000, thumbs, probes };
  } finally {
    thread.terminate();
  }
}

/** Measures and prints. @param rows of the store */
export async function benchStore(rows: number, reporter: Reporter): Promise<void> {
  const { folder, dtype } = await openModel(await findModel(undefined, "auto", reporter), "auto");
  const gateway = await startGatewayProcess({ folder: folder.path, dtype, workers: 1 });
  const { address } = gateway, taken: Taken[] = [];
  try {
    await withConnections(address, 2, async (open) => {
      const message = { model: "base", messages: [{ role: "user", content: "hello" }], max_tokens: 1 };
      const { id } = await succeed(open[0]!, "POST", "/v1/chat/completions", message);
      let person = 0;
      const thumb = () => ({ completion_id: id, label: true, end_user: `judge ${person++}` });
      const step = async (
        name: string,
        calls: StoreLoad["calls"] | undefined,
        end: { rounds?: number; seconds?: number },
      ) => {
        const load = calls && { address, calls, ...(end.rounds === undefined ? {} : { rounds: end.rounds }) };
        taken.push(await measure(name, load, end.seconds === undefined ? undefined : 1000 * end.seconds, open, thumb));
        reporter.line(`${name}: ${figures(taken.at(-1)!.seconds)} s`);
      };
      await step("nothing else", undefined, { seconds: 5 });
      await step(`an import of ${rows.toLocaleString("en")} rows`, [{ rows }], { rounds: 1 });
      await step("lists", lists, { seconds: 20 });
      await step("an export", [{ path: "/v1/feedback/export" }], { rounds: 1 });
      await step("experiments", [{ path: "/v1/experiments" }], { rounds: 3 });
      await step("hygiene", [{ path: "/v1/feedback/hygiene" }], { rounds: 1 });
      await step("an import and lists", [{ rows: Math.ceil(rows / 10) }, ...lists], { rounds: 1 });
    });
  } finally {
    await gateway.stop();
  }
  const milliseconds = (sample: number[]) =>
    [0.5, 0.99, 1].map((share) => `${figures(quantile(sample, share))}`).join(" / ");
  const lines = taken.map(({ name, seconds, thumbs, probes }) => [
    name,
    `${figures(seconds)} s`,
    milliseconds(thumbs),
    milliseconds(probes),
  ]);
  reporter.line("");
  for (const line of table(["meanwhile", "took", "a thumb, p50 / p99 / most in ms", "/healthz"], lines)) {
    reporter.line(line);
  }
  reporter.event("bench", {
    rows,
    steps: taken.map(({ name, seconds, thumbs, probes }) => ({
      name,
      seconds,
      thumb: { p50: quantile(thumbs, 0.5), p99: quantile(thumbs, 0.99), most: quantile(thumbs, 1) },
      healthz: { p50: quantile(probes, 0.5), p99: quantile(probes, 0.99), most: quantile(probes, 1) },
    })),
  });
}
