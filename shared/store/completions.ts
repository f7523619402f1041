// The answers that may be judged, with all that is needed to make training rows of them: the exact prompt, who answered
// and how probable the answer was. Knows nothing of judgements but whether there are any.

import { z } from "zod";
import type { Message } from "../feedback/row.ts";
import { wasForgotten } from "./forgotten.ts";
import { published } from "./imports.ts";
import { hasPair, rarestFirst } from "./metadata.ts";
import { type Page, pageOf, type PageRequest, readCursor } from "./pages.ts";
import type { Database, Queries, Value } from "./queries.ts";

/** One of the answers of a completion. */
export interface StoredChoice {
  index: number;
  content: string;
  finishReason: string;
  /** Tokens of the answer. */
  tokens: number;
  /** Sum of the answering policy's log-probs over the answer's tokens; null where unknown (imported). */
  logProb: number | null;
  /** Set where the answer is more than the content of one assistant message (imported). */
  messages?: Message[];
}

/** A request and its answers. */
export interface StoredCompletion {
  id: string;
  /** Milliseconds since 1970. */
  createdAt: number;
  source: "chat" | "text" | "import";
  /** The model as it was asked for; "" where unknown (imported). */
  model: string;
  base: string | null;
  adapter: string | null;
  adapterVersion: string | null;
  /** Set where an alias chose the arm. */
  alias: string | null;
  prompt: string | Message[];
  parameters: Record<string, unknown>;
  endUser: string | null;
  /** Who asked, as `Caller.writer` says. */
  writer: string | null;
  /** Pairs that the client keeps with it. */
  metadata: Record<string, string> | null;
  /** The client's name for whoever asks, as far as it is told. */
  safetyIdentifier: string | null;
  promptTokens: number;
  choices: StoredChoice[];
}

/**
 * Stores a completion; resolves once it is durable. Its id must be new. Nothing is kept of a person who was deleted after
 * the request began.
 *
 * @param begun `forgottenMark` as it was then
 */
export const storeCompletion = (database: Database, completion: StoredCompletion, begun?: number): Promise<void> =>
  database.write((queries) => insertCompletion(queries, completion, false, begun), "snapshot");

/** @param underWay whether its answers are still to come */
export async function insertCompletion(
  queries: Queries,
  completion: StoredCompletion,
  underWay: boolean,
  begun?: number,
): Promise<void> {
  const { id, createdAt, metadata, endUser, writer } = completion;
  if (begun !== undefined && endUser !== null && await wasForgotten(queries, begun, endUser, writer)) return;
  await queries.run(
    `INSERT INTO completions (id, created_at, source, model, base, adapter, adapter_version, alias, prompt, parameters,
       end_user, prompt_tokens, writer, metadata, safety_identifier, under_way)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
    [
      id,
      createdAt,
      completion.source,
      completion.model,
      completion.base,
      completion.adapter,
      completion.adapterVersion,
      completion.alias,
      JSON.stringify(completion.prompt),
      JSON.stringify(completion.parameters),
      completion.endUser,
      completion.promptTokens,
      completion.writer,
      metadata && JSON.stringify(metadata),
      completion.safetyIdentifier,
      Number(underWay),
    ],
  );
  for (const { index, content, messages, finishReason, tokens, logProb } of completion.choices) {
    await queries.run(
      `INSERT INTO choices (completion_id, choice, content, messages, finish_reason, tokens, log_prob)
       VALUES ($1, $2, $3, $4, $5, $6, $7)`,
      [
        id,
        index,
        JSON.stringify(content),
        messages ? JSON.stringify(messages) : null,
        finishReason,
        tokens,
        logProb,
      ],
    );
  }
  for (const [name, value] of Object.entries(metadata ?? {})) {
    await queries.run(
      "INSERT INTO completion_metadata (name, value, created_at, completion_id) VALUES ($1, $2, $3, $4)",
      [name, value, createdAt, id],
    );
  }
  const unjudged = [id, createdAt, completion.model];
  await queries.run("INSERT INTO unjudged (completion_id, created_at, model) VALUES ($1, $2, $3)", unjudged);
}

/** Puts completions that have no label, or none any more, among those to be judged. @param which a condition over `c` */
export async function noteUnjudged(queries: Queries, which: string, values: readonly Value[]): Promise<void> {
  await queries.run(
    `INSERT INTO unjudged (completion_id, created_at, model) SELECT c.id, c.created_at, c.model FROM completions c
     WHERE ${which} AND NOT EXISTS (SELECT 1 FROM labels l WHERE l.completion_id = c.id) ON CONFLICT DO NOTHING`,
    values,
  );
}

/** Labels that are looked at in one write. */
const labelsPerWrite = 1000;

/**
 * Takes completions that have a label by now out of those to be judged, in slices. Not done when the label is set: two who
 * judge one answer would wait for each other.
 *
 * @param after Number of the event up to which this was done.
 * @returns Number of the event up to which it is done now.
 */
export async function dropJudged(database: Database, after: number): Promise<number> {
  for (;;) {
    const [next] = await database.all<{ last: number | null }>(
      `SELECT MAX(sequence) AS last FROM (
         SELECT sequence FROM labels WHERE sequence > $1 ORDER BY sequence LIMIT ${labelsPerWrite}) AS next_labels`,
      [after],
    );
    if (next?.last == null) return after;
    await database.run(
      `DELETE FROM unjudged WHERE completion_id IN
         (SELECT completion_id FROM labels WHERE sequence > $1 AND sequence <= $2)`,
      [after, next.last],
    );
    after = next.last;
  }
}

/** The completion of that id, or undefined. */
export async function findCompletion(database: Database, id: string): Promise<StoredCompletion | undefined> {
  const row = await database.get<CompletionRow>(
    `SELECT ${columns} FROM completions c WHERE c.id = $1 AND ${published("c")}`,
    [id],
  );
  return row && (await withChoices(database, [row]))[0];
}

/** Which completions are listed. */
export interface CompletionFilters {
  /** true: only those that nobody has judged; false: only those that somebody has. */
  unlabelled?: boolean | undefined;
  /** Only those of which this person has not judged every choice. */
  unlabelledBy?: string | undefined;
  /** The model as it was asked for. */
  model?: string | undefined;
  safetyIdentifier?: string | undefined;
  /** Pairs that it must have. */
  metadata?: Record<string, string> | undefined;
}

/**
 * Completions that have their answers, newest first, in pages that new completions do not move.
 *
 * @throws InputError for a cursor that is none.
 */
export async function listCompletions(
  database: Database,
  { cursor, limit, unlabelled, unlabelledBy, model, safetyIdentifier, metadata }: CompletionFilters & PageRequest,
): Promise<Page<StoredCompletion>> {
  const values: Value[] = [];
  const conditions = ["c.under_way = 0", published("c")];
  const bind = (value: Value) => `$${values.push(value)}`;
  // Completions that are found by a pair, or to be judged, are read newest first from where that is kept, others from the
  // table itself.
  const [first, ...others] = await rarestFirst(database, metadata);
  const list = first ? "completion_metadata" : unlabelled ? "unjudged" : undefined;
  const [from, place] = list
    ? [`${list} m CROSS JOIN completions c`, "m.created_at, m.completion_id"]
    : ["completions c", "c.created_at, c.id"];
  if (list) conditions.push("c.id = m.completion_id");
  if (first) conditions.push(`m.name = ${bind(first.name)}`, `m.value = ${bind(first.value)}`);
  // Each is asked: the first has made them few, or all are common.
  for (const pair of others) conditions.push(hasPair({ ...pair, rare: false }, "c.id", values));
  if (cursor !== undefined) {
    const [createdAt, id] = readCursor(cursor, z.tuple([z.int(), z.string()]));
    conditions.push(`(${place}) < (${bind(createdAt)}, ${bind(id)})`);
  }
  if (unlabelled !== undefined) {
    conditions.push(`${unlabelled ? "NOT " : ""}EXISTS (SELECT 1 FROM labels l WHERE l.completion_id = c.id)`);
  }
  if (unlabelledBy !== undefined) {
    conditions.push(
      `EXISTS (SELECT 1 FROM choices a WHERE a.completion_id = c.id AND NOT EXISTS (SELECT 1 FROM labels l
         WHERE l.completion_id = c.id AND l.choice = a.choice AND l.end_user = ${bind(unlabelledBy)}))`,
    );
  }
  if (model !== undefined) conditions.push(`${list === "unjudged" ? "m" : "c"}.model = ${bind(model)}`);
  if (safetyIdentifier !== undefined) conditions.push(`c.safety_identifier = ${bind(safetyIdentifier)}`);
  const passFew = unlabelledBy !== undefined || unlabelled === false ||
    (model ?? safetyIdentifier ?? first) !== undefined;
  const rows = await (passFew ? database.scan : database.all)<CompletionRow>(
    `SELECT ${columns} FROM ${from} WHERE ${conditions.join(" AND ")}
     ORDER BY ${place.split(", ").map((column) => `${column} DESC`).join(", ")} LIMIT ${bind(limit + 1)}`,
    values,
  );
  const page = pageOf(rows, limit, ({ createdAt, id }) => [createdAt, id]);
  return { ...page, items: await withChoices(database, page.items) };
}

type CompletionRow = Omit<StoredCompletion, "prompt" | "parameters" | "metadata" | "choices"> & {
  prompt: string;
  parameters: string;
  metadata: string | null;
};

const columns = `c.id, c.created_at AS "createdAt", c.source, c.model, c.base, c.adapter,
  c.adapter_version AS "adapterVersion", c.alias, c.prompt, c.parameters, c.end_user AS "endUser",
  c.writer, c.metadata, c.safety_identifier AS "safetyIdentifier", c.prompt_tokens AS "promptTokens"`;

async function withChoices(database: Database, rows: CompletionRow[]): Promise<StoredCompletion[]> {
  if (rows.length === 0) return [];
  type ChoiceRow = Omit<StoredChoice, "messages"> & { completionId: string; messages: string | null };
  const choices = await database.all<ChoiceRow>(
    `SELECT completion_id AS "completionId", choice AS "index", content, messages, finish_reason AS "finishReason",
       tokens, log_prob AS "logProb"
     FROM choices WHERE completion_id IN (${rows.map((_, i) => `$${i + 1}`).join(", ")}) ORDER BY choice`,
    rows.map(({ id }) => id),
  );
  const byCompletion = Map.groupBy(choices, ({ completionId }) => completionId);
  return rows.map((row) => ({
    ...row,
    prompt: JSON.parse(row.prompt),
    parameters: JSON.parse(row.parameters),
    metadata: row.metadata === null ? null : JSON.parse(row.metadata),
    choices: (byCompletion.get(row.id) ?? []).map(({ completionId: _, content, messages, ...choice }) => ({
      ...choice,
      content: JSON.parse(content),
      ...(messages === null ? {} : { messages: JSON.parse(messages) }),
    })),
  }));
}
