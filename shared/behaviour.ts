// How the answers of a tuned model differ from its base's, as figures. How they come about is the trainer's (behaviour.ts
// there); this is their shape, for all who keep or show them.

/** A 95% interval. */
export interface Interval {
  low: number;
  high: number;
}

/** Mean lengths. */
export interface LengthChange {
  before: number;
  after: number;
  /** After as a multiple of before; null where before is 0. */
  ratio: number | null;
  /** Of the mean difference, after less before; null for fewer prompts than it needs. */
  difference: Interval | null;
}

/** How many of the answers to `prompts` do something. */
export interface RateChange {
  prompts: number;
  before: number;
  after: number;
  /** Of the difference of the shares, after less before; null for fewer prompts than it needs. */
  difference: Interval | null;
}

/** As run.json, the registry and the API have it. */
export interface Behaviour {
  prompts: number;
  tokens: LengthChange;
  words: LengthChange;
  /** Answers that the limit of tokens cut off, which makes lengths look smaller than they are. */
  cut_off: RateChange;
  refusals: RateChange;
  /** Answers that open with agreement, of the prompts that state a view of the user's; null where none does. */
  agreement: RateChange | null;
}
