// `deno task serve` as people run it: OpenAI's SDK from an upload to the tuned model's answer, a trainer that is started
// again, and none that outlives its gateway.

import { assert, assertEquals, assertNotStrictEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { join } from "node:path";
import OpenAI, { toFile } from "openai";
import { openDatabase } from "../../shared/store/database.ts";
import { findJob } from "../../shared/store/jobs.ts";
import { freePort, untilReady } from "../gateway/gateway_process.ts";
import {
  at,
  clientOf,
  crash,
  feedbackRows,
  modelFlags,
  numbersOf,
  pause,
  succeeded,
  untilJob,
} from "../trainer/service/service_processes.ts";
import { type Running, startTask, withFolder } from "./run_task.ts";

interface Serve {
  running: Running;
  openai: OpenAI;
  client: ReturnType<typeof clientOf>;
}

/** Starts gateway and trainer over `folder` and waits until the model answers. */
async function startServe(folder: string): Promise<Serve> {
  const port = freePort(), address = `http://127.0.0.1:${port}`;
  const args = [
    "--port",
    port,
    "--data-dir",
    join(folder, "data"),
    "--workers",
    1,
    "--train-workers",
    1,
    ...modelFlags,
  ];
  const running = startTask("serve", args, { cache: join(folder, "cache") });
  await untilReady(address, running);
  const openai = new OpenAI({ baseURL: `${address}/v1`, apiKey: "not needed", maxRetries: 0 });
  return { running, openai, client: clientOf(address) };
}

/** The lines of /proc/PID/stat of all processes. A shell reads them: Deno asks for every permission there is to do so. */
function processes(): string[] {
  const script = 'for each in /proc/[0-9]*/stat; do read -r line < "$each" && echo "$line"; done 2>/dev/null; true';
  const { stdout } = new Deno.Command("sh", { args: ["-c", script] }).outputSync();
  return new TextDecoder().decode(stdout).split("\n").filter((line) => line !== "");
}

/** Processes whose parent is `pid`, as Linux tells. */
function childrenOf(pid: number): number[] {
  // After the name, which may hold anything and ends with the last parenthesis: state, parent.
  const ofParent = (line: string) => Number(line.split(")").at(-1)!.split(" ")[2]) === pid;
  return processes().filter(ofParent).map((line) => parseInt(line));
}

/** The trainer of a server, once it is there and none of `before`. */
async function trainerOf({ running }: Serve, before?: number): Promise<number> {
  for (const end = Date.now() + 60_000; Date.now() < end; await pause(50)) {
    const [pid] = childrenOf(running.process.pid).filter((pid) => pid !== before);
    if (pid !== undefined) return pid;
  }
  throw new Error("no trainer is there after a minute");
}

async function untilGone(pid: number): Promise<void> {
  const there = () => processes().some((line) => parseInt(line) === pid);
  for (const end = Date.now() + 60_000; there(); await pause(20)) {
    assert(Date.now() < end, `the process ${pid} is still there`);
  }
}

type JobOptions = Parameters<OpenAI["fineTuning"]["jobs"]["create"]>[0];

/** A KTO job, which OpenAI's types do not have. */
const kto = (training_file: string, n_epochs: number, suffix?: string) =>
  ({
    training_file,
    model: "base",
    seed: 5,
    suffix,
    method: { type: "kto", kto: { hyperparameters: { n_epochs, batch_size: 8, learning_rate: 0.002 } } },
  }) as unknown as JobOptions;

async function trainsWithTheSdk({ openai }: Serve): Promise<void> {
  const upload = await toFile(new TextEncoder().encode(feedbackRows(0, 60)), "thumbs.jsonl");
  const file = await openai.files.create({ file: upload, purpose: "fine-tune" });
  assertEquals([file.object, file.filename, file.status], ["file", "thumbs.jsonl", "processed"]);
  const { jobs } = openai.fineTuning;
  const created = await jobs.create(kto(file.id, 2, "first"));
  const other = await jobs.create(kto(file.id, 1000));
  assertEquals((await jobs.cancel(other.id)).status, "cancelled");

  let job = created;
  const told = new Map<string, string>();
  while (job.status !== "succeeded") {
    assert(["queued", "running"].includes(job.status), JSON.stringify(job.error));
    await pause(100);
    job = await jobs.retrieve(created.id);
    for await (const { id, message } of jobs.listEvents(created.id, { limit: 50 })) told.set(id, message);
  }
  const messages = [...told.values()];
  assert(messages.includes("The job succeeded.") && messages.some((message) => /^Step \d+: loss /.test(message)));
  assertEquals((await Array.fromAsync(jobs.list())).map(({ id }) => id), [other.id, created.id]);
  assertEquals(job.fine_tuned_model, "base:first");
  assert(job.trained_tokens! > 0 && job.finished_at! >= job.created_at);
  const [checkpoint] = (await jobs.checkpoints.list(job.id)).data;
  assertStrictEquals(checkpoint?.fine_tuned_model_checkpoint, "base:first");

  const results = await Promise.all(job.result_files.map((id) => openai.files.retrieve(id)));
  const metrics = results.find(({ filename }) => filename.endsWith("metrics.jsonl"))!;
  const content = await openai.files.content(metrics.id);
  const steps = numbersOf(new Uint8Array(await content.arrayBuffer()));
  assertEquals(steps.map(({ step }) => step), steps.map((_, i) => i + 1));
  assertEquals(checkpoint.step_number, steps.length);

  const chat = { messages: [{ role: "user" as const, content: "What is the opposite of hot?" }], max_tokens: 8 };
  const answer = await openai.chat.completions.create({ model: job.fine_tuned_model!, ...chat });
  assert(answer.choices[0]!.message.content);
  const listed = (await Array.fromAsync(openai.models.list())).map(({ id }) => id);
  assert(listed.includes("base:first"));
  assertEquals((await openai.files.delete(file.id)).deleted, true);
  await assertRejects(() => jobs.create(kto(file.id, 1)), OpenAI.NotFoundError);
}

Deno.test({
  name:
    "serve trains for OpenAI's SDK, starts a trainer that died again, and takes it along when it is killed or asked to end",
  // The SDK keeps connections open a while after its last answer.
  sanitizeOps: false,
  sanitizeResources: false,
  ignore: Deno.build.os !== "linux",
}, (test) =>
  withFolder(async (folder) => {
    let serve = await startServe(folder);
    const begin = async (epochs: number) => {
      const file = await serve.client.upload(feedbackRows(0, 60));
      return (await serve.client.ask("POST", "/v1/fine_tuning/jobs", kto(file, epochs))).id;
    };
    const lenient = { sanitizeOps: false, sanitizeResources: false };
    try {
      await test.step({
        name: "OpenAI's SDK uploads, trains, follows, lists, cancels, reads metrics and asks the tuned model",
        ...lenient,
        fn: () => trainsWithTheSdk(serve),
      });
      await test.step({
        name: "a trainer that is killed is started again and goes on with the job, and the gateway never notices",
        ...lenient,
        async fn() {
          const id = await begin(30);
          await untilJob(serve.client, id, at("training"));
          const first = await trainerOf(serve);
          Deno.kill(first, "SIGKILL");
          assertEquals((await serve.client.call("GET", "/readyz")).status, 200);
          assertNotStrictEquals(await trainerOf(serve, first), first);
          await untilJob(serve.client, id, succeeded);
        },
      });
      let id: string;
      await test.step({
        name: "killed with SIGKILL, serve leaves no trainer behind",
        ...lenient,
        async fn() {
          id = await begin(1000);
          await untilJob(serve.client, id, at("training"));
          const trainer = await trainerOf(serve);
          await crash(serve.running);
          await untilGone(trainer);
        },
      });
      await test.step({
        name: "SIGTERM to both, as a terminal's Ctrl-C, ends both with 0 and puts the job back into the queue",
        ...lenient,
        async fn() {
          serve = await startServe(folder);
          await untilJob(serve.client, id, at("training"));
          const trainer = await trainerOf(serve);
          Deno.kill(trainer, "SIGTERM");
          serve.running.process.kill("SIGTERM");
          const { code, stderr } = await serve.running.ended;
          assertStrictEquals(code, 0, stderr);
          await untilGone(trainer);
          const database = await openDatabase(join(folder, "data", "prospect.sqlite"));
          assertEquals((await findJob(database, id))?.status, "queued");
          await database.close();
          serve = await startServe(folder);
          const job = await untilJob(serve.client, id, at("training"));
          assert(job.progress.done > 1, "it began from the beginning");
          serve.running.process.kill("SIGTERM");
          assertEquals((await serve.running.ended).code, 0);
        },
      });
    } finally {
      await crash(serve.running);
    }
  }));
