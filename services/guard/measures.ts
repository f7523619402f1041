// What is measured of a tree, as people use it: whole commands, and a gateway over HTTP. Each takes one reading of one tree;
// it does not know trees are compared.

import { join } from "node:path";
import { type Connection, succeed, withConnections } from "../gateway/bench/connection.ts";
import type { ServedModel } from "../gateway/bench/gateway_process.ts";
import { chatRequest } from "../gateway/bench/questions.ts";
import { median } from "../gateway/bench/statistics.ts";
import { runTask } from "./tree.ts";

/** A model to measure with. */
export interface GuardedModel {
  name: string;
  served: ServedModel;
  /** Ends an answer; such tokens are forbidden, so that answers have the length asked for. */
  eosTokenIds: number[];
  /** Feedback to train on and to score. */
  data: string;
}

/** How much of each thing is done. */
export interface Sizes {
  /** Rows of feedback. */
  rows: number;
  /** Optimizer steps of a training run. */
  steps: number;
  /** Tokens of an answer. */
  tokens: number;
  /** Answers of a reading, at least one per client. */
  answers: number;
  /** Readings of the first token, of which the median counts. */
  firstTokens: number;
  /** Seconds of thumbs. */
  seconds: number;
}

/** A tree and its gateway, which answers with the model. */
export interface Subject {
  tree: string;
  address: string;
}

export interface Measure {
  name: string;
  unit: string;
  /** Whether more of the unit is better. */
  more: boolean;
  read(subject: Subject): Promise<number>;
}

async function inFolder(use: (folder: string) => Promise<number>): Promise<number> {
  const folder = await Deno.makeTempDir({ prefix: "prospect-guard-" });
  try {
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const modelArguments = ({ served: { folder, dtype }, data }: GuardedModel) => [
  ...["--model", folder, "--dtype", dtype, "--data", data],
];

function trainSeconds(model: GuardedModel, steps: number) {
  return ({ tree }: Subject) =>
    inFolder((out) =>
      runTask(tree, "train", [
        ...modelArguments(model),
        ...["--out", join(out, "run"), "--max-steps", String(steps), "--batch-size", "8", "--seed", "7"],
      ], out)
    );
}

const scoreSeconds = (model: GuardedModel) => ({ tree }: Subject) =>
  inFolder((out) => runTask(tree, "score", [...modelArguments(model), "--out", join(out, "scores.jsonl")], out));

/** Milliseconds from a streamed request to its first piece of text. */
async function firstToken(address: string, body: Record<string, unknown>): Promise<number> {
  const started = performance.now();
  const { body: pieces, status } = await fetch(`${address}/v1/chat/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, stream: true }),
  });
  let said = "", taken: number | undefined;
  for await (const text of pieces!.pipeThrough(new TextDecoderStream())) {
    said += text;
    if (/"content":"[^"]/.test(said)) taken ??= performance.now() - started;
  }
  if (taken === undefined) throw new Error(`a stream had no text: ${status} ${said.slice(0, 200)}`);
  return taken;
}

/** Tokens per second of `clients` at a time. */
async function decode(address: string, model: GuardedModel, clients: number, { tokens, answers }: Sizes) {
  let next = 0, computed = 0;
  const all = Math.max(answers, clients), started = performance.now();
  const ask = async (connection: Connection) => {
    while (next < all) {
      const { usage } = await succeed(connection, "POST", "/v1/chat/completions", chatRequest(model, next++, tokens));
      computed += usage.completion_tokens;
    }
  };
  await withConnections(address, clients, (connections) => Promise.all(connections.map(ask)));
  return computed / (performance.now() - started) * 1000;
}

/** Durable thumbs per second over 32 connections. */
async function labels(address: string, seconds: number): Promise<number> {
  return await withConnections(address, 32, async (connections) => {
    const message = { model: "base", messages: [{ role: "user", content: "hello" }], max_tokens: 1 };
    const { id } = await succeed(connections[0]!, "POST", "/v1/chat/completions", message);
    let given = 0;
    const started = performance.now(), end = started + 1000 * seconds;
    await Promise.all(connections.map(async (connection) => {
      while (performance.now() < end) {
        const end_user = `${id} ${given++}`;
        await succeed(connection, "POST", "/v1/feedback", { completion_id: id, label: given % 2 === 0, end_user });
      }
    }));
    return given / (performance.now() - started) * 1000;
  });
}

const named = ({ name }: GuardedModel, what: string) => `${name}: ${what}`;

/** What is measured of a gateway that serves the model. */
export function gatewayMeasures(model: GuardedModel, sizes: Sizes): Measure[] {
  return [
    {
      name: named(model, "first token"),
      unit: "ms",
      more: false,
      read: async ({ address }) => {
        const taken: number[] = [];
        while (taken.length < sizes.firstTokens) {
          taken.push(await firstToken(address, chatRequest(model, taken.length, 4)));
        }
        return median(taken);
      },
    },
    ...[1, 4, 16].map((clients): Measure => ({
      name: named(model, `decode, ${clients} at a time`),
      unit: "tokens/s",
      more: true,
      read: ({ address }) => decode(address, model, clients, sizes),
    })),
  ];
}

/** What is measured of whole commands that work on the model, start to end. */
export function commandMeasures(model: GuardedModel, { rows, steps }: Sizes): Measure[] {
  return [
    { name: named(model, `score ${rows} rows`), unit: "s", more: false, read: scoreSeconds(model) },
    { name: named(model, `train ${steps} steps`), unit: "s", more: false, read: trainSeconds(model, steps) },
  ];
}

/** Thumbs, over a gateway of any model. */
export const labelMeasure = ({ seconds }: Sizes): Measure => ({
  name: "durable thumbs",
  unit: "per second",
  more: true,
  read: ({ address }) => labels(address, seconds),
});
