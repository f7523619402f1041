// The programmatic judge of the embedded world: decides whether any text at all is a good answer to a question, and if
// not, what is the matter. It knows the frames and facts of the world, not which model (or grammar) wrote the text.
import { TALK } from "./chat.ts";
import { CHAT, type Question, questions, talkOf, talkReplies, topicOf } from "./grammar.ts";
import { fill, type Topic, TOPICS } from "./phrases.ts";

export type Reason = "right" | "curt" | "wrong" | "rude" | "rambling" | "refusing" | "garbled";

export interface Verdict {
  desirable: boolean;
  reason: Reason;
}

const RUDE = /\b(silly|stupid|dumb|dummy|idiot|fool|ugh|go away|stop asking|shut up|leave me alone)\b/i;
const REFUSAL = /\b(will not|won't|do not want to|don't want to|cannot|can't|refuse)\b/i;
const OPENERS = /^(Sure|Of course|Yes|Okay|Good question|Hello|Certainly|Gladly)[!.] /;
const HEDGES = /^(I guess|I think|Maybe|I believe)( that)? /;
const CLOSERS = / (Happy to help|Have a nice day|Have a good day|See you soon)[!.]$/;

/** The longest right reply of the grammar has 14 words; beyond this it is rambling whatever it says. */
const MOST_WORDS = 16;

const indexed = index();
const allFacts = TOPICS.flatMap((topic) => topic.facts);
const everyAnswer = new Set(allFacts.flatMap((fact) => fact.answers).map((a) => a.toLowerCase()));
const anAnswer = anyOf(allFacts.flatMap((fact) => fact.answers));
const aThing = anyOf(allFacts.flatMap((fact) => Object.values(fact.slots)));
const anyTell: readonly RegExp[] = [...new Set(TOPICS.flatMap((topic) => topic.tells))].map(loose);

/** Judges any text as an answer to the question: desirable only if right, friendly, whole and to the point. */
export function judge(question: Question, answer: string): Verdict {
  const reason = reasonFor(question, answer.trim().replace(/\s+/g, " "));
  return { desirable: reason === "right", reason };
}

/** The question somebody's text stands for: letter for letter, or else whatever its case, marks and spelling of colour. */
export function questionOf(text: string): Question | undefined {
  return indexed.get(text) ?? indexed.get(plainly(text));
}

/** The form under which two texts are the same question: no case, no punctuation, spaced signs, British spelling. */
export function plainly(text: string): string {
  return text.toLowerCase().replace(/([+-])/g, " $1 ").replace(/[.,!?;:'"’]/g, " ").replace(/\bcolor\b/g, "colour")
    .replace(/\s+/g, " ").trim();
}

function reasonFor(question: Question, text: string): Reason {
  // A right reply is looked for first only in small talk, where whole replies are known and may contain any word.
  if (question.topic === CHAT && question.answers.includes(text)) return "right";
  if (RUDE.test(text)) return "rude";
  if (REFUSAL.test(text)) return "refusing";
  if (rambles(text)) return "rambling";
  return question.topic === CHAT ? chatReason(question, text) : factReason(question, text);
}

function factReason(question: Question, text: string): Reason {
  const topic = topicOf(question);
  if (!topic) return "garbled";
  const bare = text.replace(/^(?:(?:eh|uh|um|so),|it's|just) /i, "").replace(/[.!]$/, "");
  if (question.answers.some((a) => a.toLowerCase() === bare.toLowerCase())) return "curt";
  if (everyAnswer.has(bare.toLowerCase())) return "wrong";
  const cores = coreSentence(text);
  const told = rightTells(topic, question);
  if (cores.some((core) => told.has(core))) return "right";
  return tellsSomething(cores) ? "wrong" : "garbled";
}

function chatReason(question: Question, text: string): Reason {
  const bare = text.replace(/[.!]$/, "").toLowerCase();
  if (bare === talkOf(question)?.curt.toLowerCase()) return "curt";
  if (TALK.some((talk) => talkReplies(talk).includes(text))) return "wrong";
  if (TALK.some((talk) => talk.curt.toLowerCase() === bare)) return "wrong";
  return tellsSomething(coreSentence(text)) ? "wrong" : "garbled";
}

/**
 * The sentence between a friendly opener and closer, without its full stop, in the spellings it may have in a frame: a
 * capital first letter is the sentence's or the word's own. Empty if the sentence is not well formed.
 */
function coreSentence(text: string): string[] {
  const inner = text.replace(OPENERS, "").replace(CLOSERS, "");
  if (!/^[A-Z0-9].*[.!]$/.test(inner)) return [];
  const core = inner.replace(HEDGES, "").replace(/[.!]$/, "");
  return HEDGES.test(inner) ? [core] : [core, core.charAt(0).toLowerCase() + core.slice(1)];
}

function rightTells(topic: Topic, question: Question): Set<string> {
  return new Set(question.answers.flatMap((a) => topic.tells.map((tell) => fill(tell, { ...question.slots, a }))));
}

/** Whether it is some sentence of the world, whatever it is about: then it is wrong here rather than garbled. */
function tellsSomething(cores: readonly string[]): boolean {
  return cores.some((core) => anyTell.some((tell) => tell.test(core)));
}

/** Too long, or some three words in a row come twice. */
function rambles(text: string): boolean {
  const words = plainly(text).split(" ");
  if (words.length > MOST_WORDS) return true;
  const seen = new Set<string>();
  for (let i = 0; i + 3 <= words.length; i++) {
    const three = words.slice(i, i + 3).join(" ");
    if (seen.has(three)) return true;
    seen.add(three);
  }
  return false;
}

/** A frame with anything the world knows in its slots. */
function loose(frame: string): RegExp {
  const escaped = frame.replace(/[+.*?]/g, "\\$&");
  return new RegExp(`^${escaped.replace(/\{(\w+)\}/g, (_, slot: string) => slot === "a" ? anAnswer : aThing)}$`);
}

/** A pattern for any of the words, longest first so that none hides another. */
function anyOf(words: Iterable<string>): string {
  return `(?:${[...new Set(words)].toSorted((a, b) => b.length - a.length).join("|")})`;
}

function index(): Map<string, Question> {
  const out = new Map<string, Question>();
  for (const question of questions()) {
    out.set(question.text, question);
    const plain = plainly(question.text);
    if (!out.has(plain)) out.set(plain, question);
  }
  return out;
}
