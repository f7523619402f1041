// Entry of a Web Worker that looks through labels: seconds of work for a large store, in which a service must go on
// answering. It knows only what it is given.

import { expose } from "comlink";
import { hygieneReport, inspectLabels, type LabelledAnswer } from "../shared/feedback/hygiene.ts";

/** The face of the worker. */
export interface LabelWorker {
  /** Takes rows, a few at a time: whoever hands them over is held while they are copied. */
  add(rows: LabelledAnswer[]): void;
  /** What is the matter with all rows that were added. */
  report(): ReturnType<typeof hygieneReport>;
}

const all: LabelledAnswer[] = [];

const worker: LabelWorker = {
  add: (rows) => {
    for (const row of rows) all.push(row);
  },
  report: () => hygieneReport(inspectLabels(all)),
};

expose(worker);
