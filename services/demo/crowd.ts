// A simulated crowd of the embedded world: asks its questions over HTTP and presses thumbs, now and then the wrong one.
// It judges by the world's own judge, as people judge by what they know. It knows nothing of training.

import { Random } from "../../shared/random.ts";
import type { Progress } from "../../shared/progress.ts";
import { servedAlias } from "../../shared/store/aliases.ts";
import { splitQuestions } from "../../shared/world/corpus.ts";
import type { Question } from "../../shared/world/grammar.ts";
import { judge } from "../../shared/world/judge.ts";
import { type Client, mapWide } from "./client.ts";

/** Share of thumbs that are pressed by mistake. */
export const noise = 0.08;

const temperature = 0.7, maxTokens = 64;

/** People who ask at the same time. */
const width = 16;

/** Questions that were in no one's training, the same every time, and questions for the crowd to ask. */
export function questionsFor(seed: number, asked: number, measured: number): { crowd: Question[]; exam: Question[] } {
  const { train, unseen } = splitQuestions();
  return {
    crowd: new Random(seed).shuffle([...train]).slice(0, asked),
    exam: new Random(7).shuffle([...unseen]).slice(0, measured),
  };
}

interface Completion {
  id: string;
  choices: { message: { content: string } }[];
}

const ask = (client: Client, question: Question, seed: number, user: string, model: string) =>
  client.call<Completion>("POST", "/v1/chat/completions", {
    model,
    messages: [{ role: "user", content: question.text }],
    temperature,
    max_tokens: maxTokens,
    seed,
    user,
  });

/** The crowd asks and judges. @returns desirable thumbs, and all */
export async function pressThumbs(
  client: Client,
  questions: readonly Question[],
  seed: number,
  progress: Progress,
): Promise<{ desirable: number; labels: number }> {
  const mistakes = new Random(seed + 1);
  const mistaken = questions.map(() => mistakes.next() < noise);
  const labels = await mapWide(questions, width, async (question, index) => {
    const user = `person ${index % 200}`;
    const { id, choices } = await ask(client, question, seed + index, user, servedAlias);
    const { desirable } = judge(question, choices[0]!.message.content);
    const label = desirable !== mistaken[index];
    await client.call("POST", "/v1/feedback", { completion_id: id, label, end_user: user });
    progress.advance(1);
    return label;
  });
  return { desirable: labels.filter(Boolean).length, labels: labels.length };
}

export interface Exam {
  /** Share of the answers that are judged desirable, without mistakes. */
  rate: number;
  answers: { question: string; answer: string; desirable: boolean }[];
}

/** Asks what nobody was trained on and judges the answers. Nothing of it is kept. */
export async function examine(client: Client, questions: readonly Question[], progress: Progress): Promise<Exam> {
  const answers = await mapWide(questions, width, async (question, index) => {
    const completion = await client.call<Completion>("POST", "/v1/chat/completions", {
      model: servedAlias,
      messages: [{ role: "user", content: question.text }],
      temperature,
      max_tokens: maxTokens,
      seed: index,
      store: false,
    });
    const answer = completion.choices[0]!.message.content;
    progress.advance(1);
    return { question: question.text, answer, desirable: judge(question, answer).desirable };
  });
  return { rate: answers.filter(({ desirable }) => desirable).length / answers.length, answers };
}
