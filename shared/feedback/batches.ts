// Which rows go together: held-out split, class weights, effective batches of an epoch, and micro-batches for the device.
// All deterministic in their seed. Knows labels, prompt keys and lengths; nothing of token ids, models or gradients.

import { createHash } from "node:crypto";
import { Random } from "../random.ts";

/** How an epoch visits its rows. */
export interface EpochPlan {
  /** Rows of an effective batch, the unit of one optimizer step. */
  batchSize: number;
  /** `mixed` = shuffled, both classes spread over all batches; `file` = as in the file. */
  order: "mixed" | "file";
  seed: number;
  /** 0-based; another epoch is another shuffle. */
  epoch: number;
}

/**
 * Effective batches of one epoch as indices into `rows`; each row once, the last batch may be smaller.
 *
 * `mixed` shuffles each class by itself and interleaves them in proportion, so every batch holds both classes within
 * one row of their share. TRL instead sees a paired file as 1000 desirable, then 1000 undesirable rows.
 */
export function planEpoch(rows: readonly { label: boolean }[], plan: EpochPlan): number[][] {
  const order = plan.order === "file" ? rows.map((_, i) => i) : mixClasses(rows, plan.seed, plan.epoch);
  const batches: number[][] = [];
  for (let start = 0; start < order.length; start += plan.batchSize) {
    batches.push(order.slice(start, start + plan.batchSize));
  }
  return batches;
}

function mixClasses(rows: readonly { label: boolean }[], seed: number, epoch: number): number[] {
  const random = new Random((Math.imul(seed, 0x9e3779b1) + epoch) >>> 0);
  const indices = rows.map((_, i) => i);
  const desirable = random.shuffle(indices.filter((i) => rows[i]?.label));
  const undesirable = random.shuffle(indices.filter((i) => !rows[i]?.label));
  const n = rows.length;
  // Bresenham's line from (0, 0) to (n, desirable): position k is desirable where the line steps up. The phase is
  // drawn, else the same class would open every epoch.
  const phase = n > 0 ? random.int(n) : 0;
  const height = (k: number) => Math.floor((k * desirable.length + phase) / n);
  let d = 0;
  let u = 0;
  return indices.map((k) => (height(k + 1) > height(k) ? desirable[d++] : undesirable[u++]) as number);
}

/**
 * Puts whole prompts aside for evaluation: all rows of one prompt land on one side, so no held-out prompt was trained on.
 * Both sides keep the file's order. About `fraction` of each class is held out; a class that has rows of at least two
 * prompts is on both sides. Prompts are taken in the order of a hash of seed and key, so that on a file that has grown
 * nearly the same prompts are held out.
 *
 * @param fraction Share of the rows, 0 to 1; 0 holds nothing out.
 */
export function splitHeldOut<Row extends { promptKey: string; label: boolean }>(
  rows: readonly Row[],
  fraction: number,
  seed: number,
): { train: Row[]; heldOut: Row[] } {
  if (fraction <= 0) return { train: [...rows], heldOut: [] };
  const groups = new Map<string, { key: string; counts: [number, number] }>();
  for (const row of rows) {
    const group = groups.get(row.promptKey) ?? { key: row.promptKey, counts: [0, 0] };
    group.counts[row.label ? 1 : 0]++;
    groups.set(row.promptKey, group);
  }
  const total: [number, number] = [0, 0];
  for (const { counts } of groups.values()) {
    total[0] += counts[0];
    total[1] += counts[1];
  }
  const target = total.map((n) => Math.round(n * fraction));
  const held: [number, number] = [0, 0];
  const heldKeys = new Set<string>();
  const place = (key: string) => createHash("sha256").update(`${seed} ${key}`).digest("hex");
  const order = [...groups.values()].map((group) => ({ ...group, place: place(group.key) }))
    .sort((a, b) => a.place < b.place ? -1 : 1);
  const take = (accept: (counts: [number, number]) => boolean, atMost = Infinity) => {
    for (const { key, counts } of order) {
      if (atMost <= 0) return;
      if (heldKeys.has(key) || !accept(counts)) continue;
      // Training must not lose the last of a class.
      if (CLASSES.some((c) => counts[c] > 0 && held[c] + counts[c] >= total[c])) continue;
      heldKeys.add(key);
      held[0] += counts[0];
      held[1] += counts[1];
      atMost--;
    }
  };
  take((counts) => CLASSES.every((c) => held[c] + counts[c] <= (target[c] as number)));
  // Prompts with many rows, or very few rows of a class, may leave a class out: it then gets one prompt of its own.
  for (const c of CLASSES) if (held[c] === 0) take((counts) => counts[c] > 0, 1);
  return {
    train: rows.filter((row) => !heldKeys.has(row.promptKey)),
    heldOut: rows.filter((row) => heldKeys.has(row.promptKey)),
  };
}

const CLASSES = [0, 1] as const;

/** Rows of each class. */
export interface ClassCounts {
  desirable: number;
  undesirable: number;
}

/** The interval for (λ_D n_D) / (λ_U n_U): KTO, early version and TRL. The current version says [1, 3/2]. */
const LOWEST_RATIO = 1;
const HIGHEST_RATIO = 4 / 3;

/**
 * λ_D and λ_U from the counts, by the paper's rule (λ_D n_D) / (λ_U n_U) in [1, 4/3] with one of the two being 1
 * (arXiv 2402.01306 §4.3). `auto` leaves a balanced file alone, else moves the ratio to the nearer end of the interval
 * by raising the weight of the class that is short. A number is taken as asked, and the other `auto` is set to fit it.
 *
 * @returns The weights and a sentence that says why.
 */
export function classWeights(
  counts: ClassCounts,
  requested: { desirable: number | "auto"; undesirable: number | "auto" },
): { desirable: number; undesirable: number; reason: string } {
  const { desirable: nD, undesirable: nU } = counts;
  const askedD = requested.desirable;
  const askedU = requested.undesirable;
  const rows = `${nD} desirable and ${nU} undesirable rows`;
  let desirable = askedD === "auto" ? 1 : askedD;
  let undesirable = askedU === "auto" ? 1 : askedU;
  if (nD === 0 || nU === 0) {
    const reason = `${rows}: only one class, so there is nothing to balance; weights ${desirable} and ${undesirable}.`;
    return { desirable, undesirable, reason };
  }
  const ratio = () => (desirable * nD) / (undesirable * nU);
  const before = ratio();
  const show = (x: number) => Number(x.toFixed(4)).toString();
  const inside = (r: number) => r >= LOWEST_RATIO - 1e-9 && r <= HIGHEST_RATIO + 1e-9;
  if (askedD !== "auto" && askedU !== "auto") {
    const verdict = inside(before) ? "inside" : "outside";
    return {
      desirable,
      undesirable,
      reason: `${rows}: weights ${show(desirable)} and ${show(undesirable)} as asked, ratio ${
        show(before)
      } (${verdict} [1, 4/3]).`,
    };
  }
  if (inside(before)) {
    const reason = `${rows}: ratio ${show(before)} is inside [1, 4/3], weights ${show(desirable)} and ${
      show(undesirable)
    }.`;
    return { desirable, undesirable, reason };
  }
  const nearer = before < LOWEST_RATIO ? LOWEST_RATIO : HIGHEST_RATIO;
  // With both free, the short class is raised and the other stays 1, so neither weight goes below 1.
  const raiseDesirable = askedU !== "auto" || (askedD === "auto" && before < LOWEST_RATIO);
  if (raiseDesirable) desirable = (nearer * undesirable * nU) / nD;
  else undesirable = (desirable * nD) / (nearer * nU);
  return {
    desirable,
    undesirable,
    reason: `${rows}: ratio ${show(before)} is outside [1, 4/3], so the ${
      raiseDesirable ? "desirable" : "undesirable"
    } weight is ${show(raiseDesirable ? desirable : undesirable)} (ratio ${show(ratio())}).`,
  };
}

/**
 * The width a sequence of `n` tokens is padded to: multiples of 16 up to 256, of 32 up to 1024, then of 64. Few widths
 * mean few sessions; fine steps where sequences are short mean little waste.
 */
export function paddedLength(n: number): number {
  const step = n <= 256 ? 16 : n <= 1024 ? 32 : 64;
  return Math.max(step, Math.ceil(n / step) * step);
}

/**
 * Groups sequences of one padded length so that count × padded length stays within the budget; a sequence longer than
 * the budget goes alone. Longest first (what does not fit in memory fails at once), ties in the given order.
 *
 * @returns Indices into `items`, each once.
 */
export function microBatches(items: readonly { length: number }[], tokensPerMicroBatch: number): number[][] {
  const widths = new Map<number, number[]>();
  items.forEach((item, i) => {
    const width = paddedLength(item.length);
    const members = widths.get(width);
    if (members) members.push(i);
    else widths.set(width, [i]);
  });
  return [...widths.entries()].sort(([a], [b]) => b - a).flatMap(([width, members]) => {
    const size = Math.max(1, Math.floor(tokensPerMicroBatch / width));
    return Array.from({ length: Math.ceil(members.length / size) }, (_, k) => members.slice(k * size, (k + 1) * size));
  });
}
