// Gateway and trainer as processes of their own over one folder, on the embedded model, and what a client asks of them.
// The model is named by its folder, so that a run answers few prompts.

import { assert, assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { embeddedFeedback, embeddedModelFolder } from "../../../shared/runtime/embedded_model.ts";
import { type Running, startTask, withFolder } from "../../commands/run_task.ts";
import { type GatewayProcess, startGatewayProcess } from "../../gateway/gateway_process.ts";

// deno-lint-ignore no-explicit-any -- bodies as clients see them
export type Body = any;

export const modelFlags = ["--model", embeddedModelFolder];

/** Hands out a folder and a gateway over it, and ends the gateway and every trainer that is left. */
export function withService(use: (client: Client, folder: string, gateway: GatewayProcess) => Promise<void>) {
  return withFolder(async (folder) => {
    const gateway = await startGatewayProcess(folder, { args: modelFlags });
    try {
      await use(clientOf(gateway.address), folder, gateway);
    } finally {
      for (const trainer of trainers.splice(0)) await crash(trainer);
      await gateway.stop();
    }
  });
}

const trainers: Running[] = [];

/** Starts a trainer over the data of `folder`. @param cache of reference log-probs */
export function startTrainer(folder: string, cache: string, ...args: (string | number)[]): Running {
  const all = ["--data-dir", join(folder, "data"), ...modelFlags, "--train-workers", 1, ...args];
  const trainer = startTask("trainer", all, { cache: join(folder, cache) });
  trainers.push(trainer);
  return trainer;
}

/** Ends a process as a crash does. */
export async function crash({ process, ended }: Running): Promise<void> {
  try {
    process.kill("SIGKILL");
  } catch {
    // It has ended by itself.
  }
  await ended;
}

/** Resolves as soon as there is a file or folder at `path`. */
export async function untilThere(path: string): Promise<void> {
  for (const end = Date.now() + 180_000; !existsSync(path); await pause(2)) {
    if (Date.now() > end) throw new Error(`${path} is not there after three minutes`);
  }
}

/** Rows of the embedded world's feedback, as a JSON Lines text. */
export const feedbackRows = (from: number, to: number): string =>
  Deno.readTextFileSync(embeddedFeedback).split("\n").slice(from, to).map((line) => line + "\n").join("");

export const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export interface Client {
  address: string;
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: Body }>;
  /** The body of a call that must succeed. */
  ask(method: string, path: string, body?: unknown): Promise<Body>;
  upload(text: string, name?: string): Promise<string>;
  /** The bytes of one of a job's result files. */
  result(job: Body, name: string): Promise<Uint8Array>;
}

/** A client of the gateway at `address`. */
export function clientOf(address: string): Client {
  const send = async (method: string, path: string, body: BodyInit | null, headers: Record<string, string>) => {
    const response = await fetch(address + path, { method, body, headers });
    const text = await response.text();
    return { status: response.status, body: text.startsWith("{") ? JSON.parse(text) : text };
  };
  const call: Client["call"] = (method, path, body) =>
    body === undefined
      ? send(method, path, null, {})
      : send(method, path, JSON.stringify(body), { "Content-Type": "application/json" });
  const ask: Client["ask"] = async (method, path, body) => {
    const answer = await call(method, path, body);
    assertEquals(answer.status, 200, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  return {
    address,
    call,
    ask,
    async upload(text, name = "thumbs.jsonl") {
      const form = new FormData();
      form.set("purpose", "fine-tune");
      form.set("file", new File([text], name));
      const { status, body } = await send("POST", "/v1/files", form, {});
      assertEquals(status, 200, JSON.stringify(body));
      return body.id;
    },
    async result(job, name) {
      for (const id of job.result_files) {
        if (!(await ask("GET", `/v1/files/${id}`)).filename.endsWith(name)) continue;
        const response = await fetch(`${address}/v1/files/${id}/content`);
        return new Uint8Array(await response.arrayBuffer());
      }
      throw new Error(`the job left no ${name}`);
    },
  };
}

/** Asks for a job until `seen` says of it what is waited for. @returns the job. */
export async function untilJob({ ask }: Client, id: string, seen: (job: Body) => boolean): Promise<Body> {
  for (const end = Date.now() + 180_000; Date.now() < end; await pause(20)) {
    const job = await ask("GET", `/v1/fine_tuning/jobs/${id}`);
    if (seen(job)) return job;
    assert(job.finished_at === null, `the job ${job.status}: ${JSON.stringify(job.error)}`);
  }
  throw new Error("three minutes passed");
}

export const succeeded = (job: Body) => job.status === "succeeded";

/** Whether a job is at a piece of work whose name begins like this, and has done some of it. */
export const at = (label: string, least = 1) => ({ progress }: Body) =>
  progress !== null && progress.label.startsWith(label) && progress.done >= least;

/** What a run's steps measured, without how long they took. */
export function numbersOf(metrics: Uint8Array): Record<string, unknown>[] {
  const lines = new TextDecoder().decode(metrics).split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const { tokens_per_second: _, ...numbers } = JSON.parse(line);
    return numbers;
  });
}
