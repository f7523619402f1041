// Where the prompt ends and the answer begins, in records that do not say so: pairs without a prompt, and answers that bring
// turns of the user. It cuts between turns and between words; what cannot be cut so is refused. Knows no fields.

import { RefusedRecord } from "./fields.ts";
import { asMessages, type Said } from "./messages.ts";
import type { Message } from "./row.ts";

/** A prompt and the two answers to it. */
export interface Pair {
  prompt: Said;
  chosen: Said;
  rejected: Said;
}

/** Whose words are asked, and are no answer. */
const isAsked = ({ role }: Message) => role === "user" || role === "system";

const same = (a: Message | undefined, b: Message | undefined) =>
  a !== undefined && b !== undefined && a.role === b.role && a.content.trim() === b.content.trim();

/** Whether an answer brings turns that come before it. */
export const bringsTurns = (said: Said): boolean =>
  typeof said !== "string" && said[0] !== undefined && isAsked(said[0]);

/** Whether an answer has words that are no model's. */
export const hasAsked = (said: Said): boolean => typeof said !== "string" && said.some(isAsked);

/**
 * The whole conversation of an answer that brings turns: UltraFeedback and others repeat the prompt in it, others go on
 * from it, as TRL does. A system message of the prompt stays.
 *
 * @throws RefusedRecord where it is neither
 */
export function wholeOf(prompt: Said, answer: Said): Message[] {
  const before = asMessages(prompt, "user"), turns = asMessages(answer, "assistant");
  if (!turns[0] || !isAsked(turns[0])) return [...before, ...turns];
  const system = (messages: Message[]) => messages[0]?.role === "system" ? messages.slice(0, 1) : [];
  const [own, brought] = [system(before), system(turns)];
  const asked = before.slice(own.length), said = turns.slice(brought.length);
  if (own.length > 0 && brought.length > 0 && !same(own[0], brought[0])) {
    throw new RefusedRecord("the prompt has one system message and the answer brings another: leave one of them out");
  }
  const opening = own.length > 0 ? own : brought;
  if (asked.every((message, i) => same(message, said[i]))) return [...opening, ...said];
  const last = asked.at(-1)!;
  if (typeof prompt !== "string" && brought.length === 0 && last.role !== "user") {
    return [...opening, ...asked, ...said];
  }
  throw new RefusedRecord(
    "the answer brings turns of its own, which are not how the prompt begins: write the prompt once, in prompt",
  );
}

/** A conversation cut after the last turn that is asked. @throws RefusedRecord where no answer follows */
export function splitConversation(messages: Message[]): { prompt: Message[]; completion: Message[] } {
  const at = messages.findLastIndex(isAsked) + 1;
  if (at === messages.length) throw new RefusedRecord("the conversation ends before anything was answered");
  return { prompt: messages.slice(0, at), completion: messages.slice(at) };
}

/**
 * A pair without a prompt: what both begin with is the prompt, as in TRL's `extract_prompt`, but whole turns, or where a
 * text has none, whole words.
 *
 * @throws RefusedRecord where there is no such beginning, or where the two part in the midst of what was asked
 */
export function splitPair(chosen: Said, rejected: Said): Pair {
  if (typeof chosen === "string" && typeof rejected === "string") return splitTexts(chosen, rejected);
  const [a, b] = [asMessages(chosen, "assistant"), asMessages(rejected, "assistant")];
  let common = 0;
  while (common < a.length && common < b.length && JSON.stringify(a[common]) === JSON.stringify(b[common])) common++;
  // The last message stays an answer even where both are equal.
  common = Math.min(common, a.length - 1, b.length - 1);
  if (common === 0) throw new RefusedRecord(noBeginning);
  for (const [name, rest] of [["chosen", a.slice(common)], ["rejected", b.slice(common)]] as const) {
    if (rest.some(isAsked)) {
      throw new RefusedRecord(
        `where chosen and rejected part, ${name} has a turn of the user that is no answer: end both with the answers ` +
          `to the same turns`,
      );
    }
  }
  return { prompt: a.slice(0, common), chosen: a.slice(common), rejected: b.slice(common) };
}

const noBeginning = "chosen and rejected have no common beginning, so there is no prompt: add a prompt field";

/** How texts open an answer: Anthropic's HH and its like, Alpaca's, and the markup of chat templates. */
const answerOpenings = [
  /(?:^|\n)(?:Assistant|ASSISTANT|AI|Bot): ?/,
  /###\s*(?:Response|Assistant|Answer):?[^\S\n]*\n?/,
  /<\|im_start\|>assistant\n/,
  /<\|assistant\|>\n?/,
  /<\|start_header_id\|>assistant<\|end_header_id\|>\n\n/,
  /<start_of_turn>model\n/,
  /\[\/INST\]/,
];

/** How they open what is asked. */
const askOpenings = [
  /(?:^|\n)(?:Human|HUMAN|User|USER): ?/,
  /###\s*(?:Instruction|Human|User|Input):?/,
  /<\|im_start\|>(?:user|system)\n/,
  /<\|(?:user|system)\|>/,
  /<\|start_header_id\|>(?:user|system)<\|end_header_id\|>/,
  /<start_of_turn>user\n/,
  /\[INST\]/,
];

const anyOf = (patterns: readonly RegExp[]) => new RegExp(patterns.map(({ source }) => source).join("|"), "g");
const answered = anyOf(answerOpenings), asked = anyOf(askOpenings);

const words = new Intl.Segmenter("en", { granularity: "word" });

function splitTexts(a: string, b: string): Pair {
  let common = 0;
  while (common < a.length && common < b.length && a[common] === b[common]) common++;
  const beginning = a.slice(0, common);
  const opening = [...beginning.matchAll(answered)].at(-1);
  const at = opening === undefined
    ? lastWordEnd(a, b, common)
    // A space after the colon is the answer's first token's.
    : opening.index + opening[0].replace(/ $/, "").length;
  const rests = [a.slice(at), b.slice(at)];
  const hasTurns = (text: string) => text.search(asked) >= 0;
  if (opening === undefined ? hasTurns(a) || hasTurns(b) : rests.some(hasTurns)) {
    throw new RefusedRecord(
      "chosen and rejected part in what was asked, not in its last answer: give the prompt in a field of its own",
    );
  }
  if (at <= 0) throw new RefusedRecord(noBeginning);
  return { prompt: a.slice(0, at), chosen: rests[0]!, rejected: rests[1]! };
}

/** The last place within the common beginning where a word ends in both texts, and something follows in both. */
function lastWordEnd(a: string, b: string, common: number): number {
  const inWords = [a, b].map((text) => words.segment(text));
  const follows = (at: number) => a.slice(at).trim() !== "" && b.slice(at).trim() !== "";
  for (let at = common; at > 0; at--) {
    const ends = inWords.every((segments) => (segments.containing(at)?.index ?? at) === at);
    // Spaces belong to the word after them.
    if (ends && follows(at) && a.slice(0, at).trim() !== "") return a.slice(0, at).trimEnd().length;
  }
  return 0;
}
