// What the stand-in for the gateway knows, and how it answers. It has no routes.

import type { Behaviour } from "../../../shared/behaviour.ts";

export interface Arm {
  model: string;
  weight: number;
}

export interface Answer {
  id: string;
  created_at: number;
  source: "chat" | "text" | "import";
  model: string;
  arm: string;
  alias: string | null;
  prompt: string | { role: string; content: string }[];
  end_user: string | null;
  choices: { index: number; content: string; finish_reason: string; tokens: number }[];
}

export interface Thumb {
  id: string;
  object: "feedback";
  completion_id: string;
  choice: number;
  end_user: string | null;
  label: boolean;
  reason: string | null;
  tags: string[];
  correction: string | null;
  version: number;
  key: string | null;
  created_at: number;
  updated_at: number;
}

export interface Gate {
  passed: boolean;
  auc: { value: number; low: number; high: number } | null;
  findings: { rule: string; passed: boolean; message: string }[];
  behaviour: Behaviour | null;
}

export interface Adapter {
  fits: boolean;
  name: string;
  model: string;
  created_at: number;
  parent: string;
  job_id: string | null;
  data: Record<string, unknown>;
  metrics: Record<string, unknown>;
  gate: Gate | null;
  files: Record<string, string>;
}

export interface Promotion {
  at: number;
  kind: "promote" | "rollback";
  from: string;
  to: string;
  reason: string | null;
  override: boolean;
  by: string | null;
}

export interface RunEvent {
  id: string;
  object: "fine_tuning.job.event";
  created_at: number;
  level: "info" | "warn" | "error";
  type: "message" | "metrics" | "progress";
  message: string;
  data: Record<string, unknown> | null;
}

export interface Run {
  id: string;
  status: "queued" | "running" | "succeeded" | "failed" | "cancelled";
  created_at: number;
  started_at: number | null;
  finished_at: number | null;
  model: string;
  fine_tuned_model: string | null;
  training_file: string;
  suffix: string | null;
  hyperparameters: Record<string, number | string>;
  data: Record<string, unknown> | null;
  gate: Gate | null;
  error: { code: string; message: string; param: null } | null;
  notice: string | null;
  result_files: string[];
  events: RunEvent[];
  step: number;
  steps: number;
}

/** Everything that the stand-in knows. Tests read it to see what the console did, and change it. */
export interface State {
  /** Whether requests need one of the keys. */
  keyNeeded: boolean;
  /** Keys by their secret; one that is revoked is null. */
  keys: Map<string, { owner: string | null; scopes: string[] } | null>;
  /** Seconds since a trainer was seen; null: never. */
  trainerSilence: number | null;
  adapters: Adapter[];
  promotions: Promotion[];
  aliases: Map<string, Arm[]>;
  answers: Answer[];
  thumbs: Thumb[];
  /** Every version of every thumb, in order. */
  history: (Thumb & { kind: "set" | "replaced" | "deleted"; at: number })[];
  runs: Run[];
  /** Milliseconds between pieces of an answer. */
  pace: number;
  /** How many pieces an answer has before it waits for this to go away, or for the client to hang up. */
  pauseAfter?: number;
  /** Bodies of requests that changed something, by method and path. */
  received: { request: string; body: unknown }[];
}

/** OpenAI's shape of an error. */
export const refusal = (message: string, code: string | null = null) => ({
  error: { message, type: "invalid_request_error", param: null, code },
});

/** A stream of server-sent events. */
export function stream(source: AsyncGenerator<unknown>): Response {
  const encoder = new TextEncoder();
  const send = (text: string) => encoder.encode(`data: ${text}\n\n`);
  const body = new ReadableStream({
    async pull(controller) {
      const { done, value } = await source.next();
      controller.enqueue(send(done ? "[DONE]" : JSON.stringify(value)));
      if (done) controller.close();
    },
    async cancel() {
      await source.return(undefined);
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

export const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
