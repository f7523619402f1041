// The record formats feedback comes in, as one rule table: which fields give a format away, and what rows it becomes.
// Knows one record at a time; nothing of files (the caller names the place) or of tokens.

import { z } from "zod";
import { InputError } from "../errors.ts";
import { isUnlabelled, type LabelReader } from "./labels.ts";
import type { FeedbackRow, Message } from "./row.ts";

/** A record of the file: any JSON object. */
export type JsonRecord = Record<string, unknown>;

/** What a format makes of a record: rows without their place in the file. */
export type DraftRow = Pick<FeedbackRow, "prompt" | "completion" | "label">;

/** The surroundings a record is read in. */
export interface Context {
  /** `file:line`, for errors. */
  where: string;
  label: LabelReader;
}

interface Format {
  name: string;
  matches(record: JsonRecord): boolean;
  rows(record: JsonRecord, context: Context): DraftRow[];
}

/** Fields a thumb may stand in, the usual one first (`kto_tag`: LLaMA-Factory). */
const LABEL_FIELDS = ["label", "feedback", "thumb", "kto_tag"];

/** ShareGPT's `from` and the role it is for a chat template. Other names are roles already. */
const SHAREGPT_ROLES = new Map([
  ["human", "user"],
  ["gpt", "assistant"],
  ["chatgpt", "assistant"],
  ["model", "assistant"],
  ["function_call", "assistant"],
  ["observation", "tool"],
]);

/** The first format that matches reads the record, so the more telling fields come first. */
const FORMATS: Format[] = [
  {
    name: "prompt + chosen + rejected",
    matches: (record) => has(record, "chosen", "rejected", "prompt"),
    rows: (record, context) => {
      const chosen = readText(record["chosen"], context, "chosen");
      const rejected = readText(record["rejected"], context, "rejected");
      // UltraFeedback and others repeat the prompt inside chosen and rejected: then those tell the whole story.
      if (isWholeConversation(chosen)) return splitPair(chosen, rejected, context);
      return pair(readText(record["prompt"], context, "prompt"), chosen, rejected);
    },
  },
  {
    name: "conversations + chosen + rejected",
    matches: (record) => has(record, "chosen", "rejected") && (has(record, "conversations") || has(record, "messages")),
    rows: (record, context) =>
      pair(
        conversation(record, context).map(withoutThumb),
        readText(record["chosen"], context, "chosen"),
        readText(record["rejected"], context, "rejected"),
      ),
  },
  {
    name: "instruction + chosen + rejected",
    matches: (record) => has(record, "chosen", "rejected", "instruction"),
    rows: (record, context) =>
      pair(
        instruction(record, context),
        readText(record["chosen"], context, "chosen"),
        readText(record["rejected"], context, "rejected"),
      ),
  },
  {
    name: "chosen + rejected",
    matches: (record) => has(record, "chosen", "rejected"),
    rows: (record, context) =>
      splitPair(
        readText(record["chosen"], context, "chosen"),
        readText(record["rejected"], context, "rejected"),
        context,
      ),
  },
  {
    name: "prompt + completion + label",
    matches: (record) => has(record, "prompt", "completion"),
    rows: (record, context) => [{
      label: rowLabel(record, context),
      prompt: readText(record["prompt"], context, "prompt"),
      completion: readText(record["completion"], context, "completion"),
    }],
  },
  {
    name: "conversation with a label per turn",
    matches: (record) => rawTurns(record)?.some((turn) => LABEL_FIELDS.some((f) => !isUnlabelled(turn[f]))) ?? false,
    rows: (record, context) => {
      const messages = conversation(record, context);
      const rows = messages.flatMap((message, turn) => {
        const field = LABEL_FIELDS.find((f) => !isUnlabelled(message[f]));
        if (field === undefined || message.role !== "assistant") return [];
        if (turn === 0) {
          throw new InputError(`${context.where}: the first turn is labelled, but nothing comes before it.`);
        }
        return [{
          prompt: messages.slice(0, turn).map(withoutThumb),
          completion: [withoutThumb(message)],
          label: context.label(message[field], context.where, `turn ${turn + 1}'s ${field}`),
        }];
      });
      if (rows.length === 0) throw new InputError(`${context.where}: only assistant turns can carry a label.`);
      return rows;
    },
  },
  {
    name: "messages + label",
    matches: (record) => rawTurns(record) !== undefined,
    rows: (record, context) => {
      const label = rowLabel(record, context);
      const messages = conversation(record, context).map(withoutThumb);
      const last = messages.findLastIndex((message) => message.role === "assistant");
      if (last < 1) {
        throw new InputError(
          `${context.where}: the conversation has no assistant turn after a prompt, so nothing is judged.`,
        );
      }
      return [{ label, prompt: messages.slice(0, last), completion: [messages[last] as Message] }];
    },
  },
  {
    name: "instruction + output + label",
    matches: (record) => has(record, "instruction", "output"),
    rows: (record, context) => [
      answer(instruction(record, context), readText(record["output"], context, "output"), rowLabel(record, context)),
    ],
  },
];

/**
 * Reads one record.
 *
 * @returns The format's name and its rows: one for each judged answer, in the record's order.
 * @throws InputError naming `where` and the field.
 */
export function readRecord(
  record: unknown,
  context: Context,
): { format: string; rows: Omit<FeedbackRow, "index" | "line">[] } {
  if (typeof record !== "object" || record === null || Array.isArray(record)) {
    throw new InputError(`${context.where}: expected a JSON object with fields such as prompt, completion and label.`);
  }
  const fields = record as JsonRecord;
  const format = FORMATS.find((candidate) => candidate.matches(fields));
  if (format === undefined) {
    throw new InputError(
      `${context.where}: fields ${Object.keys(fields).join(", ") || "(none)"} are no feedback format: use prompt, ` +
        `completion and label; prompt, chosen and rejected; messages and label; or conversations and a label.`,
    );
  }
  const rows = format.rows(fields, context).map(unify);
  // What a row's own ids say is of one row; a pair's two rows cannot both be it.
  const remarks = remarksOf(fields, rows.length === 1 ? [...remarkFields, ...originFields] : remarkFields);
  const extras = { ...templateExtras(fields, context), ...remarks };
  return { format: format.name, rows: rows.map((row) => ({ ...row, ...extras })) };
}

function has(record: JsonRecord, ...fields: string[]): boolean {
  return fields.every((field) => record[field] !== undefined && record[field] !== null);
}

/** The turns of `messages` or `conversations` where they are a list of objects, unread. */
function rawTurns(record: JsonRecord): JsonRecord[] | undefined {
  const turns = record["messages"] ?? record["conversations"];
  return Array.isArray(turns) ? turns.filter((turn) => typeof turn === "object" && turn !== null) : undefined;
}

function conversation(record: JsonRecord, context: Context): Message[] {
  const field = has(record, "messages") ? "messages" : "conversations";
  return withSystem(record, readMessages(record[field], context, field));
}

/** LLaMA-Factory keeps the system prompt of both its formats beside the turns. */
function withSystem(record: JsonRecord, messages: Message[]): Message[] {
  const system = record["system"];
  if (typeof system !== "string" || system === "" || messages[0]?.role === "system") return messages;
  return [{ role: "system", content: system }, ...messages];
}

function instruction(record: JsonRecord, context: Context): Message[] {
  const parsed = z.object({ instruction: z.string(), input: z.string().nullish() }).safeParse(record);
  if (!parsed.success) throw fieldError(parsed.error, context, "");
  const { instruction: text, input } = parsed.data;
  return withSystem(record, [{ role: "user", content: input ? `${text}\n\n${input}` : text }]);
}

function rowLabel(record: JsonRecord, { where, label }: Context): boolean {
  const field = LABEL_FIELDS.find((name) => !isUnlabelled(record[name]));
  if (field === undefined) {
    throw new InputError(`${where}: the row has no label: add "label": true (desirable) or false (undesirable).`);
  }
  return label(record[field], where, field);
}

function answer(prompt: DraftRow["prompt"], completion: DraftRow["completion"], label: boolean): DraftRow {
  return { prompt, completion, label };
}

function pair(prompt: DraftRow["prompt"], chosen: DraftRow["prompt"], rejected: DraftRow["prompt"]): DraftRow[] {
  return [answer(prompt, chosen, true), answer(prompt, rejected, false)];
}

function isWholeConversation(text: DraftRow["prompt"]): boolean {
  const role = typeof text === "string" ? "assistant" : text[0]?.role;
  return role === "user" || role === "system";
}

/** A pair without a prompt: what chosen and rejected begin with in common is the prompt (TRL's `extract_prompt`). */
function splitPair(chosen: DraftRow["prompt"], rejected: DraftRow["prompt"], { where }: Context): DraftRow[] {
  const [a, b] = typeof chosen === "string" && typeof rejected === "string"
    ? [chosen, rejected]
    : [Array.isArray(chosen) ? chosen : [], Array.isArray(rejected) ? rejected : []];
  const same = (i: number) => JSON.stringify(a[i]) === JSON.stringify(b[i]);
  let common = 0;
  while (common < a.length && common < b.length && same(common)) common++;
  // A list keeps its last message as the completion even where both are equal; a text gives the space to the completion.
  if (Array.isArray(a)) common = Math.min(common, a.length - 1, b.length - 1);
  else if (a[common - 1] === " ") common--;
  if (common <= 0) {
    throw new InputError(
      `${where}: chosen and rejected have no common beginning, so there is no prompt: add a prompt field.`,
    );
  }
  return pair(a.slice(0, common), a.slice(common), b.slice(common));
}

/** A row is all text or all messages; one part in messages makes the other a message too. */
function unify({ prompt, completion, label }: DraftRow): DraftRow {
  if (typeof prompt === typeof completion) return { prompt, completion, label };
  const asMessages = (text: string | Message[], role: string) =>
    typeof text === "string" ? [{ role, content: text }] : text;
  return { prompt: asMessages(prompt, "user"), completion: asMessages(completion, "assistant"), label };
}

const ContentSchema = z.union([
  z.string(),
  z.array(z.object({ type: z.literal("text"), text: z.string() })).transform((parts) =>
    parts.map((p) => p.text).join("")
  ),
  // A turn that only calls tools has null or nothing here.
  z.null().transform(() => ""),
], { error: "expected text" });
const MessageSchema = z.looseObject({ role: z.string().min(1), content: ContentSchema });

/** A string, one message, or a list of messages. */
function readText(value: unknown, context: Context, field: string): string | Message[] {
  if (typeof value === "string") return value;
  return readMessages(Array.isArray(value) ? value : [value], context, field);
}

function readMessages(value: unknown, context: Context, field: string): Message[] {
  const parsed = z.array(z.preprocess(fromShareGpt, MessageSchema)).min(1).safeParse(value);
  if (!parsed.success) throw fieldError(parsed.error, context, field);
  return parsed.data;
}

function fromShareGpt(turn: unknown): unknown {
  if (typeof turn !== "object" || turn === null) return turn;
  const { from, value, ...rest } = turn as JsonRecord;
  if (typeof from !== "string" || "role" in rest) {
    return "tool_calls" in turn && !("content" in turn) ? { ...turn, content: null } : turn;
  }
  return { role: SHAREGPT_ROLES.get(from) ?? from, content: value, ...rest };
}

/** Thumbs are not part of what was said: a template must not see them. */
function withoutThumb(message: Message): Message {
  const copy = { ...message };
  for (const field of LABEL_FIELDS) delete copy[field];
  return copy;
}

/** TRL's `tools` and `chat_template_kwargs` columns; data sets often keep them as JSON text. */
function templateExtras(record: JsonRecord, context: Context): Pick<FeedbackRow, "tools" | "templateArguments"> {
  const read = <T>(field: string, schema: z.ZodType<T>): T | undefined => {
    if (!has(record, field) || record[field] === "") return undefined;
    const parsed = z.preprocess((value) => typeof value === "string" ? parseOrKeep(value) : value, schema)
      .safeParse(record[field]);
    if (!parsed.success) throw fieldError(parsed.error, context, field);
    return parsed.data;
  };
  const tools = read("tools", z.array(z.unknown()));
  const templateArguments = read("chat_template_kwargs", z.record(z.string(), z.unknown()));
  return { ...(tools?.length ? { tools } : {}), ...(templateArguments ? { templateArguments } : {}) };
}

const remarkFields = ["end_user", "reason", "tags"];

/** What the store's export writes into a row beside the judgement. */
const originFields = [
  "id",
  "completion_id",
  "choice",
  "is_correction",
  "created_at",
  "source",
  "model",
  "base",
  "adapter",
  "adapter_version",
  "asked_by",
  "log_prob",
  "completion_tokens",
];

/** What is said of a thumb beside it. Data sets have other things under these names, so they are not looked into. */
function remarksOf(record: JsonRecord, fields: readonly string[]): Pick<FeedbackRow, "remarks"> {
  const there = fields.filter((field) => has(record, field));
  return there.length === 0 ? {} : { remarks: Object.fromEntries(there.map((field) => [field, record[field]])) };
}

function parseOrKeep(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function fieldError(error: z.ZodError, { where }: Context, field: string): InputError {
  const issue = error.issues[0];
  const path = (issue?.path ?? []).map((key) => typeof key === "number" ? `[${key}]` : `.${String(key)}`).join("");
  return new InputError(
    `${where}: field ${`${field}${path}`.replace(/^\./, "")}: ${issue?.message ?? "not understood"}.`,
  );
}
