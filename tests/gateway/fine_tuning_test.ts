// /v1/fine_tuning/jobs over the app: what is refused and in which words, the queue as clients see it, events page by page
// and live, and who may train at all.

import { assert, assertEquals, assertMatch, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { addEvent, addJob, findJob, finishJob, listJobs, noteProgress, takeJob } from "../../shared/store/jobs.ts";
import { createKey } from "../../shared/store/keys.ts";
import { noteTrainer } from "../../shared/store/presence.ts";
import { registerAdapter } from "../../shared/store/registry.ts";
import { eventsOf, type OpenGateway, withGateway } from "./open_gateway.ts";
import { adapterNamed, jobRequest } from "./registered.ts";

const jobs = "/v1/fine_tuning/jobs";
const row = '{"prompt":"a","completion":"b","label":true}';

/** Uploads rows. @returns the file's id */
async function upload({ fetch }: OpenGateway, text: string, name = "thumbs.jsonl"): Promise<string> {
  const form = new FormData();
  form.set("purpose", "fine-tune");
  form.set("file", new File([text], name));
  const response = await fetch(new Request("http://localhost/v1/files", { method: "POST", body: form }));
  assertEquals(response.status, 200);
  return (await response.json()).id;
}

/** A thumb on a new answer. */
async function press({ call }: OpenGateway): Promise<void> {
  const ask = { model: "base", messages: [{ role: "user", content: "hello" }] };
  const { json } = await call("POST", "/v1/chat/completions", ask);
  assertEquals((await call("POST", "/v1/feedback", { completion_id: json.id, label: true })).status, 201);
}

const queued = async ({ gateway }: OpenGateway) => (await listJobs(gateway.database, 100)).length;

Deno.test("a job over a file is OpenAI's job object, waits its turn, and is there to list and to retrieve", async () => {
  await withGateway({}, async (open) => {
    const training_file = await upload(open, row);
    const hyperparameters = { beta: 0.2, n_epochs: "auto", batch_size: 4, learning_rate_multiplier: 2, lora_rank: 4 };
    const body = {
      training_file,
      model: "base",
      seed: 7,
      suffix: "mine",
      method: { type: "kto", kto: { hyperparameters } },
      metadata: { who: "ann" },
    };
    const { status, json } = await open.call("POST", jobs, body);
    assertEquals(status, 200, JSON.stringify(json));
    const { id, created_at, ...rest } = json;
    assertMatch(id, /^ftjob-/);
    assert(Math.abs(created_at - Date.now() / 1000) < 60);
    assertEquals(rest, {
      object: "fine_tuning.job",
      started_at: null,
      finished_at: null,
      model: "base",
      fine_tuned_model: null,
      organization_id: "prospect",
      status: "queued",
      training_file,
      validation_file: null,
      result_files: [],
      trained_tokens: null,
      error: null,
      hyperparameters,
      method: { type: "kto", kto: { hyperparameters } },
      seed: 7,
      suffix: "mine",
      metadata: { who: "ann" },
      estimated_finish: null,
      integrations: [],
      position: 0,
      notice: "No trainer has been seen yet: the job waits until one is at work (deno task trainer, or serve).",
      progress: null,
      data: null,
      gate: null,
    });
    const second = (await open.call("POST", jobs, { training_file, model: "base", seed: null, suffix: null })).json;
    assertEquals([second.position, second.seed], [1, 0]);
    const page = (await open.call("GET", `${jobs}?limit=1`)).json;
    assertEquals([page.data.map((job: { id: string }) => job.id), page.has_more], [[second.id], true]);
    const next = (await open.call("GET", `${jobs}?limit=1&after=${second.id}`)).json;
    assertEquals([next.data, next.has_more], [[json], false]);
    assertEquals((await open.call("GET", `${jobs}/${id}`)).json, json);
  });
});

Deno.test("rows that cannot be trained on are refused before the job is queued, by the file's own name and the line", async () => {
  await withGateway({}, async (open) => {
    const cases: [string, RegExp][] = [
      [`${row}\n${row}\n{broken\n`, /^my\.jsonl:3: /],
      [`${row}\n{"prompt":"a","completion":"b","label":"maybe"}\n`, /^my\.jsonl:2: /],
      ["", /^my\.jsonl is empty: /],
      ["\0\0\0\u0001binary", /^my\.jsonl:1: /],
    ];
    for (const [text, message] of cases) {
      const training_file = await upload(open, text, "my.jsonl");
      const { status, json } = await open.call("POST", jobs, { training_file, model: "base" });
      const { param, code, message: said } = json.error;
      assertEquals([status, param, code], [400, "training_file", "invalid_training_file"], JSON.stringify(text));
      assertMatch(said, message);
      assert(!said.includes(open.folder) && !said.includes(training_file), said);
    }
    assertStrictEquals(await queued(open), 0);
  });
});

Deno.test("each field that cannot be used is refused by its name, and nothing is queued", async () => {
  await withGateway({}, async (open) => {
    const training_file = await upload(open, row), good = { training_file, model: "base" };
    const kto = (hyperparameters: unknown) => ({ ...good, method: { type: "kto", kto: { hyperparameters } } });
    const refused: [unknown, number, string | null][] = [
      [{ model: "base" }, 400, "training_file"],
      [{ training_file }, 400, "model"],
      [{ ...good, training_file: "file-none" }, 404, "training_file"],
      [{ ...good, training_file: "labels" }, 400, "training_file"],
      [{ ...good, model: "prospect" }, 404, "model"],
      [{ ...good, model: "base:none" }, 404, "model"],
      [{ ...good, model: "gpt-9" }, 404, "model"],
      [{ ...good, hyperparameters: { n_epochs: 1 } }, 400, "hyperparameters"],
      [{ ...good, validation_file: training_file }, 400, "validation_file"],
      [{ ...good, integrations: [{ type: "wandb" }] }, 400, "integrations"],
      [{ ...good, surprise: 1 }, 400, "surprise"],
      [{ ...good, seed: -1 }, 400, "seed"],
      [{ ...good, seed: 1.5 }, 400, "seed"],
      [{ ...good, suffix: "a b" }, 400, "suffix"],
      [{ ...good, suffix: "../up" }, 400, "suffix"],
      [{ ...good, labels: { tag: "x" } }, 400, "labels"],
      [{ ...good, method: { type: "dpo" } }, 400, "method.type"],
      [{ ...good, method: { type: "supervised" } }, 400, "method.type"],
      [kto({ gamma: 1 }), 400, "method.kto.hyperparameters.gamma"],
      [kto({ beta: 0 }), 400, "method.kto.hyperparameters.beta"],
      [kto({ n_epochs: 1.5 }), 400, "method.kto.hyperparameters.n_epochs"],
      [
        kto({ learning_rate: 1, learning_rate_multiplier: 1 }),
        400,
        "method.kto.hyperparameters.learning_rate_multiplier",
      ],
      [kto({ beta: "wide" }), 400, "method.kto.hyperparameters.beta"],
      [{ model: "base", labels: true }, 400, "labels"],
      [{ model: "base", labels: { tags: "x" } }, 400, "labels.tags"],
      [{ model: "base", labels: { since: -1 } }, 400, "labels.since"],
      [{ model: "base", labels: "all" }, 400, "labels"],
      [{ ...good, metadata: { a: 1 } }, 400, "metadata.a"],
      [{ ...good, metadata: { ["k".repeat(65)]: "v" } }, 400, "metadata"],
    ];
    for (const [body, status, param] of refused) {
      const answer = await open.call("POST", jobs, body);
      assertEquals([answer.status, answer.json.error.param], [status, param], JSON.stringify(body));
    }
    const none = await open.call("POST", jobs, { ...good, training_file: "labels" });
    assertMatch(none.json.error.message, /no labels to train on yet; press some thumbs first/);
    const alias = await open.call("POST", jobs, { ...good, model: "prospect" });
    assertMatch(alias.json.error.message, /starts from base or from base:ADAPTER/);
    const other = await open.call("POST", jobs, { ...good, method: { type: "dpo" } });
    assertMatch(other.json.error.message, /only "kto" can be trained/);
    assertStrictEquals(await queued(open), 0);
    const nothing = { integrations: [], hyperparameters: { n_epochs: "auto" }, validation_file: null };
    assertEquals((await open.call("POST", jobs, { ...good, ...nothing })).status, 200);
  });
});

Deno.test("a job over the labels trains on those that were there when it was made", async () => {
  await withGateway({}, async (open) => {
    await press(open);
    const labels = { max_age_days: 30, drop_contradictions: true };
    const { status, json } = await open.call("POST", jobs, { training_file: "labels", model: "base", labels });
    assertEquals(status, 200);
    await press(open);
    const later = (await open.call("POST", jobs, { training_file: "labels", model: "base" })).json;
    const first = (await findJob(open.gateway.database, json.id))!;
    const second = (await findJob(open.gateway.database, later.id))!;
    assert(second.watermark! > first.watermark!);
    assertEquals(first.request.labels, labels);
    assertEquals(first.request.promote, false, "no client's job promotes by itself");
  });
});

Deno.test("a waiting job is cancelled at once, and one that is over cannot be", async () => {
  await withGateway({}, async (open) => {
    const { database } = open.gateway;
    const running = await addJob(database, jobRequest, 1), waiting = await addJob(database, jobRequest, 1);
    await takeJob(database);
    const cancel = (id: string) => open.call("POST", `${jobs}/${id}/cancel`);
    const cancelled = (await cancel(waiting.id)).json;
    assertEquals([cancelled.status, cancelled.position], ["cancelled", null]);
    assert(cancelled.finished_at !== null);
    assertEquals([(await cancel(running.id)).json.status, (await cancel(running.id)).status], ["running", 200]);
    assertEquals((await findJob(database, running.id))!.cancelling, true);
    const over = await cancel(waiting.id);
    assertEquals([over.status, over.json.error.code], [400, "job_over"]);
    for (const [method, path] of [["GET", ""], ["POST", "/cancel"], ["GET", "/events"], ["GET", "/checkpoints"]]) {
      const { status, json } = await open.call(method!, `${jobs}/ftjob-none${path}`);
      assertEquals([status, json.error.code], [404, "job_not_found"], path!);
    }
  });
});

Deno.test("whoever asks for a job while no trainer is at work is told so, in the job and in its events", async () => {
  await withGateway({}, async (open) => {
    const { database } = open.gateway;
    const training_file = await upload(open, row);
    const create = async () => (await open.call("POST", jobs, { training_file, model: "base" })).json;
    const told = async (id: string) =>
      (await open.call("GET", `${jobs}/${id}/events`)).json.data.map(({ message }: { message: string }) => message);
    const first = await create();
    assertMatch(first.notice, /^No trainer has been seen yet/);
    assertEquals(await told(first.id), [first.notice, "The job waits for its turn."]);
    await noteTrainer(database);
    assertEquals((await open.call("GET", `${jobs}/${first.id}`)).json.notice, null);
    const second = await create();
    assertEquals([second.notice, await told(second.id)], [null, ["The job waits for its turn."]]);
    await takeJob(database);
    await database.run("UPDATE presence SET seen_at = seen_at - 3600000 WHERE service = 'trainer'");
    for (const { notice } of (await open.call("GET", jobs)).json.data) assertMatch(notice, /seen for 360\d s/);
    const cancelled = await open.call("POST", `${jobs}/${second.id}/cancel`);
    assertEquals([cancelled.json.status, cancelled.json.notice], ["cancelled", null]);
  });
});

Deno.test("pages of events go from the newest to the oldest, each event once, also while more come", async () => {
  await withGateway({}, async (open) => {
    const { database } = open.gateway;
    const { id } = await addJob(database, jobRequest, 1);
    const say = (message: string) => addEvent(database, id, { level: "info", type: "message", message });
    for (let i = 0; i < 6; i++) await say(`news ${i}`);
    const seen: string[] = [];
    for (let after = "";;) {
      const { json } = await open.call("GET", `${jobs}/${id}/events?limit=3${after}`);
      seen.push(...json.data.map(({ message }: { message: string }) => message));
      await say("later");
      if (!json.has_more) break;
      after = `&after=${json.data.at(-1).id}`;
    }
    assertEquals(seen, [5, 4, 3, 2, 1, 0].map((i) => `news ${i}`).concat("The job waits for its turn."));
    for (const after of ["nonsense", "ftevent-", "ftevent-1e9", "ftevent-9999999999999999"]) {
      const { status, json } = await open.call("GET", `${jobs}/${id}/events?after=${after}`);
      assertEquals([status, json.error.param], [400, "after"], after);
    }
  });
});

Deno.test("live events tell all that was, then what comes, how far it is, and end with the job", async () => {
  await withGateway({}, async (open) => {
    const { database } = open.gateway;
    const { id } = await addJob(database, jobRequest, 1);
    await takeJob(database);
    const response = await open.fetch(new Request(`http://localhost${jobs}/${id}/events?stream=true`));
    assertMatch(response.headers.get("Content-Type")!, /^text\/event-stream/);
    const text = response.text();
    const step = (step: number) =>
      addEvent(database, id, { level: "info", type: "metrics", step, message: `Step ${step}`, data: { step } });
    await step(1);
    const progress = { label: "training", done: 1, total: 2, unit: "steps", rate: 2, etaSeconds: 0.5 };
    await noteProgress(database, id, progress, true);
    await new Promise((resolve) => setTimeout(resolve, 600));
    await step(2);
    await database.write((queries) => finishJob(queries, id, "succeeded", {}));
    // deno-lint-ignore no-explicit-any -- events as clients read them
    const events = eventsOf(await text) as any[];
    assertEquals(events.pop(), "[DONE]");
    assertEquals(events.map(({ type, message }) => `${type} ${message}`), [
      "message The job waits for its turn.",
      "metrics Step 1",
      "progress training: 1 of 2 steps",
      "metrics Step 2",
      "message The job succeeded.",
    ]);
    assertEquals(events[2].data, {
      label: "training",
      done: 1,
      total: 2,
      unit: "steps",
      rate: 2,
      eta_seconds: 0.5,
    });
    const again = await open.call("GET", `${jobs}/${id}/events?stream=true`);
    assertEquals(eventsOf(again.text).at(-1), "[DONE]", "of a job that is over they end at once");
  });
});

Deno.test("live events of a job that goes on end when the client hangs up, and with a sentence when the gateway drains", async () => {
  await withGateway({}, async (open) => {
    const { id } = await addJob(open.gateway.database, jobRequest, 1);
    const gone = new AbortController();
    const follow = (signal?: AbortSignal) =>
      open.fetch(new Request(`http://localhost${jobs}/${id}/events?stream=true`, { signal: signal ?? null }));
    const left = (await follow(gone.signal)).text();
    gone.abort();
    assertEquals(eventsOf(await left).length, 2, "one event, and the end");
    const text = (await follow()).text();
    open.gateway.engine = undefined;
    // deno-lint-ignore no-explicit-any -- events as clients read them
    const last = eventsOf(await text).at(-1) as any;
    assertMatch(last.error.message, /gateway is ending/);
  });
});

Deno.test("a job that succeeded has its model as a checkpoint and the gate's verdict, and one that failed says why", async () => {
  await withGateway({}, async (open) => {
    const { database } = open.gateway;
    const job = await addJob(database, jobRequest, 1), bad = await addJob(database, jobRequest, 1);
    assertEquals((await open.call("GET", `${jobs}/${job.id}/checkpoints`)).json.data, []);
    const adapter = adapterNamed("mine", { jobId: job.id });
    await database.write(async (queries) => {
      await registerAdapter(queries, adapter);
      await finishJob(queries, job.id, "succeeded", {
        outcome: { adapter: "mine", trainedTokens: 99, files: ["file-1", "file-2"] },
      });
      const error = { code: "invalid_training_data", message: "Every row is desirable." };
      await finishJob(queries, bad.id, "failed", { error });
    });
    const { json } = await open.call("GET", `${jobs}/${job.id}`);
    assertEquals([json.status, json.fine_tuned_model, json.trained_tokens], ["succeeded", "base:mine", 99]);
    assertEquals([json.result_files, json.gate, json.position], [["file-1", "file-2"], adapter.gate, null]);
    const [checkpoint, ...more] = (await open.call("GET", `${jobs}/${job.id}/checkpoints`)).json.data;
    assertEquals(more, []);
    assertEquals([checkpoint.fine_tuned_model_checkpoint, checkpoint.step_number], ["base:mine", 6]);
    const failed = (await open.call("GET", `${jobs}/${bad.id}`)).json;
    assertEquals(failed.status, "failed");
    assertEquals(failed.error, {
      code: "invalid_training_data",
      message: "Every row is desirable.",
      param: null,
    });
  });
});

/** All that changes models, traffic or files, and all that shows people's words. */
const adminOnly: [method: string, path: string, body?: unknown][] = [
  ["POST", jobs, { training_file: "labels", model: "base" }],
  ["GET", jobs],
  ["GET", `${jobs}/x`],
  ["POST", `${jobs}/x/cancel`],
  ["GET", `${jobs}/x/events`],
  ["GET", `${jobs}/x/events?stream=true`],
  ["GET", `${jobs}/x/checkpoints`],
  ["POST", "/v1/files", "no form"],
  ["GET", "/v1/files"],
  ["GET", "/v1/files/x"],
  ["GET", "/v1/files/x/content"],
  ["DELETE", "/v1/files/x"],
  ["GET", "/v1/registry"],
  ["POST", "/v1/registry/promote", { model: "base:good" }],
  ["POST", "/v1/registry/rollback", {}],
  ["DELETE", "/v1/registry/good"],
  ["GET", "/v1/aliases"],
  ["PUT", "/v1/aliases/prospect", { arms: [{ model: "base:good", weight: 1 }] }],
  ["DELETE", "/v1/aliases/prospect"],
  ["PUT", "/v1/adapters/good", { path: "/x" }],
  ["GET", "/v1/feedback/export"],
  ["GET", "/v1/answers"],
  ["GET", "/v1/answers/x"],
];

Deno.test("keys for inference and for feedback, also both in one, can neither train, promote, upload, export nor set aliases; admin can", async () => {
  await withGateway({ options: { keysRequired: true, hosts: undefined } }, async (open) => {
    const { database } = open.gateway;
    await registerAdapter(database, adapterNamed("good"));
    const state = async () =>
      JSON.stringify([await open.gateway.database.all("SELECT * FROM aliases"), await queued(open), await listed()]);
    const listed = () => open.gateway.database.all("SELECT * FROM adapters");
    const before = await state();
    for (const scopes of [["inference"], ["feedback"], ["inference", "feedback"]] as const) {
      const { secret } = await createKey(database, { scopes });
      for (const [method, path, body] of adminOnly) {
        // Spellings that a router might take for the same.
        for (const spelt of [path, path.replace("/v1/", "/v1//"), path.replace("/v1/", "/V1/")]) {
          const { status } = await open.call(method, spelt, body, { Authorization: `Bearer ${secret}` });
          assert(spelt === path ? status === 403 : [403, 404].includes(status), `${method} ${spelt}: ${status}`);
        }
      }
    }
    assertStrictEquals(await state(), before);
    const { secret } = await createKey(database, { scopes: ["admin"] });
    for (const [method, path, body] of adminOnly) {
      const { status } = await open.call(method, path, body, { Authorization: `Bearer ${secret}` });
      assert(![401, 403, 500].includes(status), `${method} ${path}: ${status}`);
    }
    assertNotStrictEquals(await state(), before);
  });
});
