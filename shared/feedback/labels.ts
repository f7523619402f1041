// The many ways a thumb is written down, read into desirable (true) or undesirable (false).
// Knows nothing of rows or files: the caller says where a value stands, for the error.

import { InputError } from "../errors.ts";

/** Words for a thumb up and a thumb down, lower case, with `_` and `-` read as a space. */
const WORDS = new Map<string, boolean>([
  ...["desirable", "true", "1", "+1", "up", "thumb up", "thumbs up", "positive", "good", "yes", "like", "chosen", "👍"]
    .map((word): [string, boolean] => [word, true]),
  ...[
    "undesirable",
    "false",
    "0",
    "-1",
    "down",
    "thumb down",
    "thumbs down",
    "negative",
    "bad",
    "no",
    "dislike",
    "rejected",
  ]
    .map((word): [string, boolean] => [word, false]),
  ["👎", false],
]);

/** Reads one label. `where` is file:line, `field` the path of the value inside the record. Throws InputError. */
export type LabelReader = (value: unknown, where: string, field: string) => boolean;

/** True where a record or a turn carries no thumb at all. */
export function isUnlabelled(value: unknown): boolean {
  return value === undefined || value === null || value === "";
}

/**
 * A reader for one file's labels. It remembers where 0 and -1 were seen: either of them means undesirable beside 1, but
 * a file with both has three values, and 0 may then mean "no opinion".
 */
export function labelReader(): LabelReader {
  let zero: string | undefined;
  let minusOne: string | undefined;
  return (value, where, field) => {
    const word = String(value).trim().toLowerCase();
    const label = typeof value === "boolean" ? value : WORDS.get(plainWord(word));
    if (label === undefined || (typeof value === "object" && value !== null)) {
      throw new InputError(
        `${where}: ${field} is ${JSON.stringify(value)}, which is no label: use true or false, "desirable" or ` +
          `"undesirable", 1 or 0, 1 or -1, "👍" or "👎".`,
      );
    }
    if (word === "0") zero ??= where;
    if (word === "-1") minusOne ??= where;
    if (zero !== undefined && minusOne !== undefined) {
      throw new InputError(
        `${where}: ${field} mixes 0 (${zero}) and -1 (${minusOne}) in one file, so it is unclear which one is ` +
          `undesirable: use true and false, and leave out rows without an opinion.`,
      );
    }
    return label;
  };
}

/** Skin tones and the emoji variation selector do not change a thumb; `thumbs_up`, `thumbs-up` and `thumbs up` are one. */
function plainWord(word: string): string {
  const bare = word.replace(/[\u{1F3FB}-\u{1F3FF}\u{FE0F}]/gu, "");
  return /^[+-]?\d+$/.test(bare) ? bare : bare.replace(/[_-]/g, " ").replace(/^:|:$/g, "");
}
