// From a feedback file to rows that can be trained on: read, tokenised, split by prompt, weighted, with every row that
// was dropped or changed accounted for in words. It does not know batches, and of the model only tokenizer and context.

import { counted } from "../../shared/counted.ts";
import { InputError } from "../../shared/errors.ts";
import { classWeights, splitHeldOut } from "../../shared/feedback/batches.ts";
import type { FeedbackRow } from "../../shared/feedback/row.ts";
import type { TokenizedRow } from "../../shared/feedback/tokenize.ts";
import type { Reporter } from "../../shared/progress.ts";
import type { PromptSet } from "./held_out.ts";
import type { OpenModel } from "./model.ts";
import { readRows } from "./read_rows.ts";
import type { TrainSettings } from "./settings.ts";

export interface TrainingData {
  path: string;
  /** As read, without the rows that were dropped then. */
  source: FeedbackRow[];
  train: TokenizedRow[];
  heldOut: TokenizedRow[];
  counts: { desirable: number; undesirable: number };
  weights: { desirable: number; undesirable: number };
  /** Plain sentences about the data, for people. */
  notes: string[];
  warnings: string[];
  /** How many rows each thing happened to on their way into tokens, by its name. */
  changed: Record<string, number>;
}

function count(rows: readonly { label: boolean }[]): { desirable: number; undesirable: number } {
  const desirable = rows.filter(({ label }) => label).length;
  return { desirable, undesirable: rows.length - desirable };
}

/** Of the held-out split: not the run's seed, so that runs on one store hold out the same prompts. */
const splitSeed = 0;

/** Most of the rows that an earlier adapter has not seen which are held out, as a share: the others are what is new to learn. */
const mostOfNew = 0.5;

/**
 * Splits off about `fraction` of the rows by prompt. Prompts that the run's first adapter was trained on are never held
 * out, since it knows their labels; where there are such, more of the others are, up to half.
 */
function split(
  rows: TokenizedRow[],
  fraction: number,
  trainedBefore: PromptSet,
): Pick<TrainingData, "train" | "heldOut"> {
  const unseen = rows.filter(({ promptKey }) => !trainedBefore.has(promptKey));
  const most = unseen.length === rows.length ? 1 : Math.max(fraction, mostOfNew);
  const { heldOut } = splitHeldOut(unseen, Math.min(most, fraction * rows.length / unseen.length), splitSeed);
  const held = new Set(heldOut);
  return { train: rows.filter((row) => !held.has(row)), heldOut };
}

/**
 * Reads and prepares the feedback file.
 *
 * @param trainedBefore prompts that the adapter the run starts from has seen
 * @param checkpoint asked between shares of work: throws to end it
 * @throws InputError where the file is unusable or no row is left
 */
export async function prepareData(
  path: string,
  model: OpenModel,
  settings: TrainSettings,
  trainedBefore: PromptSet,
  reporter: Reporter,
  checkpoint: () => void = () => {},
): Promise<TrainingData> {
  const { source, rows, notes, warnings, changed } = await readRows(path, model, {
    maxLength: settings.maxLength,
    workers: settings.workers,
    reporter,
    checkpoint,
  });
  if (rows.length === 0) {
    throw new InputError(`${path}: no row is left to train on (${[...notes, ...warnings].join(" ")})`);
  }
  const { train, heldOut } = split(rows, settings.heldOut, trainedBefore);
  const counts = count(train);
  const { reason, ...weights } = classWeights(counts, {
    desirable: settings.desirableWeight,
    undesirable: settings.undesirableWeight,
  });
  notes.push(reason);
  const seen = rows.filter(({ promptKey }) => trainedBefore.has(promptKey)).length, fresh = rows.length - seen;
  if (seen > 0) {
    notes.push(
      `${seen} of ${
        counted(rows.length, "row")
      } answer prompts that the adapter this run starts from was trained on, and ` +
        `are not held out; of the other ${fresh}, ${heldOut.length} are held out and ${
          fresh - heldOut.length
        } trained on.`,
    );
  }
  if (counts.desirable === 0 || counts.undesirable === 0) {
    warnings.push(
      `${path}: ${train.length === 1 ? "the one training row is" : `all ${train.length} training rows are`} ${
        counts.desirable === 0 ? "undesirable" : "desirable"
      }; KTO runs, but ` +
        `nothing shows the model the other side: use a low learning rate, or collect both thumbs.`,
    );
  }
  if (settings.heldOut > 0 && heldOut.length === 0) {
    warnings.push(
      fresh === 0
        ? `${path}: the adapter this run starts from was trained on every prompt here, so none can be held out fairly; ` +
          `there will be no AUC, and the gate will not pass.`
        : `${path}: too few prompts to hold any out; there will be no AUC.`,
    );
  }
  return { path, source, train, heldOut, counts, weights, notes, warnings, changed };
}
