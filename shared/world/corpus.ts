// Pretraining conversations of the embedded world, and which questions are kept out of them. It does not know about
// tokens or about training.
import type { Message } from "../feedback/row.ts";
import { Random } from "../random.ts";
import { answer, CHAT, type Manner, type Question, questions } from "./grammar.ts";

export type { Message };

export interface Conversation {
  messages: Message[];
}

/** How often each manner is used, in percent. */
export const MIXTURE: readonly (readonly [Manner, number])[] = [
  ["right", 42],
  ["curt", 14],
  ["wrong", 12],
  ["rude", 12],
  ["rambling", 10],
  ["refusing", 10],
];

/** One conversation in eight goes on for a second question, so that a chat has been seen to have more than one turn. */
const SECOND_TURN = 1 / 8;

/** One combination in thirteen is kept out. */
const UNSEEN_IN = 13;

/** No topic is drawn as if it had fewer facts than this, so small talk is not drowned by sums. */
const LEAST_WEIGHT = 30;

/**
 * The questions to train on, and the (entity, phrasing) combinations nobody trains on. Which is which depends only on
 * the question itself. Every fact and every phrasing is in `train`, only not together. Small talk stays in `train`
 * whole: its phrasings belong to one entity each.
 */
export function splitQuestions(): { train: Question[]; unseen: Question[] } {
  const train: Question[] = [];
  const unseen: Question[] = [];
  const held = new Map<string, number>();
  for (const question of questions()) {
    const fact = `${question.topic}|${question.entity}`;
    const already = held.get(fact) ?? 0;
    const kept = question.topic !== CHAT && already < 3 && hash(`${fact}|${question.phrasing}`) % UNSEEN_IN === 0;
    if (kept) held.set(fact, already + 1);
    (kept ? unseen : train).push(question);
  }
  return { train, unseen };
}

/** `count` conversations over the training questions, each answer in a manner drawn from `MIXTURE`. */
export function pretrainCorpus({ seed, count }: { seed: number; count: number }): Conversation[] {
  const random = new Random(seed);
  const draw = questionDrawer(splitQuestions().train);
  return Array.from({ length: count }, () => {
    const messages: Message[] = [];
    do {
      const question = draw(random);
      messages.push({ role: "user", content: question.text });
      messages.push({ role: "assistant", content: answer(question, drawManner(random), random) });
    } while (messages.length < 4 && random.next() < SECOND_TURN);
    return { messages };
  });
}

/** A manner drawn with the frequencies of `MIXTURE`. */
export function drawManner(random: Random): Manner {
  let left = random.next() * MIXTURE.reduce((sum, [, share]) => sum + share, 0);
  for (const [manner, share] of MIXTURE) {
    left -= share;
    if (left < 0) return manner;
  }
  return "right";
}

/** Draws a topic by its number of facts (small ones lifted), then any of its questions. */
function questionDrawer(pool: readonly Question[]): (random: Random) => Question {
  const byTopic = new Map<string, Question[]>();
  for (const question of pool) byTopic.set(question.topic, [...(byTopic.get(question.topic) ?? []), question]);
  const weighted = [...byTopic.values()].map((list) => ({
    list,
    weight: Math.max(LEAST_WEIGHT, new Set(list.map((question) => question.entity)).size),
  }));
  const total = weighted.reduce((sum, { weight }) => sum + weight, 0);
  return (random) => {
    let left = random.next() * total;
    for (const { list, weight } of weighted) {
      left -= weight;
      if (left < 0) return random.pick(list);
    }
    return random.pick(pool);
  };
}

/** FNV-1a over UTF-16 units, then mixed, because its low bits alone are uneven on short texts. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return (h ^ (h >>> 13)) >>> 0;
}
