// Entry of a Web Worker that reads a feedback file: many seconds for a large one, in which a service must go on answering.
// Rows are asked for a few at a time, so that neither side ever holds all of them. It knows only the path it is given.

import { expose } from "comlink";
import { type FeedbackSummary, streamFeedback } from "../shared/feedback/read.ts";
import type { FeedbackRow } from "../shared/feedback/row.ts";
import type { Lifeline } from "./member.ts";

/** Some rows; the summary comes with the last. */
export interface FeedbackBatch {
  rows: FeedbackRow[];
  summary?: FeedbackSummary;
}

/** The face of the worker, which reads one file, once. Both throw InputError, known by its name on the other side. */
export interface FeedbackWorker extends Lifeline {
  /** Reads a file and keeps nothing of it. */
  check(path: string): Promise<void>;
  /** The next rows of a file. */
  next(path: string): Promise<FeedbackBatch>;
}

const rowsPerBatch = 100;

let reading: AsyncGenerator<FeedbackRow, FeedbackSummary> | undefined;

let lifeline: MessagePort | undefined;

const worker: FeedbackWorker = {
  hold(port) {
    lifeline?.close();
    lifeline = port;
  },
  async check(path) {
    for await (const _ of streamFeedback(path));
  },
  async next(path) {
    reading ??= streamFeedback(path);
    const rows: FeedbackRow[] = [];
    while (rows.length < rowsPerBatch) {
      const { done, value } = await reading.next();
      if (done) return { rows, summary: value };
      rows.push(value);
    }
    return { rows };
  },
};

expose(worker);
