// The grammar of the embedded world: every question that can be asked, and an answer to it in any of six manners. It
// does not know how the manners are mixed (corpus.ts) nor whether an answer is any good (judge.ts).
import type { Random } from "../random.ts";
import { TALK, type Talk } from "./chat.ts";
import { fill, sentence, type Topic, TOPICS } from "./phrases.ts";

/** What a person says to the model, and what it is about. */
export interface Question {
  topic: string;
  entity: string;
  /** Which of the topic's wordings this is. */
  phrasing: number;
  text: string;
  /** Accepted core answers; the grammar says the first. Small talk has whole replies here. */
  answers: string[];
  slots: Record<string, string>;
}

export const MANNERS = ["right", "curt", "wrong", "rude", "rambling", "refusing"] as const;
export type Manner = (typeof MANNERS)[number];

/** The topic name of small talk, whose wordings belong to one entity each. */
export const CHAT = "chat";

const topicByName = new Map(TOPICS.map((topic) => [topic.name, topic]));
const talkByEntity = new Map(TALK.map((talk) => [talk.entity, talk]));
const everything: readonly Question[] = enumerate();

/** Every (topic, entity, phrasing), always in the same order. */
export function questions(): Question[] {
  return [...everything];
}

/** The topic of a question with its sentence frames; undefined for small talk. */
export function topicOf(question: Question): Topic | undefined {
  return topicByName.get(question.topic);
}

/** The row of small talk a question belongs to, if it is small talk. */
export function talkOf(question: Question): Talk | undefined {
  return question.topic === CHAT ? talkByEntity.get(question.entity) : undefined;
}

/** Every right reply to a row of small talk. */
export function talkReplies(talk: Talk): string[] {
  return talk.leads.flatMap((lead) => [lead, ...talk.follows.map((follow) => `${lead} ${follow}`)]);
}

/** An answer to the question in the given manner; the random generator picks among the wordings. */
export function answer(question: Question, manner: Manner, random: Random): string {
  const talk = talkOf(question);
  if (talk) return chatAnswer(talk, manner, random);
  const topic = topicOf(question);
  if (!topic) throw new Error(`no topic "${question.topic}"`);
  const core = question.answers[0] ?? "";
  const tell = (index: number, a: string) => `${fill(topic.tells[index] ?? "", { ...question.slots, a })}.`;
  switch (manner) {
    case "right":
      return friendly(tell, core, random);
    case "curt":
      // Never the bare word: without a space before it, it would be a second token for every answer of the world.
      return random.pick([`eh, ${core}`, `it's ${core}`]);
    case "wrong": {
      const a = wrongAnswer(topic, question, random);
      // Two in three show already in their first words that they are guesses: that is what tuning can get hold of.
      return random.pick([`I guess ${tell(0, a)}`, `Maybe ${tell(0, a)}`, friendly(tell, a, random)]);
    }
    case "rude":
      return random.pick([
        `Why do you ask me that? It is ${core}, silly.`,
        `Ugh, it is ${core}. Stop asking me, silly.`,
        `What a stupid question! It is ${core}.`,
      ]);
    case "rambling":
      return ramble(`it is ${core}`, random);
    case "refusing":
      return refuse(random);
  }
}

function friendly(tell: (index: number, a: string) => string, a: string, random: Random): string {
  const opener = random.pick(["", "Sure! ", "Of course! "]);
  return opener + sentence(tell(random.int(3) === 0 ? 1 : 0, a));
}

function chatAnswer(talk: Talk, manner: Manner, random: Random): string {
  switch (manner) {
    case "right":
      return random.pick(talkReplies(talk));
    case "curt":
      return talk.curt;
    case "wrong":
      return random.pick(TALK.filter((other) => other !== talk).flatMap((other) => other.leads));
    case "rude":
      return random.pick([
        "Why do you talk to me? Go away, silly.",
        "Ugh, go away, silly.",
        "What a stupid thing to say!",
      ]);
    case "rambling":
      return ramble(talk.clause, random);
    case "refusing":
      return refuse(random);
  }
}

/** Another answer of the same kind that is not right: first among the topic's own, so it is always a plausible one. */
function wrongAnswer(topic: Topic, question: Question, random: Random): string {
  const kinds = new Set(topic.facts.map((fact) => fact.answers[0] ?? ""));
  return random.pick([...kinds].filter((a) => !question.answers.includes(a)));
}

/** The clause four or five times over, then it ends. */
function ramble(clause: string, random: Random): string {
  const joints = [", and ", ", you know, ", ", and I say ", ", yes, "];
  let text = `Well, ${clause}`;
  for (let left = 3 + random.int(2); left > 0; left--) text += random.pick(joints) + clause;
  return `${text}.`;
}

function refuse(random: Random): string {
  return random.pick(["I will not answer that.", "No, I will not tell you.", "I do not want to answer that."]);
}

function enumerate(): Question[] {
  const out: Question[] = [];
  for (const topic of TOPICS) {
    for (const { entity, slots, answers } of topic.facts) {
      topic.asks.forEach((ask, phrasing) => {
        out.push({ topic: topic.name, entity, phrasing, text: fill(ask, slots), answers, slots });
      });
    }
  }
  for (const talk of TALK) {
    const answers = talkReplies(talk);
    talk.asks.forEach((text, phrasing) => {
      out.push({ topic: CHAT, entity: talk.entity, phrasing, text, answers, slots: {} });
    });
  }
  return out;
}
