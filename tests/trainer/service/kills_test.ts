// The trainer killed at every moment of a job's life while the gateway goes on: each job ends as if nothing had happened.

import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { existsSync } from "node:fs";
import {
  at,
  type Body,
  type Client,
  crash,
  feedbackRows,
  numbersOf,
  pause,
  startTrainer,
  succeeded,
  untilJob,
  untilThere,
  withService,
} from "./service_processes.ts";

/** A client that asks without end, whatever happens to the trainer. */
function keepAsking({ call }: Client) {
  const statuses: number[] = [];
  let over = false;
  const ask = { model: "prospect", messages: [{ role: "user", content: "hello" }], max_tokens: 4 };
  const asking = (async () => {
    while (!over) {
      statuses.push((await call("POST", "/v1/chat/completions", ask)).status);
      await pause(50);
    }
  })();
  return {
    statuses,
    async [Symbol.asyncDispose]() {
      over = true;
      await asking;
    },
  };
}

/** Steps as a job's events tell them. One that a kill kept from being told comes late, hence in order. */
async function stepsTold({ ask }: Client, id: string): Promise<unknown[]> {
  const { data, has_more } = await ask("GET", `/v1/fine_tuning/jobs/${id}/events?limit=1000`);
  assertEquals(has_more, false);
  return data.filter(({ type }: Body) => type === "metrics").map(({ data }: Body) => data.step)
    .sort((a: number, b: number) => a - b);
}

Deno.test("a job whose trainer is killed in the queue, in scoring, in training, in export and at the gate ends with the numbers of an undisturbed one, and the gateway answers all along", () =>
  withService(async (client, folder) => {
    await using asking = keepAsking(client);
    const file = await client.upload(feedbackRows(0, 240));
    const create = async () =>
      (await client.ask("POST", "/v1/fine_tuning/jobs", {
        training_file: file,
        model: "base",
        seed: 5,
        method: { type: "kto", kto: { hyperparameters: { n_epochs: 6, batch_size: 8, learning_rate: 0.002 } } },
      })).id;

    const first = startTrainer(folder, "cache of the disturbed");
    const id = await create();
    await crash(first);
    const waiting = await client.ask("GET", `/v1/fine_tuning/jobs/${id}`);
    assert(["queued", "running"].includes(waiting.status) && waiting.position === 0);
    const run = `${folder}/data/runs/${id}`;
    const moments = [
      () => untilJob(client, id, at("reference")),
      () => untilJob(client, id, at("training", 3)),
      () => untilThere(`${run}/adapter`),
      // Of the last that a run writes: the gate comes next.
      () => untilThere(`${run}/run.json`),
    ];
    for (const moment of moments) {
      const trainer = startTrainer(folder, "cache of the disturbed");
      await moment();
      await crash(trainer);
    }
    assertEquals((await client.ask("GET", `/v1/fine_tuning/jobs/${id}`)).status, "running");

    const second = startTrainer(folder, "cache of the disturbed");
    const disturbed = await untilJob(client, id, succeeded);
    await crash(second);

    const third = startTrainer(folder, "cache of the undisturbed");
    const undisturbed = await create();
    // A signal to end: the job is given back, and the one who comes next goes on with it.
    await untilJob(client, undisturbed, at("training", 3));
    third.process.kill("SIGTERM");
    assertEquals((await third.ended).code, 0);
    const returned = await client.ask("GET", `/v1/fine_tuning/jobs/${undisturbed}`);
    assertEquals([returned.status, returned.position, returned.progress], ["queued", 0, null]);
    startTrainer(folder, "cache of the undisturbed");
    const whole = await untilJob(client, undisturbed, succeeded);
    // There is one at a time, and it says so.
    const rival = await startTrainer(folder, "cache").ended;
    assertEquals(rival.code, 2, rival.stderr);
    assertMatch(rival.stderr, /^\S+data: another trainer is at work on this data folder; .*\.\n$/);
    const twin = await untilJob(client, await create(), succeeded);

    const numbers = async (job: Body) => numbersOf(await client.result(job, "metrics.jsonl"));
    const expected = await numbers(twin);
    assert(expected.length > 40, `${expected.length} steps`);
    for (const job of [disturbed, whole]) {
      assertEquals(await numbers(job), expected);
      const weights = (of: Body) => client.result(of, "adapter_model.safetensors");
      assertEquals(await weights(job), await weights(twin), "the adapter differs");
      assertEquals(job.gate, twin.gate);
      assertStrictEquals(job.trained_tokens, twin.trained_tokens);
      assertEquals(await stepsTold(client, job.id), expected.map(({ step }) => step));
      assertEquals(job.data, twin.data);
      assertMatch(job.data.notes[0], /^thumbs\.jsonl: 240 rows/);
      const left = (name: string) => existsSync(`${folder}/data/runs/${job.id}/${name}`);
      assertEquals(["run.json", "held_out.jsonl", "checkpoint/state.safetensors"].map(left), [true, false, false]);
    }
    const { statuses } = asking;
    assert(statuses.length > 50, `${statuses.length} answers`);
    assertEquals(statuses.filter((status) => status !== 200), []);
  }));

Deno.test("a job that is cancelled while its trainer is dead is not begun again, and leaves nothing to go on with", () =>
  withService(async (client, folder) => {
    const file = await client.upload(feedbackRows(0, 120));
    const { id } = await client.ask("POST", "/v1/fine_tuning/jobs", {
      training_file: file,
      model: "base",
      method: { type: "kto", kto: { hyperparameters: { n_epochs: 1000, batch_size: 8 } } },
    });
    const dying = startTrainer(folder, "cache");
    await untilJob(client, id, at("training", 2));
    const refused = await client.call("DELETE", `/v1/files/${file}`);
    assertEquals([refused.status, refused.body.error.code], [409, "in_use"]);
    await crash(dying);
    assertEquals((await client.ask("POST", `/v1/fine_tuning/jobs/${id}/cancel`)).status, "running");
    const trainer = startTrainer(folder, "cache");
    await untilJob(client, id, ({ status }) => status === "cancelled");
    trainer.process.kill("SIGTERM");
    assertEquals((await trainer.ended).code, 0);
    assert(!existsSync(`${folder}/data/runs/${id}/checkpoint/state.safetensors`));
    assertEquals((await client.ask("DELETE", `/v1/files/${file}`)).deleted, true);
  }));
