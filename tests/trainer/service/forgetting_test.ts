// A person who is deleted while jobs over their rows run and wait: the jobs end over the rows that are left, and no file of
// the data folder holds the person's words.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { existsSync } from "node:fs";
import {
  at,
  type Client,
  feedbackRows,
  startTrainer,
  succeeded,
  untilJob,
  untilThere,
  withService,
} from "./service_processes.ts";

const words = "Annegret's very own words";

/** Rows of the embedded world, of which every eighth is Ann's. */
const rows = () =>
  feedbackRows(0, 120).trimEnd().split("\n").map((line, i) => {
    const row = JSON.parse(line);
    if (i % 8 !== 0) return { ...row, end_user: "bob" };
    const prompt = typeof row.prompt === "string" ? `${words} ${i}` : [{ role: "user", content: `${words} ${i}` }];
    return { ...row, prompt, end_user: "ann" };
  });
const hers = rows().filter(({ end_user }) => end_user === "ann").length;
const text = rows().map((row) => JSON.stringify(row) + "\n").join("");

/** Files below a folder that hold Ann's words. */
async function holders(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) found.push(...await holders(path));
    else {
      const bytes = await Deno.readFile(path).catch(() => new Uint8Array());
      if (new TextDecoder("latin1").decode(bytes).includes("Annegret")) found.push(path);
    }
  }
  return found;
}

/** What others on this machine may look into. */
async function openToOthers(path: string): Promise<string[]> {
  const { mode, isDirectory } = await Deno.lstat(path).catch(() => ({ mode: 0, isDirectory: false }));
  const found = (mode! & 0o077) === 0 ? [] : [path];
  if (isDirectory) {
    for await (const { name } of Deno.readDir(path)) found.push(...await openToOthers(`${path}/${name}`));
  }
  return found;
}

async function train({ ask }: Client, file: string, epochs: number): Promise<string> {
  const kto = { hyperparameters: { n_epochs: epochs, batch_size: 8, learning_rate: 0.002 } };
  return (await ask("POST", "/v1/fine_tuning/jobs", {
    training_file: file,
    model: "base",
    method: { type: "kto", kto },
  })).id;
}

async function told({ ask }: Client, id: string) {
  const { data } = await ask("GET", `/v1/fine_tuning/jobs/${id}/events?limit=1000`);
  const messages: string[] = data.map(({ message }: { message: string }) => message);
  const steps: number[] = data.filter(({ type }: { type: string }) => type === "metrics")
    .map(({ data }: { data: { step: number } }) => data.step);
  return { anew: messages.filter((message) => /begins anew/.test(message)).length, steps };
}

Deno.test("a person deleted while a job over an upload runs and one over labels waits: both end without their rows, and no byte of their words is left", () =>
  withService(async (client, folder) => {
    const data = `${folder}/data`;
    const imported = await fetch(`${client.address}/v1/feedback/import`, {
      method: "POST",
      body: text,
      headers: { "Content-Type": "application/x-ndjson" },
    });
    assertEquals(imported.status, 201, await imported.text());
    const file = await client.upload(text);
    const running = await train(client, file, 40), waiting = await train(client, "labels", 2);
    startTrainer(folder, "cache");
    await untilJob(client, running, at("training", 3));
    await untilThere(`${data}/runs/${running}/checkpoint/state.safetensors`);
    assert((await holders(data)).length > 1);

    assertStrictEquals((await client.ask("DELETE", "/v1/feedback?end_user=ann")).deleted.labels, hers);
    for (const id of [running, waiting]) {
      const { data } = await untilJob(client, id, succeeded);
      assertStrictEquals(data.train + data.held_out || data.rows, rows().length - hers);
    }
    const first = await told(client, running), second = await told(client, waiting);
    assertEquals(first.anew, 1);
    assertStrictEquals(second.anew, 0, "it had not begun");
    assertEquals(first.steps.length, new Set(first.steps).size);
    assertEquals(Math.max(...first.steps), first.steps.length, "each step is told, of the job as it ended");
    assertEquals(await holders(data), []);
  }));

Deno.test("a person deleted while no trainer is at work is in no file of the jobs that it left, and these go on; till then a run's files are its user's alone", () =>
  withService(async (client, folder) => {
    const data = `${folder}/data`;
    const response = await fetch(`${client.address}/v1/feedback/import`, {
      method: "POST",
      body: text,
      headers: { "Content-Type": "application/x-ndjson" },
    });
    assertEquals(response.status, 201, await response.text());
    const id = await train(client, "labels", 12);
    const dying = startTrainer(folder, "cache");
    await untilJob(client, id, at("training", 3));
    dying.process.kill("SIGTERM");
    await dying.ended;
    assertEquals(await openToOthers(data), []);
    assert(existsSync(`${data}/runs/${id}/checkpoint/state.safetensors`));
    assert((await holders(data)).includes(`${data}/runs/${id}/data.jsonl`));

    await client.ask("DELETE", "/v1/feedback?end_user=ann");
    assertEquals(await holders(data), []);
    startTrainer(folder, "cache");
    assertStrictEquals((await untilJob(client, id, succeeded)).data.rows, rows().length - hers);
    assertEquals((await told(client, id)).anew, 1);
    assertEquals(await holders(data), []);
  }));
