// Mismatched pairs (x_i, y') for KTO's reference point z0: which other row's answer each prompt of a batch is read with.
// Knows prompts only by their key; nothing of tokens, models or what the pairs are used for.

import type { Random } from "../random.ts";

/** What pairing reads of a row: rows with the same key answer the same prompt. */
export interface PairableRow {
  promptKey: string;
}

/**
 * A random derangement of a batch that respects prompts: `partner[i] = j` means y' of row i is the answer of row j, whose
 * prompt is another one. So y' is never the row's own answer, nor another answer to its prompt.
 *
 * Each answer is used at most once; exactly once whenever no prompt has more than half of the rows, so that the KL set
 * is the same set of y as the batch's (TRL PR #2153). When one prompt has more, as many rows as possible are paired,
 * two for every row of another prompt, and the others get -1 (see {@link countUnpaired}).
 *
 * Prompts are told apart by key, not by meaning: two prompts in other words that got the same answer may be paired.
 *
 * @returns For each row the index of its partner in `rows`, or -1 where no legal partner is left.
 */
export function derange(rows: readonly PairableRow[], random: Random): number[] {
  const groups = new Map<string, number[]>();
  rows.forEach((row, i) => {
    const group = groups.get(row.promptKey);
    if (group) group.push(i);
    else groups.set(row.promptKey, [i]);
  });
  const shuffled = random.shuffle([...groups.values()]).map((group) => random.shuffle(group));
  const partner = new Array<number>(rows.length).fill(-1);
  const largest = shuffled.reduce((most, group) => group.length > most.length ? group : most, [] as number[]);
  const others = rows.length - largest.length;

  if (largest.length > others) {
    // Every pair needs one row outside the dominating prompt: each of those is paired with one inside, both ways.
    const outside = shuffled.filter((group) => group !== largest).flat();
    outside.forEach((row, k) => {
      const inside = largest[k] as number;
      partner[row] = inside;
      partner[inside] = row;
    });
    return partner;
  }
  // Rows sorted by prompt and shifted by at least the largest group's size (and at most n minus it, for the way round)
  // never meet their own group; any shift in between is as good, so it is drawn.
  const order = shuffled.flat();
  const shift = largest.length + random.int(others - largest.length + 1);
  order.forEach((row, k) => partner[row] = order[(k + shift) % order.length] as number);
  return partner;
}

/**
 * TRL's pairing, for parity: x_i with y_{i-1} inside the block, the first row takes the last one's answer
 * (TRL 1.13 `kto_trainer.py` 1119-1134). It does not look at prompts. A block of one row has no other answer: TRL pairs
 * the row with itself, which makes its own reward the reference point and its loss exactly half; here it gets -1.
 *
 * @param rows One block (TRL's `per_device_train_batch_size`).
 */
export function rotate(rows: readonly unknown[]): number[] {
  return rows.length === 1 ? [-1] : rows.map((_, i) => (i + rows.length - 1) % rows.length);
}

/** How many rows of a batch have no mismatched partner, and so no share in z0. */
export function countUnpaired(partners: readonly number[]): number {
  return partners.filter((partner) => partner < 0).length;
}
