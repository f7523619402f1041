// The answers that may be judged, with all that is needed to make training rows of them: the exact prompt, who answered
// and how probable the answer was. Knows nothing of judgements but whether there are any.

import { z } from "zod";
import type { Message } from "../feedback/row.ts";
import { type Page, pageOf, type PageRequest, readCursor } from "./pages.ts";
import type { Database, Value } from "./queries.ts";

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
  promptTokens: number;
  choices: StoredChoice[];
}

/** Stores a completion; resolves once it is durable. Its id must be new. */
export async function storeCompletion(database: Database, completion: StoredCompletion): Promise<void> {
  await database.write(async (queries) => {
    await queries.run(
      `INSERT INTO completions (id, created_at, source, model, base, adapter, adapter_version, alias, prompt, parameters,
         end_user, prompt_tokens, writer)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
      [
        completion.id,
        completion.createdAt,
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
      ],
    );
    for (const { index, content, messages, finishReason, tokens, logProb } of completion.choices) {
      await queries.run(
        `INSERT INTO choices (completion_id, choice, content, messages, finish_reason, tokens, log_prob)
         VALUES ($1, $2, $3, $4, $5, $6, $7)`,
        [
          completion.id,
          index,
          JSON.stringify(content),
          messages ? JSON.stringify(messages) : null,
          finishReason,
          tokens,
          logProb,
        ],
      );
    }
  }, "snapshot");
}

/** The completion of that id, or undefined. */
export async function findCompletion(database: Database, id: string): Promise<StoredCompletion | undefined> {
  const row = await database.get<CompletionRow>(`SELECT ${columns} FROM completions c WHERE c.id = $1`, [id]);
  return row && (await withChoices(database, [row]))[0];
}

/** Which completions are listed. */
export interface CompletionFilters {
  /** true: only those that nobody has judged; false: only those that somebody has. */
  unlabelled?: boolean | undefined;
  /** The model as it was asked for. */
  model?: string | undefined;
}

/**
 * Completions, newest first, in pages that new completions do not move.
 *
 * @throws InputError for a cursor that is none.
 */
export async function listCompletions(
  database: Database,
  { cursor, limit, unlabelled, model }: CompletionFilters & PageRequest,
): Promise<Page<StoredCompletion>> {
  const values: Value[] = [];
  const conditions = ["1 = 1"];
  const bind = (value: Value) => `$${values.push(value)}`;
  if (cursor !== undefined) {
    const [createdAt, id] = readCursor(cursor, z.tuple([z.int(), z.string()]));
    conditions.push(`(c.created_at, c.id) < (${bind(createdAt)}, ${bind(id)})`);
  }
  if (unlabelled !== undefined) {
    conditions.push(`${unlabelled ? "NOT " : ""}EXISTS (SELECT 1 FROM labels l WHERE l.completion_id = c.id)`);
  }
  if (model !== undefined) conditions.push(`c.model = ${bind(model)}`);
  const rows = await database.all<CompletionRow>(
    `SELECT ${columns} FROM completions c WHERE ${conditions.join(" AND ")}
     ORDER BY c.created_at DESC, c.id DESC LIMIT ${bind(limit + 1)}`,
    values,
  );
  const page = pageOf(rows, limit, ({ createdAt, id }) => [createdAt, id]);
  return { ...page, items: await withChoices(database, page.items) };
}

type CompletionRow = Omit<StoredCompletion, "prompt" | "parameters" | "choices"> & {
  prompt: string;
  parameters: string;
};

const columns = `c.id, c.created_at AS "createdAt", c.source, c.model, c.base, c.adapter,
  c.adapter_version AS "adapterVersion", c.alias, c.prompt, c.parameters, c.end_user AS "endUser",
  c.writer, c.prompt_tokens AS "promptTokens"`;

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
    choices: (byCompletion.get(row.id) ?? []).map(({ completionId: _, content, messages, ...choice }) => ({
      ...choice,
      content: JSON.parse(content),
      ...(messages === null ? {} : { messages: JSON.parse(messages) }),
    })),
  }));
}
