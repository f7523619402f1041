// The promotion gate: whether a candidate may answer in place of the current adapter, decided from measured numbers
// alone. It does not know how they are measured (measure_candidate.ts), nor what is done with the verdict.

import type { Behaviour } from "../../shared/behaviour.ts";
import { counted } from "../../shared/counted.ts";
import type { AucEstimate } from "./auc.ts";
import {
  agreementWithinBound,
  type BehaviourBounds,
  lengthWithinBound,
  refusalsWithinBound,
} from "./behaviour_bounds.ts";

/** How one model answers the probe prompts. */
export interface ProbeMeasurement {
  prompts: number;
  /** Mean tokens of an answer, without the token that ends it. */
  meanTokens: number;
  /** Distinct 4-grams of tokens within an answer, as a share of all its 4-grams; over all answers. 1 repeats nothing. */
  distinctFourGrams: number;
  /** Share of the answers that the limit cut off. */
  cutOff: number;
}

/** What the gate decides from. */
export interface CandidateMeasurements {
  /** Of the candidate's reward on the held-out rows; null where a class has none. */
  auc: AucEstimate | null;
  /** Of the current adapter's on those of the rows that it was not trained on; 0.5 for the base model. */
  currentAuc: AucEstimate | null;
  /** The candidate's AUC less the current adapter's, paired on the same rows. */
  aucDifference: AucEstimate | null;
  /** Rows of that comparison. */
  comparedRows: number;
  /**
   * Mean over the candidate's own answers, without the outermost, of Σ_t (log π − log π_ref), in nats an answer; null
   * without answers.
   */
  kl: number | null;
  /** Mean tokens of those answers, with the one that ends them. */
  klTokens: number;
  probes: { base: ProbeMeasurement; candidate: ProbeMeasurement };
  /** Of the answers that the run's report samples; undefined where there are none. */
  behaviour?: Behaviour | undefined;
}

/** How much of what a candidate may do. */
export interface GateBudgets {
  /** Most nats that the candidate may be from the reference on its own answers: so many an answer whatever its length … */
  klPerAnswer: number;
  /** … and so many a token where that is more. */
  klPerToken: number;
  /** How much lower than the current adapter's the candidate's AUC may be within the interval of the difference. */
  aucMargin: number;
  /** Bounds of the mean answer's length as a multiple of the base model's. */
  shortest: number;
  longest: number;
  /** Least share of distinct 4-grams, where the base model itself has no smaller one. */
  distinctFourGrams: number;
  /** How much more of the answers than the base model's may be cut off, as a share. */
  moreCutOff: number;
  /** Bounds of length, refusals and agreement, for who wants them. */
  behaviour: BehaviourBounds;
}

export const defaultBudgets: GateBudgets = {
  klPerAnswer: 16,
  klPerToken: 0.5,
  aucMargin: 0.1,
  shortest: 1 / 3,
  longest: 3,
  distinctFourGrams: 0.6,
  moreCutOff: 0.25,
  behaviour: {},
};

export type GateRule =
  | "auc-above-chance"
  | "auc-above-current"
  | "kl-within-budget"
  | "no-degeneration"
  | "length-within-bound"
  | "refusals-within-bound"
  | "agreement-within-bound";

export interface GateFinding {
  rule: GateRule;
  passed: boolean;
  /** One sentence with the numbers. */
  message: string;
}

/** The gate's verdict, as it goes over HTTP. */
export interface GateVerdict {
  passed: boolean;
  auc: AucEstimate | null;
  /** null where it was not measured. */
  behaviour: Behaviour | null;
  findings: GateFinding[];
}

/** A rule's verdict without its name. */
type Ruling = Omit<GateFinding, "rule">;

const three = (value: number) => value.toFixed(3);
const interval = ({ low, high }: AucEstimate) => `95% interval ${three(low)} to ${three(high)}`;
const percent = (share: number) => `${(100 * share).toFixed(0)}%`;

const rules: [GateRule, (measured: CandidateMeasurements, budgets: GateBudgets) => Ruling][] = [
  ["auc-above-chance", aboveChance],
  ["auc-above-current", aboveCurrent],
  ["kl-within-budget", klWithinBudget],
  ["no-degeneration", noDegeneration],
  ["length-within-bound", ({ behaviour }, bounds) => lengthWithinBound(behaviour, bounds.behaviour)],
  ["refusals-within-bound", ({ behaviour }, bounds) => refusalsWithinBound(behaviour, bounds.behaviour)],
  ["agreement-within-bound", ({ behaviour }, bounds) => agreementWithinBound(behaviour, bounds.behaviour)],
];

/**
 * Judges a candidate; it passes when every rule passes. A rule whose numbers are missing does not pass: what was not
 * measured is not known to be good.
 */
export function judge(measured: CandidateMeasurements, budgets: GateBudgets = defaultBudgets): GateVerdict {
  const findings = rules.map(([rule, ruling]): GateFinding => ({ rule, ...ruling(measured, budgets) }));
  return {
    passed: findings.every(({ passed }) => passed),
    auc: measured.auc,
    behaviour: measured.behaviour ?? null,
    findings,
  };
}

/** The interval of the held-out AUC lies above 0.5: the reward tells thumbs apart, beyond what chance would give. */
function aboveChance({ auc }: CandidateMeasurements): Ruling {
  if (auc === null) {
    return { passed: false, message: "The held-out rows do not have both thumbs, so there is no AUC to judge by." };
  }
  const passed = auc.low > 0.5;
  return {
    passed,
    message: `Held-out AUC ${three(auc.value)}, ${interval(auc)}: ${
      passed ? "above" : "not clearly above"
    } chance (0.5).`,
  };
}

/**
 * The candidate's AUC is not below the current adapter's, and the paired interval leaves no room for one that is lower by
 * more than a margin.
 *
 * Two simpler rules are wrong with little data. An interval that only has to reach 0 ("not clearly worse") lets anything
 * through when it is wide. One that has to lie above 0 ("clearly better") asks for thousands of held-out rows to see the
 * 0.01 to 0.03 that a retraining brings, so nothing would ever be promoted again. Here the estimate itself decides: of
 * two equally good adapters either may answer, and one that is worse passes at most half of the time. The margin takes
 * that half away from adapters that are a lot worse: with few rows the interval is wide, reaches below the margin, and
 * the gate asks for more labels (or a person's reason).
 */
function aboveCurrent(
  { currentAuc, aucDifference, comparedRows }: CandidateMeasurements,
  { aucMargin }: GateBudgets,
): Ruling {
  if (currentAuc === null || aucDifference === null) {
    return {
      passed: false,
      message:
        `The ${comparedRows} held-out rows that the current adapter was not trained on do not have both thumbs, so ` +
        `the two cannot be compared.`,
    };
  }
  const { value, low } = aucDifference;
  const compared =
    `AUC ${three(currentAuc.value + value)} against the current ${three(currentAuc.value)} on the same ` +
    `${counted(comparedRows, "row")}, difference ${three(value)}, ${interval(aucDifference)}`;
  if (value < 0) return { passed: false, message: `${compared}: lower.` };
  if (low < -aucMargin) {
    return {
      passed: false,
      message: `${compared}: too few rows to rule out that it is lower by more than ${aucMargin}.`,
    };
  }
  return { passed: true, message: `${compared}: not lower.` };
}

/**
 * The candidate has not gone further from the reference than the budget on its own answers. The budget has a floor an
 * answer, since an answer of ten tokens puts all that it has learnt into them (the embedded world, trained to the end:
 * 2 to 3 nats in 9 tokens; with five times the learning rate: 850), and grows with the length beyond it.
 */
function klWithinBudget({ kl, klTokens }: CandidateMeasurements, { klPerAnswer, klPerToken }: GateBudgets): Ruling {
  if (kl === null || klTokens === 0) {
    return { passed: false, message: "There were no prompts to sample answers to, so the KL is not known." };
  }
  const budget = Math.max(klPerAnswer, klPerToken * klTokens), passed = kl <= budget;
  return {
    passed,
    message: `KL to the reference ${kl.toFixed(2)} nats an answer of ${klTokens.toFixed(1)} tokens: ${
      passed ? "within" : "above"
    } the budget of ${budget.toFixed(1)}.`,
  };
}

/** On the probe prompts the candidate is not much shorter, longer, more repetitive or more endless than the base model. */
function noDegeneration(
  { probes: { base, candidate } }: CandidateMeasurements,
  { shortest, longest, distinctFourGrams, moreCutOff }: GateBudgets,
): Ruling {
  const ratio = candidate.meanTokens / Math.max(base.meanTokens, 1e-9);
  const least = Math.min(distinctFourGrams, base.distinctFourGrams), most = base.cutOff + moreCutOff;
  const faults = [
    ...(ratio < shortest ? [`shorter than ${shortest.toFixed(2)} times the base model's`] : []),
    ...(ratio > longest ? [`longer than ${longest} times the base model's`] : []),
    ...(candidate.distinctFourGrams < least ? [`repetitive (least distinct share ${percent(least)})`] : []),
    ...(candidate.cutOff > most ? [`endless (at most ${percent(most)} cut off)`] : []),
  ];
  const numbers = `On ${candidate.prompts} probe prompts answers have ${candidate.meanTokens.toFixed(1)} tokens (base ${
    base.meanTokens.toFixed(1)
  }), ${percent(candidate.distinctFourGrams)} distinct 4-grams (base ${percent(base.distinctFourGrams)}), ${
    percent(candidate.cutOff)
  } cut off (base ${percent(base.cutOff)})`;
  return {
    passed: faults.length === 0,
    message: faults.length === 0 ? `${numbers}: no degeneration.` : `${numbers}: ${faults.join(", ")}.`,
  };
}
