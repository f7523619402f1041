// Lists as clients see them: what selects a page of one, its schema, and what fills it. It does not know what is listed.

import { z } from "@hono/zod-openapi";
import type { Page } from "../../../shared/store/pages.ts";
import { metadataSchema, storableText } from "./request.ts";

/** What finds answers by what their clients keep with them. */
export const keptWithFilter = {
  safety_identifier: storableText(z.string().max(256)).optional(),
  metadata: metadataSchema.optional().openapi({
    param: { style: "deepObject", explode: true },
    description: "Pairs that the answer must have: `metadata[key]=value`.",
  }),
};

/** A query whose `metadata[key]=value` are one field. */
export function queryWithMetadata<Query extends z.ZodType>(query: Query): z.ZodPipe<z.ZodTransform, Query> {
  const gathered = z.transform((query: unknown): unknown => {
    const sent = query as Record<string, unknown>;
    const pairs = Object.entries(sent).map(([name, value]) => [/^metadata\[(.+)\]$/s.exec(name)?.[1], value] as const);
    const metadata = pairs.filter(([name]) => name !== undefined);
    return metadata.length > 0 ? { ...sent, metadata: Object.fromEntries(metadata) } : sent;
  });
  return z.pipe(gathered, query);
}

/** `limit` and `after`, as OpenAI pages. */
export const afterPageSchema = z.object({
  limit: z.coerce.number().int().min(1).max(1000).default(20),
  after: storableText(z.string().max(200)).optional(),
});

/** `limit` and `cursor`, for lists that change while they are gone through. */
export const cursorPageSchema = z.object({
  limit: z.coerce.number().int().min(1).max(1000).default(50),
  cursor: z.string().max(500).optional().openapi({ description: "`next_cursor` of the page before." }),
});

/** A whole list. */
export const listOf = <Item extends z.ZodType>(item: Item) =>
  z.object({ object: z.literal("list"), data: z.array(item) });

/** A page of a list that is selected by `after`. */
export const afterPageOf = <Item extends z.ZodType>(item: Item) => listOf(item).extend({ has_more: z.boolean() });

/** A page of a list that is selected by `cursor`. */
export const cursorPageOf = <Item extends z.ZodType>(item: Item) =>
  afterPageOf(item).extend({ next_cursor: z.string().nullable() });

export const list = <Item>(data: Item[]) => ({ object: "list" as const, data });

/** A page of those that were read: one more than the limit, to see whether another follows. */
export const afterPage = <Item>(read: Item[], limit: number) => ({
  ...list(read.slice(0, limit)),
  has_more: read.length > limit,
});

/** A page of the store's, its items described. */
export const cursorPage = <Item>({ nextCursor }: Page<unknown>, described: Item[]) => ({
  ...list(described),
  has_more: nextCursor !== null,
  next_cursor: nextCursor,
});
