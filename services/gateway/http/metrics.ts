// The gateway's Prometheus metrics. Labels are routes, statuses and models: never a person or a text.

import process from "node:process";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { FrontCounts } from "../../../workers/front/settings.ts";
import type { EngineState } from "../engine/engine.ts";

export interface Metrics {
  requests: Counter<"method" | "route" | "status">;
  seconds: Histogram<"method" | "route">;
  firstToken: Histogram<"model">;
  answers: Counter<"model" | "finish_reason">;
  promptTokens: Counter<"model">;
  completionTokens: Counter<"model">;
  labels: Counter<"label">;
  /** The text of `/metrics`. */
  render(): Promise<string>;
  readonly contentType: string;
}

/**
 * Metrics of one gateway.
 *
 * @param engineState read whenever they are asked for; undefined while there is no engine
 * @param connections alike, of the front
 */
export function createMetrics(
  engineState: () => EngineState | undefined,
  connections: () => Promise<FrontCounts | undefined> = () => Promise.resolve(undefined),
): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string, read: (state: EngineState) => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        const state = engineState();
        this.set(state ? read(state) : 0);
      },
    });
  gauge("prospect_sequences_active", "Answers being generated.", ({ active }) => active);
  gauge("prospect_sequences_queued", "Answers waiting for a place.", ({ queued }) => queued);
  gauge("prospect_sequences_capacity", "Answers that may be generated at once.", ({ capacity }) => capacity);
  new Gauge({
    name: "prospect_connections",
    help: "Connections of clients.",
    registers,
    async collect() {
      this.set((await connections())?.connections ?? 0);
    },
  });
  new Counter({
    name: "prospect_connections_ended_total",
    help: "Connections that were refused a place, or ended for being silent, slow or unread.",
    labelNames: ["reason"],
    registers,
    async collect() {
      const { refused = 0, timedOut = 0 } = await connections() ?? {};
      this.reset();
      this.inc({ reason: "no place" }, refused);
      this.inc({ reason: "timeout" }, timedOut);
    },
  });
  new Gauge({
    name: "process_resident_memory_bytes",
    help: "Resident memory of the process.",
    registers,
    collect() {
      this.set(Deno.memoryUsage().rss);
    },
  });
  new Counter({
    name: "process_cpu_seconds_total",
    help: "Time that the process has computed, all its threads together.",
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  const buckets = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100];
  return {
    requests: new Counter({
      name: "http_requests_total",
      help: "Requests by route and status.",
      labelNames: ["method", "route", "status"],
      registers,
    }),
    seconds: new Histogram({
      name: "http_request_duration_seconds",
      help: "Time until the response began.",
      labelNames: ["method", "route"],
      buckets,
      registers,
    }),
    firstToken: new Histogram({
      name: "prospect_first_token_seconds",
      help: "Time from the request to the first text of its answer.",
      labelNames: ["model"],
      buckets,
      registers,
    }),
    answers: new Counter({
      name: "prospect_answers_total",
      help: "Answers by how they ended.",
      labelNames: ["model", "finish_reason"],
      registers,
    }),
    promptTokens: new Counter({
      name: "prospect_prompt_tokens_total",
      help: "Tokens of prompts.",
      labelNames: ["model"],
      registers,
    }),
    completionTokens: new Counter({
      name: "prospect_completion_tokens_total",
      help: "Tokens of answers.",
      labelNames: ["model"],
      registers,
    }),
    labels: new Counter({ name: "prospect_labels_total", help: "Thumbs taken.", labelNames: ["label"], registers }),
    render: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
