// The stand-in's answers and thumbs.

import type { OpenAPIHono } from "@hono/zod-openapi";
import type { GatewayEnv } from "../../../services/gateway/gateway.ts";
import { type Answer, refusal, type State, type Thumb } from "./stand_in_state.ts";

/** Keeps a thumb; a second one of the same person on the same choice replaces the first. */
export function giveThumb(state: State, body: Partial<Thumb> & { completion_id: string; label: boolean }): Thumb {
  const { completion_id, choice = 0, end_user = null, label, reason = null, tags = [], correction = null } = body;
  const now = Date.now();
  const before = state.thumbs.find((thumb) =>
    thumb.completion_id === completion_id && thumb.choice === choice && thumb.end_user === end_user
  );
  const thumb: Thumb = {
    id: before?.id ?? `fb-${crypto.randomUUID()}`,
    object: "feedback",
    completion_id,
    choice,
    end_user,
    label,
    reason: reason || null,
    tags,
    correction,
    version: (before?.version ?? 0) + 1,
    key: null,
    created_at: before?.created_at ?? now,
    updated_at: body.updated_at ?? now,
  };
  state.thumbs = [thumb, ...state.thumbs.filter((each) => each !== before)];
  state.history.push({ ...thumb, kind: before ? "replaced" : "set", at: thumb.updated_at });
  return thumb;
}

/** Thumbs that a request's filters leave. */
function filtered(state: State, query: Record<string, string>): Thumb[] {
  const asked = (thumb: Thumb) => state.answers.find(({ id }) => id === thumb.completion_id)?.model;
  return state.thumbs.filter((thumb) =>
    (!query.label || thumb.label === (query.label === "desirable")) &&
    (!query.model || asked(thumb) === query.model) &&
    (!query.tag || thumb.tags.includes(query.tag)) &&
    (!query.end_user || thumb.end_user === query.end_user) &&
    (!query.since || thumb.updated_at >= Number(query.since))
  );
}

/** One page of those that are kept, and the last one's id, after which the next page begins whatever changes before it. */
function pageOf<Item extends { id: string }>(
  all: Item[],
  keep: (item: Item) => boolean,
  { limit = "50", cursor }: Record<string, string>,
) {
  const left = all.slice(all.findIndex(({ id }) => id === cursor) + 1).filter(keep);
  const data = left.slice(0, Number(limit)), has_more = left.length > data.length;
  return { object: "list", data, has_more, next_cursor: has_more ? data.at(-1)!.id : null };
}

export function addFeedback(app: OpenAPIHono<GatewayEnv>, state: State): void {
  const described = (answer: Answer) => ({
    ...answer,
    object: "answer",
    adapter_version: null,
    safety_identifier: null,
    metadata: null,
    labels: state.thumbs.filter(({ completion_id }) => completion_id === answer.id),
  });
  app.get("/v1/answers", (context) => {
    const { model, unlabelled, unlabelled_by, ...page } = context.req.query();
    const waits = (answer: ReturnType<typeof described>) =>
      (unlabelled !== "true" || answer.labels.length === 0) &&
      (!unlabelled_by ||
        answer.choices.some(({ index }) =>
          !answer.labels.some(({ choice, end_user }) => choice === index && end_user === unlabelled_by)
        )) &&
      (!model || answer.model === model);
    return context.json(pageOf(state.answers.map(described), waits, page));
  });
  app.get("/v1/answers/:id", (context) => {
    const answer = state.answers.find(({ id }) => id === context.req.param("id"));
    return answer ? context.json(described(answer)) : context.json(refusal("There is no such answer."), 404);
  });
  app.get("/v1/feedback", (context) => {
    const kept = new Set(filtered(state, context.req.query()));
    return context.json(pageOf(state.thumbs, (thumb) => kept.has(thumb), context.req.query()));
  });
  app.post("/v1/feedback", async (context) => {
    const body = await context.req.json();
    state.received.push({ request: "POST /v1/feedback", body });
    return context.json(giveThumb(state, body), 201);
  });
  app.get("/v1/feedback/export", (context) => {
    const rows = filtered(state, context.req.query()).map(({ label, completion_id }) => {
      const answer = state.answers.find(({ id }) => id === completion_id);
      return JSON.stringify({ prompt: answer?.prompt, completion: answer?.choices[0]?.content, label });
    });
    return context.body(rows.join("\n"), 200, { "Content-Type": "application/x-ndjson" });
  });
  app.post("/v1/feedback/import", async (context) => {
    const text = await context.req.text();
    state.received.push({ request: "POST /v1/feedback/import", body: text });
    const rows = text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
    const desirable = rows.filter(({ label }) => label).length;
    return context.json({
      object: "feedback.import",
      rows: rows.length,
      desirable,
      undesirable: rows.length - desirable,
      notes: [],
    }, 201);
  });
  app.get("/v1/feedback/hygiene", (context) => {
    const thumbs = filtered(state, context.req.query());
    const desirable = thumbs.filter(({ label }) => label).length, undesirable = thumbs.length - desirable;
    return context.json({
      rows: thumbs.length,
      truncated: false,
      desirable,
      undesirable,
      weights: { desirable: 1, undesirable: Number(Math.min(1.33, desirable / (undesirable || 1)).toFixed(2)) },
      exact_duplicates: 2,
      near_duplicates: 7,
      contradictions: thumbs.length > 1 ? 1 : 0,
      empty: 0,
      stale: {
        job_id: "ftjob-kind-2",
        measured: thumbs.length,
        beyond: [0.1, 0.5, 1].map((moved) => ({ moved, rows: Math.floor(thumbs.length * 0.3 / (1 + 4 * moved)) })),
      },
      examples: { contradictions: thumbs.slice(0, 2).map(({ id }) => id), near_duplicates: [] },
    });
  });
  app.get("/v1/feedback/:id/history", (context) => {
    const data = state.history.filter(({ id }) => id === context.req.param("id"));
    return context.json({ object: "list", data });
  });
  app.get("/v1/feedback/:id", (context) => {
    const thumb = state.thumbs.find(({ id }) => id === context.req.param("id"));
    return thumb ? context.json(thumb) : context.json(refusal("There is no such feedback.", "feedback_not_found"), 404);
  });
  app.delete("/v1/feedback/:id", (context) => {
    const id = context.req.param("id"), thumb = state.thumbs.find((each) => each.id === id);
    if (!thumb) return context.json(refusal("There is no such feedback.", "feedback_not_found"), 404);
    state.thumbs = state.thumbs.filter((each) => each !== thumb);
    state.history.push({ ...thumb, kind: "deleted", at: Date.now() });
    return context.json({ id, object: "feedback", deleted: true });
  });
}
