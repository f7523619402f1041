// What thumbs say of the arms of an alias: which versions are meant by its models' names now, which of them the others are
// held against, and how much better or worse each is liked. Does not know HTTP, or how thumbs are counted.

import type { Arm } from "../../shared/store/aliases.ts";
import {
  type ArmCounts,
  type ArmVersion,
  countArms,
  countShared,
  type SharedPeople,
} from "../../shared/store/experiments.ts";
import type { Database } from "../../shared/store/queries.ts";
import { adapterOf, modelOf, type RegisteredAdapter } from "../../shared/store/registry.ts";
import {
  correlationOf,
  differenceInterval,
  estimateRate,
  type Interval,
  type RateEstimate,
  rateInterval,
  type Tally,
} from "../../shared/statistics/rates.ts";
import { type SequentialVerdict, sequentialVerdict } from "../../shared/statistics/sequential.ts";

/** One version of an arm, and how it does against the reference. */
export interface ComparedArm extends ArmCounts {
  model: string;
  /** Whether the model's name means this version now. */
  current: boolean;
  /** Its share of the alias's requests now, in percent. */
  weight: number;
  /** People whose thumbs they are. */
  judges: number;
  /** Requests that were judged without a name anywhere, and the thumbs on them. */
  unnamedRequests: number;
  unnamedThumbs: number;
  /** Null while there is no thumb. */
  rate: (RateEstimate & Interval) | null;
  /** Whether the others are held against this one. */
  isReference: boolean;
  /** The rate less the reference's; null for the reference, and while either has no thumb. */
  difference: ({ value: number } & Interval) | null;
  /** Null for the reference. */
  verdict: (SequentialVerdict & { message: string }) | null;
}

/** An alias and its arms: those that it has now, in its order, then those it had. */
export interface Experiment {
  alias: string;
  arms: ComparedArm[];
}

/** What is served now. */
export interface Served {
  aliases: ReadonlyMap<string, readonly Arm[]>;
  /** The base model that is served, undefined while nobody knows. */
  base: string | undefined;
  adapters: readonly RegisteredAdapter[];
}

/** Compares the arms of every alias that is set or that answered once, or of one. */
export async function compareArms(database: Database, served: Served, alias?: string): Promise<Experiment[]> {
  const counted = Map.groupBy(await countArms(database, alias), (arm) => arm.alias);
  const names = new Set([...served.aliases.keys(), ...counted.keys()]);
  const asked = [...names].filter((name) => alias === undefined || name === alias);
  return await Promise.all(asked.map(async (alias) => {
    const arms = withServed(alias, counted.get(alias) ?? [], served);
    const reference = referenceOf(arms);
    const judged = arms.filter(({ rate }) => rate !== null);
    // Nobody can have judged both where only one was judged.
    const shared = reference?.rate && judged.length > 1 ? await countShared(database, reference) : [];
    return { alias, arms: reference ? arms.map((arm) => compared(arm, reference, shared)) : arms };
  }));
}

/** The arms that the alias has now, in its order, and the others that were counted; held against none yet. */
function withServed(alias: string, counted: readonly ArmCounts[], { aliases, base, adapters }: Served): ComparedArm[] {
  const arms = aliases.get(alias) ?? [], total = arms.reduce((sum, { weight }) => sum + weight, 0) || 1;
  /** What a model's name means now. */
  const versionNow = (adapter: string | null): ArmVersion => ({
    alias,
    base: base ?? null,
    adapter,
    adapterVersion: adapters.find(({ name, base: its }) => name === adapter && its === base)?.version ?? null,
  });
  const isCurrent = ({ base, adapter, adapterVersion }: ArmVersion) => {
    const now = versionNow(adapter);
    return base !== null && base === now.base && adapterVersion === now.adapterVersion;
  };
  const described = (counts: ArmCounts, current: boolean): ComparedArm => {
    const model = modelOf(counts.adapter);
    const weight = current ? arms.find((arm) => arm.model === model)?.weight ?? 0 : 0;
    const estimate = estimateRate([...counts.named, ...counts.unnamed]);
    const rate = estimate && { ...estimate, ...rateInterval(estimate) };
    return {
      ...counts,
      model,
      current,
      weight: 100 * weight / total,
      judges: sum(counts.named, ({ people }) => people),
      unnamedRequests: sum(counts.unnamed, ({ people }) => people),
      unnamedThumbs: sum(counts.unnamed, ({ thumbs, people }) => thumbs * people),
      rate,
      isReference: false,
      difference: null,
      verdict: null,
    };
  };
  const there = counted.map((counts) => described(counts, isCurrent(counts)));
  const now = arms.map(({ model }) =>
    there.find((arm) => arm.current && arm.model === model) ??
      described({ ...versionNow(adapterOf(model) ?? null), ...nothing }, true)
  );
  const others = there.filter((arm) => !now.includes(arm));
  return [...now, ...others.filter(({ current }) => current), ...others.filter(({ current }) => !current)];
}

const sum = (tallies: readonly Tally[], of: (tally: Tally) => number) =>
  tallies.reduce((sum, tally) => sum + of(tally), 0);

const nothing = { answers: 0, unnamedAnswers: 0, people: 0, judgedAnswers: 0, named: [], unnamed: [] };

/**
 * What the others are held against: the base where it answers for the alias now, else the arm that answers most. Where
 * nothing answers any more, the one with the most thumbs.
 */
function referenceOf(arms: readonly ComparedArm[]): ComparedArm | undefined {
  const most = (of: (arm: ComparedArm) => number) =>
    arms.reduce<ComparedArm | undefined>((most, arm) => of(arm) > (most ? of(most) : 0) ? arm : most, undefined);
  return arms.find(({ adapter, weight }) => adapter === null && weight > 0) ?? most(({ weight }) => weight) ??
    most(({ rate }) => rate?.thumbs ?? 0);
}

function compared(arm: ComparedArm, reference: ComparedArm, shared: readonly SharedPeople[]): ComparedArm {
  if (arm === reference) return { ...arm, isReference: true };
  if (!arm.rate || !reference.rate) {
    const message = `Cannot tell yet: ${arm.rate ? reference.model : arm.model} has no thumbs.`;
    return { ...arm, verdict: { result: "cannot tell yet", low: -1, high: 1, message } };
  }
  const tallies =
    shared.find(({ base, adapter, adapterVersion }) =>
      base === arm.base && adapter === arm.adapter && adapterVersion === arm.adapterVersion
    )?.tallies ?? [];
  const correlation = correlationOf(arm.rate, reference.rate, tallies);
  const verdict = sequentialVerdict(arm.rate, reference.rate, correlation);
  return {
    ...arm,
    difference: {
      value: arm.rate.value - reference.rate.value,
      ...differenceInterval(arm.rate, reference.rate, correlation),
    },
    verdict: { ...verdict, message: inWords(verdict, arm, reference) },
  };
}

const opening = {
  better: "Better than",
  worse: "Worse than",
  "cannot tell yet": "Cannot tell yet against",
} satisfies Record<SequentialVerdict["result"], string>;

/** The verdict with what it rests on. */
function inWords({ result, low, high }: SequentialVerdict, arm: ComparedArm, reference: ComparedArm): string {
  const points = (difference: number) => `${difference < 0 ? "−" : "+"}${Math.abs(100 * difference).toFixed(1)}`;
  return `${opening[result]} ${reference.model}: ${points(low)} to ${
    points(high)
  } points, at whichever time one looks; ` +
    `${thumbsOf(arm)}, against ${thumbsOf(reference)}.`;
}

function thumbsOf({ rate, judges, unnamedRequests }: ComparedArm): string {
  const whose = [
    ...(judges > 0 ? [`${judges} ${judges === 1 ? "person" : "people"}`] : []),
    ...(unnamedRequests > 0 ? [`${unnamedRequests} ${unnamedRequests === 1 ? "request" : "requests"} of nobody`] : []),
  ];
  return `${rate?.desirable ?? 0} of ${rate?.thumbs ?? 0} thumbs up (${whose.join(", ")})`;
}
