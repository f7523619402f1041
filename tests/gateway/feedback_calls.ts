// What tests of thumbs do over and over: ask, press, export, import.

import { assertEquals } from "@std/assert";
import type { OpenGateway } from "./open_gateway.ts";

/** A question. */
export const ask = { model: "base", messages: [{ role: "user", content: "hello" }] };

export type Call = OpenGateway["call"];

/** The id of a new answer. */
export async function answer(call: Call, more: Record<string, unknown> = {}): Promise<string> {
  const { status, json } = await call("POST", "/v1/chat/completions", { ...ask, ...more });
  assertEquals(status, 200);
  return json.id;
}

/** Presses a thumb that must be taken. */
export async function press(call: Call, body: Record<string, unknown>, headers: Record<string, string> = {}) {
  const { status, json } = await call("POST", "/v1/feedback", body, headers);
  assertEquals(status, 201, JSON.stringify(json));
  return json;
}

/** The rows of an export. */
// deno-lint-ignore no-explicit-any -- rows are looked into as trainers do
export async function exported(call: Call, query = ""): Promise<any[]> {
  const { status, text } = await call("GET", `/v1/feedback/export${query}`);
  assertEquals(status, 200);
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

/** Imports a file. */
export const take = (call: Call, body: string | Uint8Array, headers: Record<string, string> = {}) =>
  call("POST", "/v1/feedback/import", body, { "Content-Type": "application/x-ndjson", ...headers });
