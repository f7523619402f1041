// Feedback rows made up for timing: random token ids, both classes alike, lengths around a mean. The same settings give
// the same rows, here and for a peer. It does not know models.

import type { TokenizedRow } from "../../../shared/feedback/tokenize.ts";
import { Random } from "../../../shared/random.ts";

/** How far a row's length may be from the mean, as a share of it. */
export const lengthSpread = 0.2;

export interface RowShape {
  rows: number;
  /** Mean tokens of a row. */
  tokens: number;
  /** Ids are below it. */
  vocabulary: number;
  seed: number;
}

/** Rows whose prompts are about half of them, desirable and undesirable in turn. */
export function syntheticRows({ rows, tokens, vocabulary, seed }: RowShape): TokenizedRow[] {
  const random = new Random(seed);
  const ids = (count: number) => Array.from({ length: count }, () => random.int(vocabulary));
  return Array.from({ length: rows }, (_, index) => {
    const length = Math.round(tokens * (1 + lengthSpread * (2 * random.next() - 1)));
    const prompt = Math.round(length * (0.4 + 0.2 * random.next()));
    return {
      index,
      line: index + 1,
      promptKey: `${index}`,
      promptIds: ids(prompt),
      completionIds: ids(length - prompt),
      label: index % 2 === 0,
    };
  });
}

/** Tokens of rows, prompts and completions alike. */
export function countTokens(rows: readonly Pick<TokenizedRow, "promptIds" | "completionIds">[]): number {
  return rows.reduce((sum, { promptIds, completionIds }) => sum + promptIds.length + completionIds.length, 0);
}
