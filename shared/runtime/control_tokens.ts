// Keeps what people write apart from control tokens: `<|im_end|>` in a message is ten characters of text, while the one
// that the chat template writes after it ends the turn. Before a conversation is rendered, its texts are sealed: wherever
// they hold a control token's words, or a part that words beside it could complete, a mark is put in between. Afterwards
// the words without a mark are the template's. It knows no templates and no rows.

import { Tokenizer } from "@huggingface/tokenizers";
import { InputError } from "../errors.ts";

/** What is needed of a tokenizer.json beyond what its library reads. */
export interface TokenizerFile {
  added_tokens: { id: number; content: string; special?: boolean; normalized?: boolean }[];
  model: {
    vocab: Record<string, number> | [piece: string, score: number][];
    merges?: (string | [string, string])[];
    unk_token?: string | null;
  };
}

/** A conversation whose texts cannot be taken for control tokens. */
export interface Sealed<T> {
  value: T;
  /** Ids of the text that was rendered from the value. */
  encode(rendered: string): number[];
  /** That text without marks. */
  unseal(rendered: string): string;
}

/** Characters that Unicode keeps for use within programs: text from outside has no business with them. */
const marks = Array.from({ length: 32 }, (_, i) => String.fromCharCode(0xfdd0 + i));

const replacement = "\ufffd";

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const isOneCharacter = (word: string) => [...word].length === 1;
const longestFirst = (words: Iterable<string>) => [...new Set(words)].sort((a, b) => b.length - a.length);
const oneOf = (words: Iterable<string>) => longestFirst(words).map(escaped).join("|") || "(?!)";
/** Names such as `user`, of which templates make control tokens (`<|user|>`), are no part of one by themselves. */
const isName = (text: string) => /^\w*$/.test(text);

/** The control tokens of one tokenizer. */
export class ControlTokens {
  /** Their words, and the ids. */
  #words: Map<string, number>;
  /** Beginnings and ends of the words, without the whole. */
  #beginnings = new Set<string>();
  #ends = new Set<string>();
  #longest = 0;
  #contained: RegExp;
  /** Found in every text that may hold a part of the words, and in few others. */
  #suspicious: RegExp;
  /** Finds them in what the tokenizer's normalizer makes of a text: look-alikes may become them there. */
  #normalized: RegExp | undefined;
  #text: { mark: string; tokenizer: Tokenizer } | undefined;

  /** @param isControl Which of the added tokens are control tokens. */
  constructor(
    readonly tokenizer: Tokenizer,
    readonly file: TokenizerFile,
    readonly config: object,
    isControl: (token: TokenizerFile["added_tokens"][number]) => boolean,
  ) {
    const controls = file.added_tokens.filter((token) => token.content !== "" && isControl(token));
    this.#words = new Map(controls.map(({ content, id }) => [content, id]));
    for (const word of this.#words.keys()) {
      this.#longest = Math.max(this.#longest, word.length);
      for (let i = 1; i < word.length; i++) {
        if (!isName(word.slice(0, i))) this.#beginnings.add(word.slice(0, i));
        if (!isName(word.slice(i))) this.#ends.add(word.slice(i));
      }
    }
    const words = [...this.#words.keys()];
    this.#contained = new RegExp(`(?=${oneOf(words)})[^]`, "gu");
    const signs = new Set(words.join("").match(/\W/gu));
    this.#suspicious = new RegExp(oneOf([...signs, ...words.filter(isName)]), "u");
    const { normalizer } = tokenizer;
    if (normalizer === null) return;
    const normalized = words.map((word) => normalizer.normalize(word)).filter((word) => word !== "");
    this.#normalized = new RegExp(oneOf([...words, ...normalized]), "u");
  }

  /** Seals all texts of a value of plain data. @returns undefined where none needs it, as nearly always */
  seal<T>(value: T): Sealed<T> | undefined {
    const texts: string[] = [];
    collect(value, texts, deepest);
    if (!texts.some((text) => this.#isRisky(text))) return undefined;
    const free = marks.filter((mark) => !texts.some((text) => text.includes(mark)));
    const [mark, standIn] = [free[0] ?? marks[0]!, free[1] ?? marks[1]!];
    // Where texts have nearly all of the characters that marks could be, they lose two.
    const taken = free.length < 2 ? new RegExp(`[${mark}${standIn}]`, "g") : undefined;
    const sealed = map(
      value,
      (text) => this.#sealText(taken === undefined ? text : text.replace(taken, replacement), mark),
    );
    return {
      value: sealed as T,
      encode: (rendered) => this.#encode(rendered, mark, standIn),
      unseal: (rendered) => rendered.replace(marksOf(mark), ""),
    };
  }

  /** Whether the text could be, or be a part of, a control token. */
  #isRisky(text: string): boolean {
    if (this.#normalized?.test(this.tokenizer.normalizer!.normalize(text))) return true;
    if (!this.#suspicious.test(text)) return false;
    this.#contained.lastIndex = 0;
    return this.#contained.test(text) || this.#couldBegin(text.trimEnd()) || this.#couldEnd(text.trimStart()) ||
      this.#isWithin(text.trim());
  }

  #couldBegin(text: string): boolean {
    for (let length = Math.min(this.#longest, text.length); length > 0; length--) {
      if (this.#beginnings.has(text.slice(-length))) return true;
    }
    return false;
  }

  #couldEnd(text: string): boolean {
    for (let length = Math.min(this.#longest, text.length); length > 0; length--) {
      if (this.#ends.has(text.slice(0, length))) return true;
    }
    return false;
  }

  #isWithin(text: string): boolean {
    return text.length < this.#longest && !isName(text) && [...this.#words.keys()].some((word) => word.includes(text));
  }

  #sealText(text: string, mark: string): string {
    let sealed = text.replace(this.#contained, (first) => first + mark);
    const words = text.trimEnd();
    // Beside spaces a template may trim them, so marks stand next to the words.
    if (this.#couldBegin(words) || this.#isWithin(text.trim())) {
      sealed = sealed.trimEnd() + mark + text.slice(words.length);
    }
    if (this.#couldEnd(text.trimStart())) {
      const spaces = text.length - text.trimStart().length;
      sealed = sealed.slice(0, spaces) + mark + sealed.slice(spaces);
    }
    return sealed;
  }

  #encode(rendered: string, mark: string, standIn: string): number[] {
    // Other added tokens are found here too, as the tokenizer finds whichever comes first.
    const pattern = longestFirst(this.file.added_tokens.map(({ content }) => content).filter((word) => word !== ""))
      .map((word) => isOneCharacter(word) ? `${escaped(word)}(?!${mark})` : escaped(word)).join("|");
    const text = rendered
      .replace(new RegExp(pattern, "gu"), (word) => {
        const id = this.#words.get(word);
        return id === undefined ? word : standInOf(standIn, id);
      })
      .replace(marksOf(mark), "");
    if (this.#text?.mark !== standIn) this.#text = { mark: standIn, tokenizer: this.#textTokenizer(standIn) };
    return this.#text.tokenizer.encode(text, { add_special_tokens: false }).ids;
  }

  /** The same tokenizer, to which control tokens are written otherwise: their words are words to it. */
  #textTokenizer(mark: string): Tokenizer {
    const rename = (word: string) => {
      const id = this.#words.get(word);
      return id === undefined ? word : standInOf(mark, id);
    };
    const { model, added_tokens: added } = this.file;
    const vocab = Array.isArray(model.vocab)
      ? model.vocab.map(([piece, score]) => [rename(piece), score])
      : Object.fromEntries(Object.entries(model.vocab).map(([piece, id]) => [rename(piece), id]));
    const merges = model.merges?.filter((pair) => {
      const [left, right] = typeof pair === "string" ? pair.split(" ", 2) : pair;
      return !this.#words.has(`${left}${right}`);
    });
    return new Tokenizer({
      ...this.file,
      added_tokens: added.map((token) => ({ ...token, content: rename(token.content) })),
      model: {
        ...model,
        vocab,
        ...(merges === undefined ? {} : { merges }),
        ...(model.unk_token == null ? {} : { unk_token: rename(model.unk_token) }),
      },
    }, this.config);
  }
}

/** The mark, also where a template has written texts as JSON in ASCII. */
const marksOf = (mark: string) => new RegExp(`${mark}|\\\\u${mark.charCodeAt(0).toString(16)}`, "g");

const standInOf = (mark: string, id: number) => `${mark}${id}${mark}`;

/** Levels of tools and arguments that are followed. */
const deepest = 100;

/** All texts within a value, keys included. @throws InputError for one of more than `levels` */
function collect(value: unknown, texts: string[], levels: number): void {
  if (typeof value === "string") texts.push(value);
  if (typeof value !== "object" || value === null) return;
  if (levels === 0) throw new InputError(`Messages and tools may be nested ${deepest} levels deep; these go deeper.`);
  for (const [key, each] of Object.entries(value)) {
    if (!Array.isArray(value)) texts.push(key);
    collect(each, texts, levels - 1);
  }
}

/** The value with each of its texts changed, keys included. */
function map(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === "string") return change(value);
  if (Array.isArray(value)) return value.map((each) => map(each, change));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [change(key), map(each, change)]));
}
