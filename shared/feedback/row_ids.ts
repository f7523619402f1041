// One row to the ids of its prompt and of its answer, and what became of it on the way: what the chat template leaves out,
// and where prompt and answer meet. Knows the tokenizer only as what reads texts and conversations; nothing of other
// rows.

import { InputError } from "../errors.ts";
import type { ChatTokenizer, ReadChat, RenderOptions } from "../runtime/chat_tokenizer.ts";
import { type FeedbackRow, isEmptyCompletion, type Message } from "./row.ts";

/** What tokenising needs of a tokenizer. */
export type RowTokenizer = Pick<
  ChatTokenizer,
  "encodePrompt" | "readChat" | "readAnswered" | "render" | "eosToken" | "eosTokenIds" | "endWords"
>;

/** What may become of a row, beside being read as it is. */
export type Finding =
  /** Text: the prompt's ids are not how the joint ids begin, so that the answer loses or doubles a token, as in TRL. */
  | "seamMismatch"
  /** A token reaches from the generation prompt into the answer; it is the answer's. */
  | "seamShared"
  /** The generation prompt goes on otherwise than the template opens a turn that was said. */
  | "seamParted"
  /** The template renders the prompt otherwise once an answer follows, so there is no seam. */
  | "seamLost"
  /** The answer is in fields that the template does not read, and nothing else was said. */
  | "answerLeftOut"
  /** The template leaves out a part of the answer's text, which is therefore read as a model gives it. */
  | "answerAsGiven"
  /** The same, of several messages, of which only what the template leaves is read. */
  | "answerShortened"
  | "systemLeftOut"
  /** The system message has no turn of its own. */
  | "systemMerged"
  /** Of another earlier turn the template leaves out some or all. */
  | "turnShortened"
  /** The answer ended in an end token's words, which the template writes itself. */
  | "endWordTaken";

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
  const rendered = { before, after, options, open, whole };
  let seam = seamOf(rendered, tokenizer), { ids } = whole;
  if (seam === undefined) return nothing("seamLost");
  const answer = whole.text.slice(seam.textAt);
  if (!after.every(({ content }) => contains(answer, content))) {
    const given = asGiven(rendered, tokenizer);
    findings.push(given ? "answerAsGiven" : "answerShortened");
    if (given) [ids, seam] = [given.ids, { at: commonLength(open.ids, given.ids), textAt: open.text.length }];
  }
  if (seam.finding) findings.push(seam.finding);
  return {
    promptIds: ids.slice(0, seam.at),
    ...(seam.at < open.ids.length ? { askedIds: open.ids } : {}),
    completionIds: isEmptyCompletion(after) ? [] : ids.slice(seam.at),
    findings,
    unread,
  };
}

const asMessages = (text: string | Message[], role: string): Message[] =>
  typeof text === "string" ? [{ role, content: text }] : text;

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
 * @returns undefined where they part before the generation prompt: what was asked would count as answered
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
 * An answer whose text the template would shorten (thoughts, mostly, which it keeps from later turns), as a model gives
 * it: after the generation prompt, and ended as the template ends a turn.
 *
 * @returns undefined where the answer is more than one message
 */
function asGiven({ before, after: [said, ...rest], options, open }: RenderedRow, tokenizer: RowTokenizer) {
  if (rest.length > 0) return undefined;
  const { text } = tokenizer.readChat([...before, { ...said!, content: standIn }], options);
  const at = text.lastIndexOf(standIn);
  if (at < 0) return undefined;
  // What the generation prompt has begun is not begun twice.
  const content = said!.content.trimStart();
  let begun = content.length;
  while (begun > 0 && !open.text.endsWith(content.slice(0, begun))) begun--;
  const answer = begun > 0 ? content.slice(begun) : said!.content;
  return tokenizer.readAnswered(before, options, answer, text.slice(at + standIn.length));
}

function commonLength(a: ArrayLike<unknown>, b: ArrayLike<unknown>): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

/** What the template makes of what was said before the answer. */
function findingsOfPrompt(
  before: readonly Message[],
  options: RenderOptions,
  text: string,
  tokenizer: RowTokenizer,
): Finding[] {
  const findings = new Set<Finding>();
  before.forEach(({ role, content }, i) => {
    if (contains(text, content)) {
      const answered = before.slice(i).some((message) => message.role === "user");
      if (role === "system" && content.trim() !== "" && answered && mergesSystem(tokenizer)) {
        findings.add("systemMerged");
      }
    } else if (role !== "system") findings.add("turnShortened");
    else if (rendersAlike(before, before.filter((_, k) => k !== i), options, tokenizer)) findings.add("systemLeftOut");
  });
  return [...findings];
}

const rendersAlike = (a: readonly Message[], b: readonly Message[], options: RenderOptions, tokenizer: RowTokenizer) =>
  renderedOr(undefined, a, options, tokenizer) === renderedOr(null, b, options, tokenizer);

/** What the template writes, or `otherwise` where it refuses. */
function renderedOr<Other>(
  otherwise: Other,
  messages: readonly Message[],
  options: RenderOptions,
  tokenizer: RowTokenizer,
): string | Other {
  try {
    return tokenizer.render([...messages], options);
  } catch (error) {
    if (error instanceof InputError) return otherwise;
    throw error;
  }
}

/** By tokenizer, since it is the template's way and not the row's. */
const merging = new WeakMap<RowTokenizer, boolean>();

/** Whether a system message stands within the user's turn: nothing that opens a turn comes after it. */
function mergesSystem(tokenizer: RowTokenizer): boolean {
  const known = merging.get(tokenizer);
  if (known !== undefined) return known;
  const [system, user] = ["SYSTEM-TEXT", "USER-TEXT"];
  const alone = renderedOr("", [{ role: "user", content: user }], {}, tokenizer).split(user)[0]!;
  const both = renderedOr("", [{ role: "system", content: system }, { role: "user", content: user }], {}, tokenizer);
  const between = both.split(system)[1]?.split(user)[0];
  const shared = between === undefined ? 0 : commonLength(reversed(alone), reversed(between));
  const merges = between !== undefined && !/[\p{L}\p{N}]/u.test(between.slice(between.length - shared));
  merging.set(tokenizer, merges);
  return merges;
}

const reversed = (text: string) => text.split("").reverse();

/** Whether a text holds what was said, maybe with other white space, or as JSON. */
function contains(text: string, said: string): boolean {
  const bare = said.trim(), squeezed = (text: string) => text.replace(/\s+/g, "");
  return text.includes(bare) || squeezed(text).includes(squeezed(bare)) ||
    text.includes(JSON.stringify(bare).slice(1, -1));
}

/** Fields of one row's messages that are looked at one by one, at two renderings each. */
const mostFields = 32;

/** Fields of messages that say something besides role and content, and the row's own that a template may read. */
function unreadFields(
  before: readonly Message[],
  after: readonly Message[],
  options: RenderOptions,
  tokenizer: RowTokenizer,
): string[] {
  const all = [...before, ...after], own = ["role", "content"];
  const fields = [...new Set(all.flatMap((message) => Object.keys(message)))].filter((field) => !own.includes(field));
  const { tools, templateArguments = {} } = options, { tools: _, ...noTools } = options;
  const names = Object.keys(templateArguments);
  if (fields.length === 0 && !tools && names.length === 0) return [];
  /** What the template makes of the row without these fields of messages: with its answer, and as it is asked. */
  const rendered = (left: readonly string[], given: RenderOptions = options) => {
    const kept = (messages: readonly Message[]) => messages.map((message) => without(message, left));
    return JSON.stringify([
      renderedOr(null, kept(all), given, tokenizer),
      renderedOr(null, kept(before), { ...given, addGenerationPrompt: true }, tokenizer),
    ]);
  };
  const whole = rendered([]);
  const unread = fields.length > 0 && rendered(fields) === whole
    ? fields
    : fields.slice(0, mostFields).filter((field) => rendered([field]) === whole);
  const unreadNames = names.slice(0, mostFields).filter((name) =>
    rendered([], { ...options, templateArguments: omit(templateArguments, [name]) }) === whole
  );
  return [
    ...unread,
    ...(tools && rendered([], noTools) === whole ? ["tools"] : []),
    ...unreadNames.map((name) => `chat_template_kwargs.${name}`),
  ];
}

const omit = <Value extends object>(value: Value, names: readonly string[]): Value =>
  Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name))) as Value;

const without = (message: Message, fields: readonly string[]): Message => omit(message, fields);
