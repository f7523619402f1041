// GET /v1/feedback/hygiene: what is the matter with the labels, before anyone trains on them.

import { wrap } from "comlink";
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { LabelledAnswer } from "../../../shared/feedback/hygiene.ts";
import { type ExportedRow, exportFeedback } from "../../../shared/store/export_feedback.ts";
import { listJobs } from "../../../shared/store/jobs.ts";
import type { LabelWorker } from "../../../workers/label_worker.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { requireScope } from "../http/authorize.ts";
import { feedbackFilterSchema, readFilter } from "../schemas/feedback.ts";
import { queryWithMetadata } from "../schemas/lists.ts";
import { jsonResponse, refusals } from "./describe.ts";

/** Most rows that are looked through, the oldest first: what does not fit is said. */
const mostRows = 100_000;

/** Rows that go to the thread in one message: answers wait while they are copied. */
const rowsPerBatch = 200;

/** Jobs that are looked at for one that has measured how stale answers are. */
const recentJobs = 50;

/** What is added to a label's id where the row is the correction. */
const correctionMark = " correction";

const staleSchema = z.object({
  measured: z.int(),
  beyond: z.array(z.object({ moved: z.number(), rows: z.int() })),
});

const hygieneSchema = z.object({
  rows: z.int(),
  truncated: z.boolean().openapi({ description: `Whether there are more than the ${mostRows} rows looked through.` }),
  desirable: z.int(),
  undesirable: z.int(),
  weights: z.object({ desirable: z.number(), undesirable: z.number() }),
  exact_duplicates: z.int(),
  near_duplicates: z.int(),
  contradictions: z.int(),
  empty: z.int(),
  stale: staleSchema.extend({ job_id: z.string().nullable() }).openapi({
    description:
      "Answers by how far their log-prob per token moved since they were given, as the newest job measured it.",
  }),
  examples: z.object({ contradictions: z.array(z.string()), near_duplicates: z.array(z.string()) }),
}).openapi("Hygiene");

const route = createRoute({
  method: "get",
  path: "/v1/feedback/hygiene",
  tags: ["Feedback"],
  summary: "Duplicates, contradictions, class balance and stale answers among the labels",
  request: { query: queryWithMetadata(feedbackFilterSchema) },
  responses: { 200: jsonResponse(hygieneSchema, "What was found."), ...refusals(400, 401, 403, 429) },
});

/** Adds the route. */
export function addHygiene(app: OpenAPIHono<GatewayEnv>, { database }: Gateway): void {
  app.use(route.path, requireScope("admin"));
  app.openapi(route, async (context) => {
    const { truncated, report } = await inspect(exportFeedback(database, readFilter(context.req.valid("query"))));
    const { stale: _, examples, ...found } = report;
    const withoutMark = (ids: string[]) => [...new Set(ids.map((id) => id.replace(correctionMark, "")))];
    return context.json({
      ...found,
      truncated,
      stale: await newestStaleness(),
      examples: {
        contradictions: withoutMark(examples.contradictions),
        near_duplicates: withoutMark(examples.near_duplicates),
      },
    }, 200);
  });

  async function newestStaleness() {
    for (const { id, data } of await listJobs(database, recentJobs)) {
      const hygiene = z.object({ hygiene: z.object({ stale: staleSchema }) }).safeParse(data);
      if (hygiene.success) return { ...hygiene.data.hygiene.stale, job_id: id };
    }
    return { measured: 0, beyond: [], job_id: null };
  }
}

/** Looks through the first rows in a thread. @returns what was found, and whether there were more */
async function inspect(rows: AsyncIterable<ExportedRow>) {
  const thread = new Worker(new URL("../../../workers/label_worker.ts", import.meta.url), { type: "module" });
  try {
    const worker = wrap<LabelWorker>(thread);
    let batch: LabelledAnswer[] = [], read = 0, truncated = false;
    for await (const { prompt, completion, label, id, is_correction } of rows) {
      truncated = read === mostRows;
      if (truncated) break;
      read++;
      batch.push({ prompt, completion, label, id: is_correction ? id + correctionMark : id });
      if (batch.length < rowsPerBatch) continue;
      await worker.add(batch);
      batch = [];
    }
    await worker.add(batch);
    return { truncated, report: await worker.report() };
  } finally {
    thread.terminate();
  }
}
