// Texts and messages as records have them, in the spellings of several makers, to those that chat templates read. Knows no
// formats.

import { z } from "zod";
import { InputError } from "../errors.ts";
import type { JsonRecord } from "./fields.ts";
import { isNothing, type Message } from "./row.ts";

/** Plain text, or turns of a conversation. */
export type Said = string | Message[];

/** Other names of roles: ShareGPT's, and OpenAI's for who instructs the model, as the gateway reads it. */
const ROLES = new Map([
  ["human", "user"],
  ["gpt", "assistant"],
  ["chatgpt", "assistant"],
  ["model", "assistant"],
  ["function_call", "assistant"],
  ["observation", "tool"],
  ["developer", "system"],
]);

const ContentSchema = z.union([
  z.string(),
  z.array(z.object({ type: z.literal("text"), text: z.string() })).transform((parts) =>
    parts.map((p) => p.text).join("")
  ),
  // A turn that only calls tools has null or nothing here.
  z.null().transform(() => ""),
], { error: "expected text" });
const MessageSchema = z.looseObject({ role: z.string().min(1), content: ContentSchema });

/**
 * A string, one message, or a list of messages.
 *
 * @param where `file:line`, for the error
 * @param field what the value is called there
 * @throws InputError
 */
export function readSaid(value: unknown, where: string, field: string): Said {
  if (typeof value === "string") return value;
  return readMessages(Array.isArray(value) ? value : [value], where, field);
}

/** A list of messages. @throws InputError */
export function readMessages(value: unknown, where: string, field: string): Message[] {
  const parsed = z.array(z.preprocess(spelledOut, MessageSchema)).min(1).safeParse(value);
  if (!parsed.success) throw fieldError(parsed.error, where, field);
  return parsed.data;
}

/**
 * A turn under the usual names. Keys that say nothing are left out: they are columns that other rows of a table need
 * (`tool_calls: null`), and templates may ask whether they are there.
 */
function spelledOut(turn: unknown): unknown {
  if (typeof turn !== "object" || turn === null || Array.isArray(turn)) return turn;
  const { content, ...further } = turn as JsonRecord;
  const { from, value, ...rest } = Object.fromEntries(Object.entries(further).filter(([, each]) => !isNothing(each)));
  const shareGpt = typeof from === "string" && !("role" in rest);
  const role = shareGpt ? from : rest["role"];
  const text = shareGpt ? (turn as JsonRecord)["value"] : content;
  return {
    ...rest,
    ...(shareGpt ? {} : { ...(from === undefined ? {} : { from }), ...(value === undefined ? {} : { value }) }),
    role: typeof role === "string" ? ROLES.get(role) ?? role : role,
    content: text === undefined && "tool_calls" in rest ? null : text,
  };
}

/** A text as the one turn of this role. */
export const asMessages = (said: Said, role: string): Message[] =>
  typeof said === "string" ? [{ role, content: said }] : said;

/** An error of a field's schema in the file's words. */
export function fieldError(error: z.ZodError, where: string, field: string): InputError {
  const issue = error.issues[0];
  const path = (issue?.path ?? []).map((key) => typeof key === "number" ? `[${key}]` : `.${String(key)}`).join("");
  return new InputError(
    `${where}: field ${`${field}${path}`.replace(/^\./, "")}: ${issue?.message ?? "not understood"}.`,
  );
}
