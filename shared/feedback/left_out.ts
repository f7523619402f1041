// What a chat template makes of a row's messages: which fields it does not read, which turns it leaves out or merges, and
// whether it writes what was said. It compares renderings, and knows no tokens.

import { InputError } from "../errors.ts";
import type { ChatTokenizer, RenderOptions } from "../runtime/chat_tokenizer.ts";
import type { Finding } from "./findings.ts";
import type { Message } from "./row.ts";

/** What comparing renderings needs of a tokenizer. */
export type Renderer = Pick<ChatTokenizer, "render">;

/** What the template makes of what was said before the answer. */
export function findingsOfPrompt(
  before: readonly Message[],
  options: RenderOptions,
  text: string,
  tokenizer: Renderer,
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

const rendersAlike = (a: readonly Message[], b: readonly Message[], options: RenderOptions, tokenizer: Renderer) =>
  renderedOr(undefined, a, options, tokenizer) === renderedOr(null, b, options, tokenizer);

/** What the template writes, or `otherwise` where it refuses. */
export function renderedOr<Other>(
  otherwise: Other,
  messages: readonly Message[],
  options: RenderOptions,
  tokenizer: Renderer,
): string | Other {
  try {
    return tokenizer.render([...messages], options);
  } catch (error) {
    if (error instanceof InputError) return otherwise;
    throw error;
  }
}

/** By tokenizer, since it is the template's way and not the row's. */
const merging = new WeakMap<Renderer, boolean>();

/** Whether a system message stands within the user's turn: nothing that opens a turn comes after it. */
function mergesSystem(tokenizer: Renderer): boolean {
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

/** Whether an answer as it is rendered begins with words that its message has not. */
export function beginsOtherwise(rendered: string, { role: _, content, ...further }: Message): boolean {
  const at = rendered.indexOf(content.trim());
  return Object.keys(further).length === 0 && at > 0 && rendered.slice(0, at).trim() !== "";
}

/** Whether a text holds what was said, maybe with other white space, or as JSON. */
export function contains(text: string, said: string): boolean {
  const bare = said.trim(), squeezed = (text: string) => text.replace(/\s+/g, "");
  return text.includes(bare) || squeezed(text).includes(squeezed(bare)) ||
    text.includes(JSON.stringify(bare).slice(1, -1));
}

/** Fields of one row's messages that are looked at one by one, at two renderings each. */
const mostFields = 32;

/** Fields of messages that say something besides role and content, and the row's own that a template may read. */
export function unreadFields(
  before: readonly Message[],
  after: readonly Message[],
  options: RenderOptions,
  tokenizer: Renderer,
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

/** How many elements two lists, or code units two texts, have in common at their beginning. */
export function commonLength(a: ArrayLike<unknown>, b: ArrayLike<unknown>): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

const omit = <Value extends object>(value: Value, names: readonly string[]): Value =>
  Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name))) as Value;

export const without = (message: Message, fields: readonly string[]): Message => omit(message, fields);
