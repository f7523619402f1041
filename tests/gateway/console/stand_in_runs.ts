// The stand-in's files and runs. A running run takes a step whenever a test says so, or by itself at a pace.

import type { OpenAPIHono } from "@hono/zod-openapi";
import type { GatewayEnv } from "../../../services/gateway/gateway.ts";
import { refusal, type Run, type RunEvent, type State, stream, wait } from "./stand_in_state.ts";

const seconds = () => Math.floor(Date.now() / 1000);
const isOver = ({ status }: Run) => !["queued", "running"].includes(status);

/** A new run. */
export function newRun(id: string, fields: Partial<Run> = {}): Run {
  return {
    id,
    status: "queued",
    created_at: seconds(),
    started_at: null,
    finished_at: null,
    model: "base",
    fine_tuned_model: null,
    training_file: "labels",
    suffix: null,
    hyperparameters: { beta: 0.1, n_epochs: 3, batch_size: 16, learning_rate: 0.0005, lora_rank: 8 },
    data: { rows: 412, desirable: 247, undesirable: 165, notes: ["12 contradictions were left out."] },
    gate: null,
    error: null,
    notice: null,
    result_files: [],
    events: [],
    step: 0,
    steps: 120,
    ...fields,
  };
}

/** Adds an event to a run. */
export function tell(run: Run, type: RunEvent["type"], message: string, data: RunEvent["data"] = null): void {
  run.events.push({
    id: `ftevent-${run.id}-${run.events.length}`,
    object: "fine_tuning.job.event",
    created_at: seconds(),
    level: message.startsWith("Careful") ? "warn" : "info",
    type,
    message,
    data,
  });
}

/** One optimizer step, with numbers as training has them. */
export function takeStep(run: Run): void {
  run.step++;
  const { step, steps } = run, part = step / steps, learned = 1 - Math.exp(-3 * part);
  const noise = (size: number) => size * Math.sin(step * 12.9898) * Math.cos(step * 4.1);
  const chosen = 0.9 * learned + noise(0.08), rejected = -1.3 * learned + noise(0.1);
  tell(run, "metrics", `step ${step}`, {
    step,
    epoch: 3 * part,
    loss: 0.5 - 0.27 * learned + noise(0.03),
    kl: Math.max(0, 0.35 * learned + noise(0.04)),
    grad_norm: 1,
    learning_rate: 5e-4 * Math.min(1, part * 20) * (1 - part),
    "rewards/chosen": chosen,
    "rewards/rejected": rejected,
    "rewards/margins": chosen - rejected,
  });
  if (step % Math.floor(steps / 6) === 0) {
    const value = 0.5 + 0.36 * learned;
    tell(run, "message", "Held-out rows were scored.", {
      step,
      auc: { value, low: value - 0.07, high: value + 0.06 },
      margin: 1,
    });
    tell(run, "message", `step ${step}: held-out AUC ${value.toFixed(3)}`);
  }
}

export function addRuns(app: OpenAPIHono<GatewayEnv>, state: State): void {
  const files = new Map<string, { filename: string; bytes: number; purpose: string; content: string }>();
  const find = (id: string | undefined) => state.runs.find((run) => run.id === id);
  const fileDescribed = (id: string) => {
    const { content: _, ...file } = files.get(id) ?? {
      filename: id.replace(/^file-/, ""),
      bytes: 184_320,
      purpose: "fine-tune-results",
      content: "",
    };
    return { id, object: "file", created_at: seconds(), status: "processed", ...file };
  };
  const described = ({ events: _, step, steps, ...run }: Run) => {
    const open = state.runs.filter((run) => !isOver(run)).toReversed();
    const position = open.findIndex(({ id }) => id === run.id);
    const progress = run.status === "running"
      ? { label: "Training", done: step, total: steps, unit: "steps", rate: 2, eta_seconds: (steps - step) / 2 }
      : null;
    return {
      object: "fine_tuning.job",
      ...run,
      method: { type: "kto", kto: { hyperparameters: run.hyperparameters } },
      organization_id: "prospect",
      validation_file: null,
      integrations: [],
      estimated_finish: null,
      seed: 0,
      metadata: null,
      trained_tokens: null,
      position: position < 0 ? null : position,
      progress,
    };
  };
  app.post("/v1/files", async (context) => {
    const { file, purpose } = await context.req.parseBody() as { file: File; purpose: string };
    const id = `file-${crypto.randomUUID()}`;
    files.set(id, { filename: file.name, bytes: file.size, purpose, content: await file.text() });
    state.received.push({ request: "POST /v1/files", body: files.get(id) });
    return context.json(fileDescribed(id));
  });
  app.get("/v1/files/:id", (context) => context.json(fileDescribed(context.req.param("id"))));
  app.get("/v1/files/:id/content", (context) => context.body(`the content of ${context.req.param("id")}`));
  app.post("/v1/fine_tuning/jobs", async (context) => {
    const body = await context.req.json();
    state.received.push({ request: "POST /v1/fine_tuning/jobs", body });
    const run = newRun(`ftjob-${state.runs.length + 1}`, {
      training_file: body.training_file,
      model: body.model,
      suffix: body.suffix ?? null,
      hyperparameters: body.method.kto.hyperparameters,
    });
    if (state.runs.every(isOver)) Object.assign(run, { status: "running", started_at: seconds() });
    tell(run, "message", "The run is in the queue.");
    state.runs.unshift(run);
    return context.json(described(run));
  });
  app.get("/v1/trainer", (context) => {
    const { trainerSilence: silent_seconds } = state;
    return context.json({
      object: "trainer",
      at_work: silent_seconds !== null && silent_seconds < 30,
      last_seen: silent_seconds === null ? null : Date.now() - 1000 * silent_seconds,
      silent_seconds,
    });
  });
  app.get("/v1/fine_tuning/jobs", (context) => {
    const limit = Number(context.req.query("limit") ?? 20);
    return context.json({
      object: "list",
      data: state.runs.slice(0, limit).map(described),
      has_more: state.runs.length > limit,
    });
  });
  app.get("/v1/fine_tuning/jobs/:id", (context) => {
    const run = find(context.req.param("id"));
    return run ? context.json(described(run)) : context.json(refusal("There is no such job."), 404);
  });
  app.post("/v1/fine_tuning/jobs/:id/cancel", (context) => {
    const run = find(context.req.param("id"))!;
    Object.assign(run, { status: "cancelled", finished_at: seconds() });
    return context.json(described(run));
  });
  app.get("/v1/fine_tuning/jobs/:id/events", (context) => {
    const run = find(context.req.param("id"))!;
    async function* live() {
      for (let at = 0;;) {
        while (at < run.events.length) yield run.events[at++];
        if (isOver(run)) return;
        const { step, steps } = run;
        const data = {
          label: "Training",
          done: step,
          total: steps,
          unit: "steps",
          rate: 2,
          eta_seconds: (steps - step) / 2,
        };
        yield {
          id: `progress-${Date.now()}`,
          type: "progress",
          level: "info",
          message: "",
          created_at: seconds(),
          data,
        };
        await wait(20);
      }
    }
    return stream(live());
  });
}
