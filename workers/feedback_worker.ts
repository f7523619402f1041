// Entry of a Web Worker that reads or copies a feedback file: many seconds for a large one, in which a service must go on answering.
// Rows are asked for a few at a time, so that neither side ever holds all of them. It knows only the path it is given.

import { expose } from "comlink";
import { type FeedbackSummary, streamFeedback } from "../shared/feedback/read.ts";
import { type FeedbackRow, isExported } from "../shared/feedback/row.ts";
import { copyWithoutPeople } from "../shared/feedback/without_people.ts";
import { personHash } from "../shared/store/forgotten.ts";
import type { Lifeline } from "./member.ts";

/** Some rows; the summary comes with the last. */
export interface FeedbackBatch {
  rows: FeedbackRow[];
  summary?: FeedbackSummary;
}

/** The face of the worker, which reads one file, once. All throw InputError, known by its name on the other side. */
export interface FeedbackWorker extends Lifeline {
  /** Reads a file and keeps nothing of it. */
  check(path: string): Promise<void>;
  /** The next rows of a file; of an export also those whose answer is empty, since their thumbs are no less true. */
  next(path: string): Promise<FeedbackBatch>;
  /** Copies a file without the rows of people, given by `personHash`. @returns the copy's bytes; undefined for no copy */
  copyWithout(path: string, to: string, people: readonly string[]): Promise<number | undefined>;
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
    reading ??= streamFeedback(path, isExported);
    const rows: FeedbackRow[] = [];
    while (rows.length < rowsPerBatch) {
      const { done, value } = await reading.next();
      if (done) return { rows, summary: value };
      rows.push(value);
    }
    return { rows };
  },
  async copyWithout(path, to, people) {
    const gone = new Set(people);
    return await copyWithoutPeople(path, to, (name) => gone.has(personHash(name)));
  },
};

expose(worker);
