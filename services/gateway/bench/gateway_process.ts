// A gateway as people run it: `deno task gateway` of this tree or another, over a data folder that is thrown away. It tells
// what Prometheus would be told: memory and processor time. It does not know what is measured.

import { fileURLToPath } from "node:url";
import { InputError } from "../../../shared/errors.ts";

/** What is served, and how. */
export interface ServedModel {
  /** Folder in transformers.js layout. */
  folder: string;
  dtype: string;
  /** Undefined leaves it to the gateway. */
  workers: number | undefined;
}

/** What a process has used so far. */
export interface Usage {
  residentBytes: number;
  /** All threads together. */
  cpuSeconds: number;
}

export interface GatewayProcess {
  /** E.g. `http://127.0.0.1:41234`. */
  address: string;
  usage(): Promise<Usage>;
  stop(): Promise<void>;
}

const root = fileURLToPath(new URL("../../../", import.meta.url));

/**
 * Starts a gateway and waits until it listens with its model loaded.
 *
 * @param tree the project's folder that it is started from
 * @throws InputError where it finds its input unusable
 */
export async function startGatewayProcess(
  { folder, dtype, workers }: ServedModel,
  tree: string = root,
): Promise<GatewayProcess> {
  const data = await Deno.makeTempDir({ prefix: "prospect-bench-" });
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["task", "--cwd", tree, "gateway"],
      ...["--port", "0", "--data-dir", data, "--model", folder, "--dtype", dtype],
      ...(workers === undefined ? [] : ["--workers", String(workers)]),
    ],
    // The measured store is SQLite, whatever this shell works with.
    env: { DATABASE_URL: "" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const lastWords = drain(child.stderr);
  const stop = async () => {
    try {
      child.kill("SIGTERM");
    } catch { /* it has ended */ }
    await child.status;
    await Deno.remove(data, { recursive: true });
  };
  const address = await addressOf(child.stdout);
  if (address === undefined) {
    await stop();
    const { code } = await child.status, said = (await lastWords).trim().split("\n").at(-1) ?? "";
    if (code === InputError.exitCode) throw new InputError(said);
    throw new Error(`the gateway ended with exit code ${code}: ${said}`);
  }
  return { address, usage: () => readUsage(address), stop };
}

/** Reads a stream to its end. A log that nobody reads would stop who writes it. @returns its last words */
async function drain(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  let last = new Uint8Array();
  for await (const chunk of stream) last = chunk;
  return new TextDecoder().decode(last);
}

/** The address in the line that says that it listens; undefined where the stream ends before. */
async function addressOf(stdout: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string | undefined> {
  let said = "";
  for await (const text of stdout.pipeThrough(new TextDecoderStream())) {
    said += text;
    // The line is all that it says on stdout, so that nothing is lost with the stream.
    const [, address] = /Listening on (\S+)/.exec(said) ?? [];
    if (address !== undefined) return address;
  }
}

async function readUsage(address: string): Promise<Usage> {
  const text = await (await fetch(`${address}/metrics`)).text();
  const value = (name: string) => {
    const [, number] = new RegExp(`^${name} (\\S+)$`, "m").exec(text) ?? [];
    if (number === undefined) throw new Error(`/metrics has no ${name}`);
    return Number(number);
  };
  return { residentBytes: value("process_resident_memory_bytes"), cpuSeconds: value("process_cpu_seconds_total") };
}
