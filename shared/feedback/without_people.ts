// Takes the rows of people who were deleted out of a feedback file. Knows which fields of a row name a person, and nothing
// of what else is in it: what is not JSON stays as it is.

import { createReadStream } from "node:fs";
import { writeFileAtomic } from "../atomic_file.ts";
import { elementsOf } from "./json_array.ts";

/** Fields that name who judged, and who asked. */
const personFields = ["end_user", "asked_by"];

/** No record is longer, in bytes. */
const longestRecord = 16 * 1024 * 1024;

/**
 * Rewrites a file of JSON Lines, or of one array, without the rows that name one of these people: whole or not at all.
 *
 * @returns its bytes where rows were taken out, else undefined
 */
export async function takeOutPeople(path: string, isGone: (name: string) => boolean): Promise<number | undefined> {
  const decoder = new TextDecoder();
  const namesOne = (text: string) => {
    if (!personFields.some((field) => text.includes(field)) && !text.includes("\\u")) return false;
    const record = parsed(text);
    return personFields.some((field) => typeof record?.[field] === "string" && isGone(record[field]));
  };
  const blocks = () => createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>;
  const kept: string[] = [];
  let rows = 0, array: boolean | undefined, rest = "";
  const take = (text: string) => {
    rows++;
    if (!namesOne(text)) kept.push(text);
  };
  for await (const block of blocks()) {
    rest += decoder.decode(block, { stream: true });
    array ??= /\S/.test(rest) ? /^\s*\uFEFF?\s*\[/.test(rest) : undefined;
    if (array) break;
    const lines = rest.split("\n");
    rest = lines.pop()!;
    lines.forEach(take);
  }
  if (array) {
    for await (const { bytes } of elementsOf(blocks(), longestRecord)) take(new TextDecoder().decode(bytes));
  } else if (rest !== "") take(rest);
  if (kept.length === rows) return undefined;
  const bytes = new TextEncoder().encode(array ? `[${kept.join(",\n")}]\n` : kept.map((line) => `${line}\n`).join(""));
  await writeFileAtomic(path, bytes);
  return bytes.length;
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
