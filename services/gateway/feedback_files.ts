// Feedback files in the data folder, read in a thread of their own: one of hundreds of megabytes keeps no answer waiting.
// It knows no routes, and not what rows are for.

import { resolve } from "node:path";
import { InputError } from "../../shared/errors.ts";
import type { FeedbackSummary } from "../../shared/feedback/read.ts";
import type { FeedbackRow } from "../../shared/feedback/row.ts";
import type { FeedbackWorker } from "../../workers/feedback_worker.ts";
import { startMember } from "../../workers/member.ts";

/** Reads a file to its end. @throws InputError for one that cannot be trained on */
export const checkFeedback = (path: string): Promise<void> => inThread(path, (worker) => worker.check(path));

/** Copies a file without people's rows. @see FeedbackWorker.copyWithout */
export const copyWithout = (path: string, to: string, people: readonly string[]): Promise<number | undefined> =>
  inThread(path, (worker) => worker.copyWithout(path, to, people), [resolve(to)]);

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
  return inThread(path, async (worker) => {
    let summary: FeedbackSummary | undefined;
    async function* rows() {
      while (!summary) {
        const batch = await worker.next(path);
        yield* batch.rows;
        summary = batch.summary;
      }
    }
    return await take(rows(), () => summary!);
  });
}

/** Milliseconds for a small file, and bytes that are read in one more, on a machine at its limit. */
const patience = 60_000, bytesPerMillisecond = 1000;

/** A thread that may read the file and write a copy, for as long as the worst file of its size may take. */
async function inThread<Result>(
  path: string,
  use: (worker: Pick<FeedbackWorker, "check" | "next" | "copyWithout">) => Promise<Result>,
  write: string[] = [],
): Promise<Result> {
  const { remote, death, end } = startMember<FeedbackWorker>(
    new URL("../../workers/feedback_worker.ts", import.meta.url),
    "feedback reader",
    { read: [resolve(path)], write },
  );
  const longest = Math.round(patience + (await Deno.stat(path)).size / bytesPerMillisecond);
  const bounded = async <Answer>(answer: Promise<Answer>): Promise<Answer> => {
    let late: ReturnType<typeof setTimeout> | undefined;
    const overdue = new Promise<never>((_, reject) => {
      late = setTimeout(() => reject(new InputError(`The file takes longer to read than ${longest} ms.`)), longest);
    });
    try {
      return await Promise.race([answer, death, overdue]).catch(asInputError);
    } finally {
      clearTimeout(late);
    }
  };
  try {
    return await use({
      check: (path) => bounded(remote.check(path)),
      next: (path) => bounded(remote.next(path)),
      copyWithout: (path, to, people) => bounded(remote.copyWithout(path, to, people)),
    });
  } finally {
    end();
  }
}

/** An error that came out of a thread has its name, and not its class. */
function asInputError(error: Error): never {
  throw error.name === "InputError" && !(error instanceof InputError) ? new InputError(error.message) : error;
}
