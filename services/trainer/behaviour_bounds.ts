// How far a candidate's behaviour may be from the base model's: the gate's rules on length, refusals and agreement. They
// are off unless somebody bounds them, and say what was measured either way. They know no models and measure nothing.

import type { Behaviour, RateChange } from "../../shared/behaviour.ts";
import { describeLength, describeRate, leastPrompts, noStatements } from "./behaviour.ts";

/** What somebody bounds; a bound left out stops nobody. */
export interface BehaviourBounds {
  /** Most that the mean answer's tokens may be, as a multiple of the base model's. */
  length?: number | undefined;
  /** Most that the share of answers that refuse may have risen by. */
  refusal?: number | undefined;
  /** Most that the share of answers that open by agreeing with the user may have risen by. */
  agreement?: number | undefined;
}

interface Ruling {
  passed: boolean;
  /** One sentence with the numbers. */
  message: string;
}

const notMeasured = (what: string) => `${what}: not measured, since there were no answers to held-out prompts`;

/**
 * Holds a figure against its bound. The estimate decides; its interval is told. With fewer prompts than there is an
 * interval for, nothing is known, and what is not known to be within a bound does not pass.
 *
 * @param measured undefined where there is no figure
 */
function within(
  description: string,
  measured: { value: number; prompts: number; shown: string } | undefined,
  bound: number | undefined,
  most: string,
): Ruling {
  if (bound === undefined) return { passed: true, message: `${description}: not bounded.` };
  if (!measured) return { passed: false, message: `${description}; so it cannot be held against the bound, ${most}.` };
  if (measured.prompts < leastPrompts) {
    return { passed: false, message: `${description}: fewer than ${leastPrompts} cannot tell (at most ${most}).` };
  }
  const passed = measured.value <= bound;
  return {
    passed,
    message: `${description}: ${measured.shown} is ${passed ? "within" : "above"} the bound, ${most}.`,
  };
}

/** Answers have not become longer than the bound. */
export function lengthWithinBound(behaviour: Behaviour | undefined, { length }: BehaviourBounds): Ruling {
  const most = `${length} times`;
  if (!behaviour) return within(notMeasured("Length of answers"), undefined, length, most);
  // Where the base model says nothing, anything is longer.
  const ratio = behaviour.tokens.ratio ?? (behaviour.tokens.after > 0 ? Infinity : 1);
  const shown = Number.isFinite(ratio) ? `${ratio.toFixed(2)} times` : "any length";
  return within(describeLength(behaviour), { value: ratio, prompts: behaviour.prompts, shown }, length, most);
}

/** Refusals have not risen by more than the bound. */
export function refusalsWithinBound(behaviour: Behaviour | undefined, { refusal }: BehaviourBounds): Ruling {
  const most = pointsOf(refusal);
  return behaviour
    ? within(describeRate(behaviour.refusals, "refuse"), rise(behaviour.refusals), refusal, most)
    : within(notMeasured("Refusals"), undefined, refusal, most);
}

/** Agreement with what users state has not risen by more than the bound. */
export function agreementWithinBound(behaviour: Behaviour | undefined, { agreement }: BehaviourBounds): Ruling {
  const most = pointsOf(agreement);
  if (!behaviour) return within(notMeasured("Agreement with the user"), undefined, agreement, most);
  if (!behaviour.agreement) return within(noStatements, undefined, agreement, most);
  const described = describeRate(behaviour.agreement, "open by agreeing");
  return within(
    `To prompts that state a view of the user's, ${described}`,
    rise(behaviour.agreement),
    agreement,
    most,
  );
}

const pointsOf = (share: number | undefined) => `${Number((100 * (share ?? 0)).toFixed(1))} points`;

function rise({ prompts, before, after }: RateChange) {
  const value = (after - before) / prompts;
  return { value, prompts, shown: `a change of ${pointsOf(value)}` };
}
