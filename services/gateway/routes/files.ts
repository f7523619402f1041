// /v1/files: uploads to train on, and what runs leave behind.

import { join } from "node:path";
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { ensureWritableFolder, moveFileAtomic } from "../../../shared/atomic_file.ts";
import { WriteError } from "../../../shared/errors.ts";
import { addFile, deleteFile, findFile, listFiles, newFileId, type StoredFile } from "../../../shared/store/files.ts";
import { forgottenMark } from "../../../shared/store/forgotten.ts";
import { answerOnce, findAnswer } from "../../../shared/store/idempotency.ts";
import { openJobs } from "../../../shared/store/jobs.ts";
import { listAdapters } from "../../../shared/store/registry.ts";
import { openScratch } from "../data_folder.ts";
import { forgetInUpload } from "../forget_uploads.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { attachment } from "../http/attachment.ts";
import { receiveForm } from "../http/body.ts";
import { ApiError, errorSchema } from "../http/errors.ts";
import { idempotencyHeader, idempotencyOf } from "../http/idempotency.ts";
import { fileSchema } from "../schemas/fine_tuning.ts";
import { afterPage, afterPageOf, afterPageSchema } from "../schemas/lists.ts";
import { storableText } from "../schemas/request.ts";
import { idParams, jsonResponse, refusals } from "./describe.ts";

export const filesPath = "/v1/files";

/** Longest body of an upload, in bytes. */
const largestUpload = 256 * 2 ** 20;

const fieldsSchema = z.object({ purpose: z.literal("fine-tune", 'must be "fine-tune"') });

const uploadRoute = createRoute({
  method: "post",
  path: filesPath,
  tags: ["Fine-tuning"],
  summary: "Upload a file of thumbs to train on",
  request: {
    headers: idempotencyHeader,
    body: {
      required: true,
      content: {
        "multipart/form-data": {
          schema: fieldsSchema.extend({ file: z.string().openapi({ format: "binary" }) }),
        },
      },
    },
  },
  responses: {
    200: jsonResponse(fileSchema, "The file is on disk."),
    503: jsonResponse(errorSchema, "The disk is full, or cannot be written."),
    ...refusals(400, 401, 403, 413, 415, 422, 429),
  },
});

const listRoute = createRoute({
  method: "get",
  path: filesPath,
  tags: ["Fine-tuning"],
  summary: "Files, newest first",
  request: {
    query: afterPageSchema.extend({
      // OpenAI's own, whose clients often read the first page alone.
      limit: z.coerce.number().int().min(1).max(10_000).default(10_000),
      purpose: storableText(z.string().max(64)).optional(),
    }),
  },
  responses: {
    200: jsonResponse(
      afterPageOf(fileSchema),
      "One page.",
    ),
    ...refusals(400, 401, 403, 429),
  },
});

const oneRoute = createRoute({
  method: "get",
  path: `${filesPath}/{id}`,
  tags: ["Fine-tuning"],
  summary: "What is known of a file",
  request: { params: idParams },
  responses: { 200: jsonResponse(fileSchema, "The file."), ...refusals(400, 401, 403, 404, 429) },
});

const contentRoute = createRoute({
  method: "get",
  path: `${filesPath}/{id}/content`,
  tags: ["Fine-tuning"],
  summary: "A file's content",
  request: { params: idParams },
  responses: {
    200: {
      description: "The bytes.",
      content: { "application/octet-stream": { schema: z.string().openapi({ format: "binary" }) } },
    },
    ...refusals(400, 401, 403, 404, 429),
  },
});

const deleteRoute = createRoute({
  method: "delete",
  path: `${filesPath}/{id}`,
  tags: ["Fine-tuning"],
  summary: "Delete a file that no open job and no adapter needs",
  request: { params: idParams },
  responses: {
    200: jsonResponse(z.object({ id: z.string(), object: z.literal("file"), deleted: z.literal(true) }), "Deleted."),
    ...refusals(400, 401, 403, 404, 409, 429),
  },
});

/** A file's name as it is kept: in any script, without what could be part of a path or a header. */
const storedName = (name: string): string =>
  [...name.normalize("NFC").replaceAll(/[^\p{L}\p{M}\p{N} ._()-]/gu, "_")].slice(-200).join("").trim() || "upload";

type UploadedFile = z.infer<typeof fileSchema>;

const described = ({ id, bytes, createdAt, filename, purpose }: StoredFile): UploadedFile => ({
  id,
  object: "file",
  bytes,
  created_at: Math.floor(createdAt / 1000),
  filename,
  purpose,
  status: "processed",
});

/** Adds the routes. */
export function addFiles(app: OpenAPIHono<GatewayEnv>, { database, dataFolder, log }: Gateway): void {
  const found = async (id: string) => {
    const file = await findFile(database, id);
    if (file) return file;
    throw new ApiError(404, `There is no file "${id}".`, "id", "file_not_found");
  };
  app.use(`${filesPath}/*`, requireScope("admin"));

  // Described as the others are, and read by itself: what reads forms for them holds them in memory.
  app.openAPIRegistry.registerPath(uploadRoute);
  app.post(filesPath, async (context) => {
    const id = newFileId(), path = join("files", id);
    const begun = await forgottenMark(database);
    await using scratch = await openScratch(dataFolder);
    let filename = "The file";
    try {
      const { fields, file } = await receiveForm(context.req.raw, "file", scratch.path, largestUpload);
      if (!file) throw new ApiError(400, "file: must be a file", "file", "invalid_value");
      const { purpose } = fieldsSchema.parse(Object.fromEntries(fields));
      filename = storedName(file.name);
      // A form's own bytes differ from one sending to the next.
      const idempotency = idempotencyOf(context, JSON.stringify([purpose, filename, file.sha256]));
      const earlier = await findAnswer<UploadedFile>(database, idempotency);
      if (earlier) return context.json(earlier, 200);
      await ensureWritableFolder(join(dataFolder, "files"));
      await moveFileAtomic(scratch.path, join(dataFolder, path));
      const stored = { id, createdAt: Date.now(), filename, purpose, bytes: file.size, path };
      const kept = await database.write((queries) =>
        answerOnce(queries, idempotency, async () => {
          await addFile(queries, stored);
          return described(stored);
        })
      );
      // Another request under the same key came first.
      if (kept.id !== id) await Deno.remove(join(dataFolder, path));
      else await forgetInUpload(database, dataFolder, stored, begun);
      return context.json(kept, 200);
    } catch (error) {
      if (!(error instanceof WriteError)) throw error;
      log.error("upload not kept", { error: error.message });
      const why = error.message.slice(error.message.indexOf(": ") + 2);
      throw new ApiError(503, `${filename} could not be kept here: ${why}.`, null, "storage_failure");
    }
  });

  app.openapi(listRoute, async (context) => {
    const { limit, after, purpose } = context.req.valid("query");
    const files = await listFiles(database, limit + 1, { after, purpose });
    return context.json(afterPage(files.map(described), limit), 200);
  });

  app.openapi(oneRoute, async (context) => context.json(described(await found(context.req.valid("param").id)), 200));

  app.openapi(contentRoute, async (context) => {
    const { path, filename } = await found(context.req.valid("param").id);
    const file = await Deno.open(join(dataFolder, path)).catch(() => {
      throw new ApiError(404, `The content of ${filename} is gone from the data folder.`, "id", "file_not_found");
    });
    const { size } = await file.stat();
    // Never shown as a page of this origin: a report's scripts could otherwise act with the reader's rights.
    return context.body(file.readable, 200, {
      "Content-Type": "application/octet-stream",
      "Content-Length": String(size),
      "Content-Disposition": attachment(filename),
    }) as never;
  });

  app.openapi(deleteRoute, async (context) => {
    const { id } = context.req.valid("param");
    const { path, filename } = await found(id);
    const adapter = (await listAdapters(database)).find(({ files }) => Object.values(files).includes(id));
    if (adapter) {
      throw new ApiError(409, `${filename} belongs to base:${adapter.name}; remove the adapter first.`, "id", "in_use");
    }
    // A job reads its file again whenever it is gone on with.
    const job = (await openJobs(database)).find(({ request }) => request.trainingFile === id);
    if (job) {
      const message = `${filename} is what the job ${job.id} trains on; wait for its end or cancel it first.`;
      throw new ApiError(409, message, "id", "in_use");
    }
    await deleteFile(database, id);
    await Deno.remove(join(dataFolder, path)).catch(() => {});
    return context.json({ id, object: "file" as const, deleted: true as const }, 200);
  });
}
