// The gate's rules on numbers alone: what each stops, what it lets through, and what it says.

import { assertEquals, assertMatch, assertNotMatch, assertStrictEquals } from "@std/assert";
import {
  type CandidateMeasurements,
  defaultBudgets,
  type GateRule,
  judge,
  type ProbeMeasurement,
} from "../../services/trainer/gate.ts";
import { type AnsweredPrompt, measureBehaviour } from "../../services/trainer/behaviour.ts";
import { measureProbes } from "../../services/trainer/measure_candidate.ts";

const probe: ProbeMeasurement = { prompts: 16, meanTokens: 12, distinctFourGrams: 0.95, cutOff: 0 };

/** A candidate that nothing is the matter with. */
const good: CandidateMeasurements = {
  auc: { value: 0.8, low: 0.72, high: 0.86 },
  currentAuc: { value: 0.78, low: 0.7, high: 0.84 },
  aucDifference: { value: 0.02, low: -0.01, high: 0.05 },
  comparedRows: 120,
  kl: 4,
  klTokens: 10,
  probes: { base: probe, candidate: probe },
};

const probes = (candidate: Partial<ProbeMeasurement>, base: Partial<ProbeMeasurement> = {}) => ({
  probes: { base: { ...probe, ...base }, candidate: { ...probe, ...candidate } },
});

/** What differs from the good candidate, and the rules that then stop it. */
const cases: [string, Partial<CandidateMeasurements>, GateRule[]][] = [
  ["nothing", {}, []],
  ["the interval reaches down to chance", { auc: { value: 0.6, low: 0.5, high: 0.7 } }, ["auc-above-chance"]],
  ["the reward is upside down", { auc: { value: 0.2, low: 0.1, high: 0.3 } }, ["auc-above-chance"]],
  ["no AUC", { auc: null }, ["auc-above-chance"]],
  ["a little lower, surely not by much", { aucDifference: { value: -0.001, low: -0.01, high: 0.01 } }, [
    "auc-above-current",
  ]],
  ["the same", { aucDifference: { value: 0, low: 0, high: 0 } }, []],
  ["higher, but on too few rows", { aucDifference: { value: 0.05, low: -0.2, high: 0.3 } }, ["auc-above-current"]],
  ["no comparison", { aucDifference: null }, ["auc-above-current"]],
  ["far in few tokens", { kl: 16.1 }, ["kl-within-budget"]],
  ["as far in many tokens", { kl: 16.1, klTokens: 40 }, []],
  ["too far in many tokens", { kl: 21, klTokens: 40 }, ["kl-within-budget"]],
  ["no KL", { kl: null, klTokens: 0 }, ["kl-within-budget"]],
  ["a third of the length", probes({ meanTokens: 4.1 }), []],
  ["less than a third", probes({ meanTokens: 3.9 }), ["no-degeneration"]],
  ["silence", probes({ meanTokens: 0 }), ["no-degeneration"]],
  ["three times the length", probes({ meanTokens: 35.9 }), []],
  ["more than three times", probes({ meanTokens: 36.1 }), ["no-degeneration"]],
  ["repetition", probes({ distinctFourGrams: 0.5 }), ["no-degeneration"]],
  ["no more repetition than the base model's", probes({ distinctFourGrams: 0.5 }, { distinctFourGrams: 0.5 }), []],
  ["answers that do not end", probes({ cutOff: 0.3 }), ["no-degeneration"]],
  ["no more of them than the base model's", probes({ cutOff: 0.8 }, { cutOff: 0.7 }), []],
  ["everything", { auc: null, aucDifference: null, kl: null, ...probes({ meanTokens: 0 }) }, [
    "auc-above-chance",
    "auc-above-current",
    "kl-within-budget",
    "no-degeneration",
  ]],
];

Deno.test("each rule stops what it is for and nothing else, and one failed rule stops the candidate", () => {
  for (const [what, change, stopped] of cases) {
    const verdict = judge({ ...good, ...change });
    assertEquals(verdict.findings.flatMap(({ rule, passed }) => passed ? [] : [rule]), stopped, what);
    assertStrictEquals(verdict.passed, stopped.length === 0, what);
    assertEquals(verdict.findings.length, 7, what);
    for (const { message } of verdict.findings) {
      assertMatch(message, /^[A-Z].*\.$/, what);
      assertNotMatch(message, /NaN|undefined|Infinity/, what);
    }
  }
});

Deno.test("a finding has the numbers that it was decided from", () => {
  const { findings, auc } = judge(good);
  assertEquals(auc, good.auc);
  assertEquals(findings.map(({ message }) => message), [
    "Held-out AUC 0.800, 95% interval 0.720 to 0.860: above chance (0.5).",
    "AUC 0.800 against the current 0.780 on the same 120 rows, difference 0.020, 95% interval -0.010 to 0.050: not lower.",
    "KL to the reference 4.00 nats an answer of 10.0 tokens: within the budget of 16.0.",
    "On 16 probe prompts answers have 12.0 tokens (base 12.0), 95% distinct 4-grams (base 95%), 0% cut off (base 0%): no degeneration.",
    "Length of answers: not measured, since there were no answers to held-out prompts: not bounded.",
    "Refusals: not measured, since there were no answers to held-out prompts: not bounded.",
    "Agreement with the user: not measured, since there were no answers to held-out prompts: not bounded.",
  ]);
});

/** Answers of 10 tokens that became answers of `tokens`, so many of which refuse, or agree with a statement. */
function behaved({ prompts = 40, tokens = 10, refuse = 0, agree = 0, stating = true }) {
  const answer = (text: string, tokens: number) => ({ text, tokens, ended: true });
  return measureBehaviour(Array.from({ length: prompts }, (_, i): AnsweredPrompt => ({
    prompt: stating ? "I think it is 5." : "What is it?",
    before: answer("No.", 10),
    after: answer(i < refuse ? "I won't." : i < refuse + agree ? "You're right." : "No.", tokens),
  })));
}

Deno.test("without bounds longer, refusing and flattering answers stop nobody, and the figures are told all the same", () => {
  const behaviour = behaved({ tokens: 25, refuse: 20, agree: 20 });
  const verdict = judge({ ...good, behaviour });
  assertEquals(verdict.passed, true);
  assertEquals(verdict.behaviour, behaviour);
  const [length, refusals, agreement] = verdict.findings.slice(-3).map(({ message }) => message);
  assertMatch(length!, /have 25\.0 tokens, before 10\.0 \(2\.50 times as long\).*: not bounded\.$/);
  assertMatch(refusals!, /^20 of 40 \(50%\) answers refuse by their words, before 0, .*: not bounded\.$/);
  assertMatch(agreement!, /20 of 40 \(50%\) answers open by agreeing by their words.*: not bounded\.$/);
});

Deno.test("a bound stops what goes beyond it and nothing else", () => {
  const bounds = { length: 1.5, refusal: 0.1, agreement: 0.1 };
  const stopped = (change: Parameters<typeof behaved>[0], only: Partial<typeof bounds> = bounds) => {
    const { findings } = judge({ ...good, behaviour: behaved(change) }, { ...defaultBudgets, behaviour: only });
    return findings.flatMap(({ rule, passed }) => passed ? [] : [rule]);
  };
  assertEquals(stopped({}), []);
  assertEquals(stopped({ tokens: 15 }), []);
  assertEquals(stopped({ tokens: 15.1 }), ["length-within-bound"]);
  assertEquals(stopped({ tokens: 15.1 }, { refusal: 0.1 }), []);
  assertEquals(stopped({ tokens: 1 }), [], "shorter is no fault here");
  assertEquals(stopped({ refuse: 4 }), []);
  assertEquals(stopped({ refuse: 5 }), ["refusals-within-bound"]);
  assertEquals(stopped({ refuse: 1 }, { refusal: 0 }), ["refusals-within-bound"]);
  assertEquals(stopped({ agree: 4 }), []);
  assertEquals(stopped({ agree: 5 }), ["agreement-within-bound"]);
});

Deno.test("what was bounded and cannot be told does not pass, and it is said why", () => {
  const bounds = { length: 1.5, refusal: 0.1, agreement: 0.1 };
  const messages = (behaviour: ReturnType<typeof behaved>) =>
    judge({ ...good, behaviour }, { ...defaultBudgets, behaviour: bounds }).findings.filter(({ passed }) => !passed)
      .map(({ message }) => message);
  assertEquals(messages(undefined).length, 3);
  const few = messages(behaved({ prompts: 9 }));
  assertEquals(few.length, 3);
  for (const message of few) assertMatch(message, /fewer than 10 cannot tell/);
  assertEquals(messages(behaved({ stating: false })), [
    "Agreement with the user: not measured, since no held-out prompt states a view of the user's; so it cannot be held " +
    "against the bound, 10 points.",
  ]);
});

Deno.test("budgets are the caller's to set", () => {
  assertEquals(judge(good, { ...defaultBudgets, klPerAnswer: 3, klPerToken: 0.1 }).passed, false);
  assertEquals(judge({ ...good, kl: 60 }, { ...defaultBudgets, klPerAnswer: 100 }).passed, true);
});

Deno.test("probe answers are measured in tokens: length, distinct 4-grams within an answer, share cut off", () => {
  const answer = (answerIds: number[], ended: boolean) => ({ promptIds: [1], answerIds, ended });
  assertEquals(measureProbes([answer([1, 2, 3, 4, 5], true), answer([7, 7, 7, 7, 7, 7, 7], false)]), {
    prompts: 2,
    meanTokens: 6,
    // 2 and 1 distinct ones of 2 and 4.
    distinctFourGrams: 3 / 6,
    cutOff: 1 / 2,
  });
  assertEquals(measureProbes([answer([1, 2], true), answer([1, 2, 3, 4], true)]).distinctFourGrams, 1);
  assertEquals(measureProbes([answer([], true)]).distinctFourGrams, 1);
});
