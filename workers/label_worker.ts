// Entry of a Web Worker that looks through labels: seconds of work for a large store, in which a service must go on
// answering. It knows only what it is given.

import { expose } from "comlink";
import { hygieneReport, inspectLabels, type LabelledAnswer } from "../shared/feedback/hygiene.ts";

/** The face of the worker. */
export interface LabelWorker {
  inspect(rows: LabelledAnswer[]): ReturnType<typeof hygieneReport>;
}

const worker: LabelWorker = { inspect: (rows) => hygieneReport(inspectLabels(rows)) };

expose(worker);
