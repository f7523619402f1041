// Judges a model on the embedded world: how many of its answers to questions that nobody trained on are desirable. Only
// the embedded model lives in that world. It does not know adapters or training.

import { splitQuestions } from "../../shared/world/corpus.ts";
import type { Question } from "../../shared/world/grammar.ts";
import { judge } from "../../shared/world/judge.ts";
import { Random } from "../../shared/random.ts";

/** Answers are sampled as a chat would, for the feedback file as for the evaluation. */
export const worldSampling = { temperature: 0.7, maxNewTokens: 64 } as const;

const evaluationPrompts = 300;

/** The questions that are asked: unseen in pretraining and in the feedback file, the same every time. */
export function evaluationQuestions(): Question[] {
  return new Random(7).shuffle(splitQuestions().unseen).slice(0, evaluationPrompts);
}

/** Whether each answer is desirable, and their share. */
export function judgeAnswers(questions: readonly Question[], answers: readonly string[]) {
  const verdicts = questions.map((question, i) => judge(question, answers[i]!).desirable);
  return { verdicts, rate: verdicts.filter((desirable) => desirable).length / verdicts.length };
}
