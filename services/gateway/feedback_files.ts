// Feedback files in the data folder, read in a thread of their own: one of hundreds of megabytes keeps no answer waiting.
// It knows no routes, and not what rows are for.

import { type Remote, wrap } from "comlink";
import { InputError } from "../../shared/errors.ts";
import type { FeedbackSummary } from "../../shared/feedback/read.ts";
import type { FeedbackRow } from "../../shared/feedback/row.ts";
import type { FeedbackWorker } from "../../workers/feedback_worker.ts";

/** Reads a file to its end. @throws InputError for one that cannot be trained on */
export const checkFeedback = (path: string): Promise<void> => inThread((worker) => worker.check(path));

/**
 * Hands the rows of a file to `take`, which goes through them at its own pace.
 *
 * @param take given the rows, and what is to be said of the file once they were all read
 * @throws InputError out of the rows, once the file turns out to be unusable
 */
export function readFeedbackRows<Result>(
  path: string,
  take: (rows: AsyncIterable<FeedbackRow>, summary: () => FeedbackSummary) => Promise<Result>,
): Promise<Result> {
  return inThread(async (worker) => {
    let summary: FeedbackSummary | undefined;
    async function* rows() {
      while (!summary) {
        const batch = await worker.next(path).catch(asInputError);
        yield* batch.rows;
        summary = batch.summary;
      }
    }
    return await take(rows(), () => summary!);
  });
}

async function inThread<Result>(use: (worker: Remote<FeedbackWorker>) => Promise<Result>): Promise<Result> {
  const thread = new Worker(new URL("../../workers/feedback_worker.ts", import.meta.url), { type: "module" });
  try {
    return await use(wrap<FeedbackWorker>(thread)).catch(asInputError);
  } finally {
    thread.terminate();
  }
}

/** An error that came out of a thread has its name, and not its class. */
function asInputError(error: Error): never {
  throw error.name === "InputError" && !(error instanceof InputError) ? new InputError(error.message) : error;
}
