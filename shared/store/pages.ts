// Cursors: where a page of a listing ended, as text that clients hand back unread. Knows nothing of what is listed.

import { Buffer } from "node:buffer";
import { z } from "zod";
import { InputError } from "../errors.ts";

/** A cursor that is none of the listing that it was sent to. */
export class CursorError extends InputError {}

/** A page of a listing. */
export interface Page<Item> {
  items: Item[];
  /** Where the next page begins; null after the last. */
  nextCursor: string | null;
}

/** How much of a listing is wanted. */
export interface PageRequest {
  cursor?: string | undefined;
  /** Most items of the page. */
  limit: number;
}

/** The page of `items`, which were read with one more than the limit to see whether another follows. */
export function pageOf<Item>(items: Item[], limit: number, cursorOf: (last: Item) => (string | number)[]): Page<Item> {
  const shown = items.slice(0, limit);
  const last = shown.at(-1);
  const more = items.length > limit && last !== undefined;
  return { items: shown, nextCursor: more ? Buffer.from(JSON.stringify(cursorOf(last))).toString("base64url") : null };
}

/**
 * @param schema What the listing's cursors hold.
 * @throws CursorError for a cursor that is none of this listing's.
 */
export function readCursor<Place>(cursor: string, schema: z.ZodType<Place>): Place {
  try {
    return schema.parse(JSON.parse(Buffer.from(cursor, "base64url").toString()));
  } catch {
    throw new CursorError("cursor: it is none that a listing returned; leave it out to begin at the newest.");
  }
}
