// The stand-in's adapters, promotion behind the gate, and traffic.

import type { OpenAPIHono } from "@hono/zod-openapi";
import type { GatewayEnv } from "../../../services/gateway/gateway.ts";
import { differenceInterval, estimateRate, rateInterval, type Tally } from "../../../shared/statistics/rates.ts";
import { sequentialVerdict } from "../../../shared/statistics/sequential.ts";
import { type Adapter, type Arm, type Gate, type Promotion, refusal, type State } from "./stand_in_state.ts";

/** A gate's verdict over its rules, with what became of the answers. */
export function gate(value: number, failing: Record<string, string> = {}): Gate {
  const auc = { value, low: value - 0.06, high: value + 0.05 };
  const passing = {
    "auc-above-chance": `Held-out AUC is ${value.toFixed(2)}; its interval begins at ${auc.low.toFixed(2)}, above 0.5.`,
    "auc-above-current": "On the same rows the current model has 0.64; the difference is 0.11 (0.03 to 0.19).",
    "kl-within-budget": "KL to the base is 0.31 nats a token; the budget is 1.",
    "no-degeneration": "Probe answers have 0.9 times the base's length and repeat nothing.",
    "length-within-bound": "Answers to 64 held-out prompts have 31.2 tokens, before 24.0 (1.30 times): not bounded.",
    "refusals-within-bound": "2 of 64 (3%) answers refuse by their words, before 6: not bounded.",
    "agreement-within-bound": "9 of 12 (75%) answers open by agreeing by their words, before 7: not bounded.",
  };
  const rate = (prompts: number, before: number, after: number) => ({
    prompts,
    before,
    after,
    difference: { low: -0.1, high: 0.2 },
  });
  const behaviour = {
    prompts: 64,
    tokens: { before: 24, after: 31.2, ratio: 1.3, difference: { low: 4.1, high: 10.3 } },
    words: { before: 18, after: 23.5, ratio: 1.31, difference: { low: 3.2, high: 7.8 } },
    cut_off: rate(64, 0, 1),
    refusals: rate(64, 6, 2),
    agreement: rate(12, 7, 9),
  };
  const findings = Object.entries(passing).map(([rule, message]) => ({
    rule,
    passed: !(rule in failing),
    message: failing[rule] ?? message,
  }));
  return { passed: findings.every(({ passed }) => passed), auc, findings, behaviour };
}

/** An adapter with its lineage. */
export function newAdapter(name: string, parent: string, created_at: number, verdict: Gate | null): Adapter {
  return {
    name,
    fits: true,
    model: `base:${name}`,
    created_at,
    parent,
    job_id: `ftjob-${name}`,
    data: { rows: 412 },
    metrics: { loss: 0.231, kl: 0.31, auc: verdict?.auc ?? null },
    gate: verdict,
    files: { adapter_config: "file-adapter_config.json", adapter_model: "file-adapter_model.safetensors" },
  };
}

/** What was told of each version of an arm; the first of a model is the one that its name means now. */
const told: {
  model: string;
  base: string;
  version: string | null;
  answers: number;
  people: number;
  tallies: Tally[];
}[] = [
  {
    model: "base",
    base: "tiny@5d41402abc4b2a76",
    version: null,
    answers: 1240,
    people: 410,
    tallies: [
      { thumbs: 3, desirable: 2, people: 40 },
      { thumbs: 3, desirable: 1, people: 41 },
      { thumbs: 3, desirable: 0, people: 25 },
    ],
  },
  {
    model: "base:kind-1",
    base: "tiny@5d41402abc4b2a76",
    version: "7d793037a0760186",
    answers: 803,
    people: 262,
    tallies: [
      { thumbs: 3, desirable: 3, people: 25 },
      { thumbs: 3, desirable: 2, people: 30 },
      { thumbs: 3, desirable: 1, people: 6 },
      { thumbs: 3, desirable: 0, people: 7 },
    ],
  },
  {
    model: "base:kind-1",
    base: "tiny@5d41402abc4b2a76",
    version: "b026324c6904b2a9",
    answers: 61,
    people: 20,
    tallies: [{ thumbs: 1, desirable: 1, people: 9 }, { thumbs: 1, desirable: 0, people: 8 }],
  },
];

/** The arms of an alias as /v1/experiments has them. */
function experimentOf([alias, arms]: [string, Arm[]]) {
  const total = arms.reduce((sum, { weight }) => sum + weight, 0);
  const unknown = arms.filter(({ model }) => !told.some((row) => row.model === model)).map(({ model }) => ({
    ...told[0]!,
    model,
    version: "1",
    answers: 0,
    people: 0,
    tallies: [],
  }));
  const rows = [...told, ...unknown], reference = estimateRate(rows[0]!.tallies)!;
  return {
    alias,
    arms: rows.map(({ model, base, version, answers, people, tallies }, i) => {
      const estimate = estimateRate(tallies), current = rows.findIndex((row) => row.model === model) === i;
      const weight = current ? arms.find((arm) => arm.model === model)?.weight ?? 0 : 0;
      const verdict = estimate ? sequentialVerdict(estimate, reference, 0) : notYet;
      return {
        model,
        base,
        adapter_version: version,
        current,
        weight: 100 * weight / total,
        answers,
        people,
        answers_to_nobody: 0,
        judged_answers: estimate?.thumbs ?? 0,
        judged: estimate?.thumbs ?? 0,
        desirable: estimate?.desirable ?? 0,
        judges: estimate?.people ?? 0,
        judged_by_nobody: 0,
        rate: estimate && { value: estimate.value, effective: estimate.effective, ...rateInterval(estimate) },
        reference: i === 0,
        difference: i === 0 || !estimate
          ? null
          : { value: estimate.value - reference.value, ...differenceInterval(estimate, reference, 0) },
        verdict: i === 0 ? null : { ...verdict, message: `${verdict.result}, in the service's words` },
      };
    }),
  };
}

const notYet = { result: "cannot tell yet" as const, low: -1, high: 1 };

export function addRegistry(app: OpenAPIHono<GatewayEnv>, state: State): void {
  const current = () => state.promotions.at(-1)?.to ?? "base";
  const described = () => ({
    object: "registry",
    alias: "prospect",
    current: current(),
    previous: state.promotions.at(-1)?.from ?? null,
    adapters: state.adapters.map((adapter) => ({
      ...adapter,
      version: "1",
      promoted_at: null,
      state: adapter.model === current()
        ? "current"
        : state.promotions.some(({ to }) => to === adapter.model)
        ? "retired"
        : "candidate",
    })),
    promotions: state.promotions.map((promotion) => ({ ...promotion, version: null })),
  });
  const move = (fields: Omit<Promotion, "at" | "from" | "by">) => {
    state.promotions.push({ at: Date.now(), from: current(), by: null, ...fields });
    state.aliases.set("prospect", [{ model: fields.to, weight: 1 }]);
  };
  app.get("/v1/registry", (context) => context.json(described()));
  app.post("/v1/registry/promote", async (context) => {
    const body = await context.req.json();
    state.received.push({ request: "POST /v1/registry/promote", body });
    const adapter = state.adapters.find(({ model }) => model === body.model);
    if (!adapter) return context.json(refusal("There is no such model."), 404);
    const passed = adapter.gate?.passed === true;
    if (!passed && !body.override) {
      return context.json({ ...refusal("The gate has not passed.", "gate_not_passed"), gate: adapter.gate }, 409);
    }
    if (!passed && !body.reason) return context.json(refusal("An override needs a reason."), 400);
    move({ kind: "promote", to: body.model, reason: body.reason ?? null, override: !passed });
    return context.json(described());
  });
  app.post("/v1/registry/rollback", async (context) => {
    const { reason = null } = await context.req.json();
    const { previous } = described();
    if (previous === null) return context.json(refusal("There is nothing to go back to."), 409);
    move({ kind: "rollback", to: previous, reason, override: false });
    return context.json(described());
  });
  app.delete("/v1/registry/:name", (context) => {
    state.adapters = state.adapters.filter(({ name }) => name !== context.req.param("name"));
    return context.json(described());
  });
  app.put("/v1/aliases/:name", async (context) => {
    const { arms } = await context.req.json<{ arms: Arm[] }>();
    state.received.push({ request: `PUT /v1/aliases/${context.req.param("name")}`, body: { arms } });
    state.aliases.set(context.req.param("name"), arms);
    return context.json({ name: context.req.param("name"), arms });
  });
  app.get("/v1/experiments", (context) => context.json({ object: "list", data: [...state.aliases].map(experimentOf) }));
}
