// A small stand-in for the gateway, for the console's tests: it keeps state in memory, follows the HTTP contract as far as
// the console uses it, and serves the console itself as the gateway does, under the same content policy.

import { OpenAPIHono } from "@hono/zod-openapi";
import { secureHeaders } from "hono/secure-headers";
import type { GatewayEnv } from "../../../services/gateway/gateway.ts";
import { addConsole } from "../../../services/gateway/routes/console.ts";
import { addFeedback } from "./stand_in_feedback.ts";
import { addRegistry } from "./stand_in_registry.ts";
import { addRuns } from "./stand_in_runs.ts";
import { type Answer, refusal, type State, stream, wait } from "./stand_in_state.ts";

export const minute = 60_000;

/** What each model says, so that a comparison can be told apart. */
export const sayings: Record<string, string> = {
  base: "Paris. Why do you ask? Look it up yourself next time.",
  "base:kind-1": "The capital of France is Paris.",
  "base:kind-2": "Good question! The capital of France is Paris, which lies on the Seine.",
  "base:flat-1": "Paris Paris Paris Paris.",
};

export const sayingOf = (model: string) => sayings[model] ?? "Hello.";

function addInference(app: OpenAPIHono<GatewayEnv>, state: State) {
  const created = Math.floor(Date.now() / 1000) - 86_400;
  app.get("/readyz", (context) => context.json({ status: "ready" }));
  app.get("/v1/models", (context) =>
    context.json({
      object: "list",
      data: [
        { id: "base", created },
        ...state.adapters.map(({ model, created_at }) => ({ id: model, created: Math.floor(created_at / 1000) })),
        ...[...state.aliases].map(([id, arms]) => ({ id, created, arms })),
      ].map((model) => ({ object: "model", owned_by: "prospect", ...model })),
    }));
  app.post("/v1/chat/completions", async (context) => {
    const request = await context.req.json();
    state.received.push({ request: "POST /v1/chat/completions", body: request });
    const arms = state.aliases.get(request.model);
    const model = arms?.findLast(({ weight }) => weight > 0)?.model ?? request.model;
    const id = `chatcmpl-${crypto.randomUUID()}`;
    const answer: Answer = {
      id,
      created_at: Date.now(),
      source: "chat",
      model: request.model,
      arm: model,
      alias: arms ? request.model : null,
      prompt: request.messages,
      end_user: request.user ?? null,
      choices: [{ index: 0, content: "", finish_reason: "cancelled", tokens: 0 }],
    };
    state.answers.unshift(answer);
    const chunk = (delta: unknown, finish_reason: string | null = null) => ({
      id,
      object: "chat.completion.chunk",
      model,
      choices: [{ index: 0, delta, finish_reason }],
    });
    const { signal } = context.req.raw;
    async function* pieces() {
      yield chunk({ role: "assistant", content: "" });
      for (const [index, piece] of sayingOf(model).split(/(?<= )/).entries()) {
        do await wait(state.pace); while (index >= (state.pauseAfter ?? Infinity) && !signal.aborted);
        if (signal.aborted) return;
        answer.choices[0]!.content += piece;
        yield chunk({ content: piece });
      }
      answer.choices[0]!.finish_reason = "stop";
      yield chunk({}, "stop");
    }
    return stream(pieces());
  });
}

/** Which scopes open what, the longer path first; any of them is enough. */
const scopes: [path: string, scopes: string[]][] = [
  ["/v1/me", ["inference", "feedback", "reviewer"]],
  ["/v1/models", ["inference", "reviewer"]],
  ["/v1/chat", ["inference", "reviewer"]],
  ["/v1/answers", ["reviewer"]],
  ["/v1/feedback/hygiene", ["admin"]],
  ["/v1/feedback/export", ["admin"]],
  ["/v1/feedback/import", ["admin"]],
  ["/v1/feedback", ["feedback", "reviewer"]],
  ["/v1/", ["admin"]],
];

/** Builds the app over a state. */
export function createStandIn(state: State): OpenAPIHono<GatewayEnv> {
  const app = new OpenAPIHono<GatewayEnv>();
  app.use(secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'self'"],
      styleSrc: ["'self'", "'unsafe-inline'"],
      imgSrc: ["'self'", "data:"],
      frameAncestors: ["'none'"],
    },
  }));
  const keyOf = (header: string | undefined) => state.keys.get(header?.replace("Bearer ", "") ?? "");
  app.use("/v1/*", async (context, next) => {
    const key = keyOf(context.req.header("Authorization"));
    if (key === null) return context.json(refusal("This API key was revoked.", "invalid_api_key"), 401);
    if (state.keyNeeded && !key) return context.json(refusal("A valid API key is needed.", "invalid_api_key"), 401);
    const [, needed] = scopes.find(([path]) => context.req.path.startsWith(path))!;
    if (key && !needed.some((scope) => key.scopes.includes(scope)) && !key.scopes.includes("admin")) {
      return context.json(refusal(`This API key lacks the scope "${needed[0]}".`, "insufficient_scope"), 403);
    }
    await next();
  });
  app.get("/v1/me", (context) => {
    const key = keyOf(context.req.header("Authorization"));
    const granted = key && !key.scopes.includes("admin") ? key.scopes : ["inference", "feedback", "reviewer", "admin"];
    return context.json({
      object: "caller",
      key: key ? "key-1" : null,
      owner: key?.owner ?? null,
      scopes: granted,
      keys_required: state.keyNeeded,
    });
  });
  addInference(app, state);
  addFeedback(app, state);
  addRuns(app, state);
  addRegistry(app, state);
  addConsole(app);
  return app;
}
