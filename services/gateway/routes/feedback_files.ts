// /v1/feedback/export and /v1/feedback/import: thumbs as whole files of JSON Lines.

import { createHash } from "node:crypto";
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { counted } from "../../../shared/counted.ts";
import { InputError } from "../../../shared/errors.ts";
import { type FeedbackRow, isExported } from "../../../shared/feedback/row.ts";
import { exportFeedback } from "../../../shared/store/export_feedback.ts";
import { forgottenMark } from "../../../shared/store/forgotten.ts";
import { findAnswer } from "../../../shared/store/idempotency.ts";
import { type ImportedFeedback, type ImportedRow, importFeedback } from "../../../shared/store/import_feedback.ts";
import { openScratch } from "../data_folder.ts";
import { readFeedbackRows } from "../feedback_files.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { hashing, piecesOf, writePieces } from "../http/body.ts";
import { ApiError, validationError } from "../http/errors.ts";
import { idempotencyHeader, idempotencyOf } from "../http/idempotency.ts";
import { feedbackFilterSchema, originSchema, readFilter, readOrigin, remarksSchema } from "../schemas/feedback.ts";
import { queryWithMetadata } from "../schemas/lists.ts";
import { jsonResponse, refusals } from "./describe.ts";

export const importPath = "/v1/feedback/import";

/** Longest file that is taken in, in bytes. */
const largestImport = 256 * 2 ** 20;

const jsonLines = "application/x-ndjson";

const exportRoute = createRoute({
  method: "get",
  path: "/v1/feedback/export",
  tags: ["Feedback"],
  summary: "All current thumbs as TRL's unpaired rows, oldest first",
  request: { query: queryWithMetadata(feedbackFilterSchema) },
  responses: {
    200: {
      description:
        "A row a line: `prompt`, `completion`, `label`, then where it is from. A correction is a row of its own.",
      content: { [jsonLines]: { schema: z.string() } },
    },
    ...refusals(400, 401, 403, 429),
  },
});

const importRoute = createRoute({
  method: "post",
  path: importPath,
  tags: ["Feedback"],
  summary: "Take in a file of thumbs, all of it or nothing; the formats are those of deno task train",
  description:
    "Rows that an export wrote keep their `id` and `completion_id`: what is here already stays as it is, what is newer " +
    "in the file replaces, and an id that is something else here is refused by its line. Left out, and named in `notes`, " +
    "are rows whose answer is empty and records that cannot be read as what they mean; `notes` name unused fields, too.",
  request: {
    headers: idempotencyHeader,
    body: { required: true, content: { [jsonLines]: { schema: z.string() } } },
  },
  responses: {
    201: jsonResponse(
      z.object({
        object: z.literal("feedback.import"),
        rows: z.int(),
        desirable: z.int(),
        undesirable: z.int(),
        added: z.int().openapi({ description: "Thumbs that were not here. A correction and its answer are one." }),
        replaced: z.int().openapi({ description: "Thumbs that were here under their id and are newer in the file." }),
        unchanged: z.int().openapi({ description: "Thumbs that were here, as new as in the file or newer." }),
        notes: z.array(z.string()),
      }),
      "All rows are on disk.",
    ),
    ...refusals(400, 401, 403, 413, 415, 422, 429),
  },
});

/** Lines, gathered into pieces that are worth sending. */
async function* linesOf(rows: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  let text = "";
  for await (const row of rows) {
    text += JSON.stringify(row) + "\n";
    if (text.length > 65536) {
      yield encoder.encode(text);
      text = "";
    }
  }
  if (text !== "") yield encoder.encode(text);
}

/** A sequence whose first result was read already. */
async function* continued<Piece>(first: IteratorResult<Piece>, rest: AsyncGenerator<Piece>): AsyncGenerator<Piece> {
  try {
    if (!first.done) yield first.value;
    yield* rest;
  } finally {
    await rest.return(undefined);
  }
}

/**
 * Rows with who judged and what they said of it, so that what one gateway exports another takes in.
 *
 * @throws InputError for a column of such a name that holds something else
 */
async function* withRemarks(rows: AsyncIterable<FeedbackRow>): AsyncGenerator<ImportedRow> {
  for await (const { remarks, ...row } of rows) {
    if (!remarks) {
      yield row;
      continue;
    }
    const { end_user, reason, tags } = parsed(remarksSchema, remarks, row.line);
    yield {
      ...row,
      endUser: end_user,
      reason,
      tags,
      origin: isExported({ remarks }) ? readOrigin(parsed(originSchema, remarks, row.line)) : undefined,
    };
  }
}

/** @throws InputError naming the line */
function parsed<Schema extends z.ZodType>(schema: Schema, remarks: unknown, line: number): z.infer<Schema> {
  const read = schema.safeParse(remarks);
  if (read.success) return read.data;
  throw new InputError(`body:${line}: ${validationError(read.error).message}`);
}

/** Adds the routes. */
export function addFeedbackFiles(app: OpenAPIHono<GatewayEnv>, { database, dataFolder }: Gateway): void {
  app.use(exportRoute.path, requireScope("admin"));
  app.use(importPath, requireScope("admin"));

  app.openapi(exportRoute, async (context) => {
    const pieces = linesOf(exportFeedback(database, readFilter(context.req.valid("query"))));
    // The first piece is waited for, while a refusal can still be one.
    const first = await pieces.next();
    // A stream is no type that a route's description could promise.
    return context.body(ReadableStream.from(continued(first, pieces)), 200, {
      "Content-Type": `${jsonLines}; charset=utf-8`,
      "Content-Disposition": 'attachment; filename="feedback.jsonl"',
    }) as never;
  });

  app.openapi(importRoute, async (context) => {
    const { raw } = context.req;
    if (!raw.body) throw new ApiError(400, "The body is empty: it needs one row of feedback a line.");
    await using scratch = await openScratch(dataFolder);
    const begun = await forgottenMark(database);
    const { path } = scratch, hash = createHash("sha256");
    try {
      await writePieces(path, hashing(piecesOf(raw, largestImport), hash));
      const idempotency = idempotencyOf(context, hash.digest("hex"));
      const named = (sentence: string) => sentence.replaceAll(path, "body");
      // A file that is sent again under its key is not read again.
      const { different, notes, ...counts } = await findAnswer<ImportedFeedback>(database, idempotency) ??
        await readFeedbackRows(path, (rows, summary) =>
          importFeedback(
            database,
            withRemarks(rows),
            idempotency,
            context.get("caller"),
            () => [...summary().summary, ...summary().warnings].map(named),
            begun,
          ));
      if (different > 0) {
        notes.push(
          `${
            counted(different, "thumb")
          } of the file that said something else here, or had been taken back here since, ` +
            "stayed as it is here.",
        );
      }
      return context.json({ object: "feedback.import" as const, ...counts, notes }, 201);
    } catch (error) {
      if (error instanceof InputError) throw new ApiError(400, error.message.replaceAll(path, "body"), "body");
      throw error;
    }
  });
}
