// One row to the ids of its prompt and of its answer, and what became of it on the way. Cuts prompt and answer where they
// meet. Knows the tokenizer only as what reads texts and conversations; nothing of other rows.

import { InputError } from "../errors.ts";
import type { ChatTokenizer, ReadChat, RenderOptions } from "../runtime/chat_tokenizer.ts";
import type { Finding } from "./findings.ts";
import {
  beginsOtherwise,
  commonLength,
  contains,
  findingsOfPrompt,
  renderedOr,
  unreadFields,
  without,
} from "./left_out.ts";
import { asMessages } from "./messages.ts";
import { type FeedbackRow, isEmptyCompletion, type Message } from "./row.ts";

/** What tokenising needs of a tokenizer. */
export type RowTokenizer = Pick<
  ChatTokenizer,
  "encodePrompt" | "readChat" | "readAnswered" | "render" | "eosToken" | "eosTokenIds" | "endWords"
>;

/** Ids of a row before anything is cut. */
export interface RowIds {
  promptIds: number[];
  /** Ids that the model is asked with, where they are not the prompt's. */
  askedIds?: number[];
  /** Empty where there is nothing to judge. */
  completionIds: number[];
  findings: Finding[];
  /** Fields of the row or of its messages that change nothing in what the template writes. */
  unread: string[];
}

/** @throws InputError where the template refuses the row */
export function idsOfRow(row: FeedbackRow, tokenizer: RowTokenizer): RowIds {
  const { prompt, completion } = row;
  if (typeof prompt === "string" && typeof completion === "string") return idsOfText(prompt, completion, tokenizer);
  try {
    return idsOfChat(row, asMessages(prompt, "user"), asMessages(completion, "assistant"), tokenizer);
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`Row at line ${row.line}: ${error.message}`);
    throw error;
  }
}

/** Plain text, as TRL reads it: the end token is appended unless the answer ends in one. */
function idsOfText(prompt: string, completion: string, tokenizer: RowTokenizer): RowIds {
  const bare = withoutEndWord(completion, tokenizer.endWords);
  const answer = bare === completion ? completion + tokenizer.eosToken : completion;
  const promptIds = tokenizer.encodePrompt(prompt), jointIds = tokenizer.encodePrompt(prompt + answer);
  return {
    promptIds,
    completionIds: bare.trim() === "" ? [] : jointIds.slice(promptIds.length),
    findings: promptIds.every((id, i) => id === jointIds[i]) ? [] : ["seamMismatch"],
    unread: [],
  };
}

function idsOfChat(row: FeedbackRow, before: Message[], said: Message[], tokenizer: RowTokenizer): RowIds {
  const after = said.map((message, i) =>
    i < said.length - 1 ? message : { ...message, content: withoutEndWord(message.content, tokenizer.endWords) }
  );
  const options: RenderOptions = {
    ...(row.tools ? { tools: row.tools } : {}),
    ...(row.templateArguments ? { templateArguments: row.templateArguments } : {}),
  };
  const open = tokenizer.readChat(before, { ...options, addGenerationPrompt: true });
  const whole = tokenizer.readChat([...before, ...after], options);
  const unread = unreadFields(before, after, options, tokenizer);
  const findings = findingsOfPrompt(before, options, open.text, tokenizer);
  if (after.at(-1)?.content !== said.at(-1)?.content) findings.push("endWordTaken");
  const nothing = (finding: Finding): RowIds => ({
    promptIds: open.ids,
    completionIds: [],
    findings: [...findings, finding],
    unread,
  });
  if (!isEmptyCompletion(after) && isEmptyCompletion(after.map((message) => without(message, unread)))) {
    return nothing("answerLeftOut");
  }
  const rendered = { before, after, options, open, whole }, found = seamOf(rendered, tokenizer);
  const answer = found && whole.text.slice(found.textAt);
  const isWhole = answer !== undefined && after.every(({ content }) => contains(answer, content));
  const given = isWhole ? undefined : asGiven(rendered, tokenizer);
  if (found === undefined) {
    if (given === undefined) return nothing("seamLost");
    findings.push("promptAsAsked");
  } else if (!isWhole) findings.push(given ? "answerAsGiven" : "answerShortened");
  else {
    if (found.finding) findings.push(found.finding);
    if (beginsOtherwise(answer!, without(after[0]!, unread))) findings.push("answerOpened");
  }
  const ids = given?.ids ?? whole.ids, at = given ? commonLength(open.ids, given.ids) : found!.at;
  return {
    promptIds: ids.slice(0, at),
    ...(at < open.ids.length ? { askedIds: open.ids } : {}),
    completionIds: isEmptyCompletion(after) ? [] : ids.slice(at),
    findings,
    unread,
  };
}

/** A text without the end token's words that it ends in; as it is where it ends in none. */
function withoutEndWord(text: string, endWords: readonly string[]): string {
  const trimmed = text.trimEnd(), word = endWords.find((each) => trimmed.endsWith(each));
  return word === undefined ? text : trimmed.slice(0, -word.length);
}

interface RenderedRow {
  before: Message[];
  after: Message[];
  options: RenderOptions;
  /** The prompt with the generation prompt. */
  open: ReadChat;
  /** Prompt and answer. */
  whole: ReadChat;
}

/**
 * Where the answer begins in ids and in text. Mostly all that the model is given to answer to stands before the answer,
 * too. A generation prompt may go further than a turn that was said is opened (`<think>`): then the two are cut where
 * they part, but never within the answer, which may by chance begin as the generation prompt goes on.
 *
 * @returns undefined where they part before the generation prompt: some of what was asked would count as answered
 */
function seamOf(
  { before, after, options, open, whole }: RenderedRow,
  tokenizer: RowTokenizer,
): { at: number; textAt: number; finding?: Finding } | undefined {
  const at = commonLength(open.ids, whole.ids);
  if (at === open.ids.length) return { at, textAt: open.text.length };
  const textAt = commonLength(open.text, whole.text);
  if (textAt === open.text.length) return { at, textAt, finding: "seamShared" };
  const unopened = renderedOr(null, before, options, tokenizer);
  if (unopened === null || textAt < commonLength(open.text, unopened)) return undefined;
  const [first, ...rest] = after, content = first!.content.trimStart().startsWith("Z") ? "Q" : "Z";
  const other = tokenizer.readChat([...before, { ...first!, content }, ...rest], options);
  const found = Math.min(at, commonLength(other.ids, whole.ids));
  if (found === 0) return undefined;
  return { at: found, textAt: Math.min(textAt, commonLength(other.text, whole.text)), finding: "seamParted" };
}

/** Stands for an answer, to see what a template writes around it. */
const standIn = "ANSWER-TEXT";

/**
 * A row as a model is asked and answers, where its conversation is rendered otherwise (without the thoughts that the answer
 * begins with, or with the system message elsewhere): the prompt up to the generation prompt, the answer's own words, and
 * what the template ends a turn with.
 *
 * @returns undefined where the answer is more than one message
 */
function asGiven({ before, after: [said, ...rest], options, open }: RenderedRow, tokenizer: RowTokenizer) {
  if (rest.length > 0) return undefined;
  const text = renderedOr("", [...before, { ...said!, content: standIn }], options, tokenizer);
  const at = text.lastIndexOf(standIn);
  if (at < 0) return undefined;
  // What the generation prompt has begun is not begun twice.
  const content = said!.content.trimStart();
  const asks = open.text.length - commonLength(open.text, renderedOr(open.text, before, options, tokenizer));
  let begun = Math.min(content.length, asks);
  while (begun > 0 && !open.text.endsWith(content.slice(0, begun))) begun--;
  const answer = begun > 0 ? content.slice(begun) : said!.content;
  // A space that the template opens an answer with, and does not ask with, is the answer's.
  const [opened, asked] = [text.slice(0, at), open.text].map((each) => each.slice(each.trimEnd().length));
  const space = opened!.startsWith(asked!) && !/^\s/.test(answer) ? opened!.slice(asked!.length) : "";
  return tokenizer.readAnswered(before, options, space + answer, text.slice(at + standIn.length));
}
