// What training did to the way a model answers, beyond what thumbs reward: how long its answers are, how often they
// refuse, how often they open by agreeing with what the user has just stated. From texts of before and after, paired by
// prompt; it does not know models, nor who asks.

import type { Behaviour, Interval, LengthChange, RateChange } from "../../shared/behaviour.ts";
import { counted } from "../../shared/counted.ts";
import type { Message } from "../../shared/feedback/row.ts";
import { agrees, refuses, statesOwnView } from "./behaviour_rules.ts";

/** One answer. */
export interface MeasuredAnswer {
  text: string;
  /** Without the one that ends it. */
  tokens: number;
  /** False where the limit cut it off. */
  ended: boolean;
}

/** A prompt and its answers by the base model and by the tuned one. */
export interface AnsweredPrompt {
  prompt: string | readonly Message[];
  before: MeasuredAnswer;
  after: MeasuredAnswer;
}

/** Fewer prompts say too little for an interval, and for a bound. */
export const leastPrompts = 10;

const segmenter = new Intl.Segmenter("en", { granularity: "word" });

/** Words as Unicode separates them, so that Chinese, too, is counted in words. */
export function countWords(text: string): number {
  let count = 0;
  for (const { isWordLike } of segmenter.segment(text)) if (isWordLike) count++;
  return count;
}

/** The user's last words. A prompt that is plain text is all of them. */
function lastUserText(prompt: AnsweredPrompt["prompt"]): string {
  return typeof prompt === "string" ? prompt : prompt.findLast(({ role }) => role === "user")?.content ?? "";
}

/** Measures answers; undefined without any. Every prompt is expected once. */
export function measureBehaviour(answered: readonly AnsweredPrompt[]): Behaviour | undefined {
  if (answered.length === 0) return undefined;
  const stating = answered.filter(({ prompt }) => statesOwnView(lastUserText(prompt)));
  return {
    prompts: answered.length,
    tokens: lengthChange(answered, ({ tokens }) => tokens),
    words: lengthChange(answered, ({ text }) => countWords(text)),
    cut_off: rateChange(answered, ({ ended }) => !ended),
    refusals: rateChange(answered, ({ text }) => refuses(text)),
    agreement: stating.length === 0 ? null : rateChange(stating, ({ text }) => agrees(text)),
  };
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

function lengthChange(answered: readonly AnsweredPrompt[], lengthOf: (answer: MeasuredAnswer) => number): LengthChange {
  const pairs = answered.map(({ before, after }) => [lengthOf(before), lengthOf(after)] as const);
  const before = mean(pairs.map(([length]) => length)), after = mean(pairs.map(([, length]) => length));
  return {
    before,
    after,
    ratio: before === 0 ? null : after / before,
    difference: meanInterval(pairs.map(([was, is]) => is - was)),
  };
}

function rateChange(answered: readonly AnsweredPrompt[], does: (answer: MeasuredAnswer) => boolean): RateChange {
  const pairs = answered.map(({ before, after }) => [does(before), does(after)] as const);
  return {
    prompts: pairs.length,
    before: pairs.filter(([was]) => was).length,
    after: pairs.filter(([, is]) => is).length,
    difference: shareInterval(pairs),
  };
}

/** The normal distribution's 97.5% point. */
const z = 1.959964;

/** Student's interval of the mean of differences, which are one a prompt. */
function meanInterval(differences: readonly number[]): Interval | null {
  const n = differences.length;
  if (n < leastPrompts) return null;
  const centre = mean(differences), v = n - 1;
  const deviation = Math.sqrt(differences.reduce((sum, value) => sum + (value - centre) ** 2, 0) / v);
  // Student's t from the normal point (Abramowitz and Stegun 26.7.5): to three digits from 9 degrees of freedom on.
  const t = z + (z ** 3 + z) / (4 * v) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * v ** 2) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * v ** 3);
  const half = t * deviation / Math.sqrt(n);
  return { low: centre - half, high: centre + half };
}

/**
 * Bonett and Price's interval of a difference of paired shares (doi:10.3102/1076998611411915): Wald's after one prompt
 * more of each kind of change, which holds near 0 and where no answer changed.
 */
function shareInterval(pairs: readonly (readonly [boolean, boolean])[]): Interval | null {
  const n = pairs.length;
  if (n < leastPrompts) return null;
  const risen = (pairs.filter(([was, is]) => !was && is).length + 1) / (n + 2);
  const fallen = (pairs.filter(([was, is]) => was && !is).length + 1) / (n + 2);
  const half = z * Math.sqrt((risen + fallen - (risen - fallen) ** 2) / (n + 2));
  return { low: Math.max(-1, risen - fallen - half), high: Math.min(1, risen - fallen + half) };
}

const percent = (share: number) => `${(100 * share).toFixed(0)}%`;
const points = (share: number) => `${share < 0 ? "" : "+"}${(100 * share).toFixed(0)}`;

/** `4 of 64 (6%)` */
export const shareOf = (count: number, of: number): string => `${count} of ${of} (${percent(count / of)})`;

/** How lengths changed, without a full stop. */
export function describeLength({ prompts, tokens, cut_off: cut }: Behaviour): string {
  const { before, after, ratio, difference } = tokens;
  const times = ratio === null ? "" : ` (${ratio.toFixed(2)} times as long)`;
  const range = difference
    ? `difference 95% interval ${difference.low.toFixed(1)} to ${difference.high.toFixed(1)}`
    : "too few prompts for an interval";
  const cuts = cut.before + cut.after === 0 ? "" : `; the limit cut off ${cut.before} before, ${cut.after} after`;
  return `Answers to ${counted(prompts, "held-out prompt")} have ${after.toFixed(1)} tokens, before ${
    before.toFixed(1)
  }${times}, ${range}${cuts}`;
}

/** How a share changed, without a full stop. @param what the answers do, such as "refuse" */
export function describeRate({ prompts, before, after, difference }: RateChange, what: string): string {
  const range = difference
    ? `difference 95% interval ${points(difference.low)} to ${points(difference.high)} points`
    : "too few prompts for an interval";
  return `${shareOf(after, prompts)} answers ${what} by their words, before ${before}, ${range}`;
}

/** What agreement is counted in where it was not measured. */
export const noStatements =
  "Agreement with the user: not measured, since no held-out prompt states a view of the user's";
