// Where the embedded model and its feedback file are: in the repository, so that a fresh clone has something to train.

import { fileURLToPath } from "node:url";

/** Folder of the embedded model, in transformers.js' layout, with `feedback.jsonl` beside it. */
export const embeddedModelFolder = fileURLToPath(new URL("../../models/prospect-world/", import.meta.url)).replace(
  /\/$/,
  "",
);

/** The default training data: answers of the embedded model, judged, with noise. */
export const embeddedFeedback = `${embeddedModelFolder}/feedback.jsonl`;
