// A feedback file as rows that a model can be given, with every row that was dropped or changed, and every field that was
// not used, accounted for in words and in counts. It does not know what the rows are for.

import { readFeedback } from "../../shared/feedback/read.ts";
import type { FeedbackRow } from "../../shared/feedback/row.ts";
import { countsOf, describeReport, type TokenizedRow } from "../../shared/feedback/tokenize.ts";
import { contextLengthOf } from "../../shared/runtime/model_sizes.ts";
import { type RowThreadsOptions, tokenizeInThreads } from "../../workers/row_threads.ts";
import type { OpenModel } from "./model.ts";

/** A feedback file, read and tokenised. */
export interface ReadRows {
  /** As read, without the rows that were dropped then. */
  source: FeedbackRow[];
  rows: TokenizedRow[];
  /** Plain sentences for people, and those of them that must not be missed. */
  notes: string[];
  warnings: string[];
  /** How many rows each thing happened to, by its name; nothing that happened to none. */
  changed: Record<string, number>;
}

/**
 * Reads and tokenises a file. Says nothing to people, who may be told other things first; programs are told at once.
 *
 * @throws InputError where the file is unusable, or the chat template refuses a row
 */
export async function readRows(
  path: string,
  model: OpenModel,
  options: Omit<RowThreadsOptions, "contextLength">,
): Promise<ReadRows> {
  const { rows: source, summary, refused, unused, ...file } = await readFeedback(path);
  const contextLength = contextLengthOf(model.folder.config);
  const { rows, report } = await tokenizeInThreads(source, model, { ...options, contextLength });
  const described = describeReport(report, path);
  const warnings = [...file.warnings, ...described.warnings];
  const changed = countsOf(report),
    count = (name: string, rows: number) => {
      if (rows > 0) changed[name] = (changed[name] ?? 0) + rows;
    };
  count("empty_completion", file.emptyCompletions.length);
  count("refused", Object.values(refused).flat().length);
  for (const [field, records] of Object.entries(unused)) count(`unused.${field}`, records);
  const { desirable, undesirable } = report;
  const read: ReadRows = { source, rows, notes: [...summary, ...described.notes], warnings, changed };
  options.reporter.event("data", { desirable, undesirable, changed, notes: read.notes, warnings });
  return read;
}
