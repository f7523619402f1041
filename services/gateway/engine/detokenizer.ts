// From ids to text, one token at a time: gives out only text that later tokens cannot change, and all of it together is
// exactly the text of the whole answer. It knows the tokenizer's decoding by what it gives, not how it works.

import type { ChatTokenizer } from "../../../shared/runtime/chat_tokenizer.ts";

/** Stands for bytes that are no character, or not yet. */
const replacement = "\ufffd";

/** Tokens that are decoded together at most, and those of them that are kept when the window moves on. */
const window = 32, kept = 8;

export class Detokenizer {
  /** The answer's last tokens; what came before them has been given out and is not decoded again. */
  #ids: number[] = [];
  /** How much of the window's text has been given out, in UTF-16 units. */
  #given = 0;

  constructor(readonly tokenizer: Pick<ChatTokenizer, "decode" | "cleansUpSpaces">) {}

  #decode(ids: readonly number[]): string {
    return this.tokenizer.decode(ids, { skipSpecialTokens: true });
  }

  /** Takes the next token. @returns the text that is final with it, often none or more than the token's own */
  push(id: number): string {
    this.#ids.push(id);
    const text = this.#decode(this.#ids), final = text.slice(this.#given, this.#finalLength(text));
    this.#given += final.length;
    if (this.#ids.length >= window) this.#moveOn(text);
    return final;
  }

  /** The text that was held back, once no token follows. */
  end(): string {
    const text = this.#decode(this.#ids).slice(this.#given);
    this.#given += text.length;
    return text;
  }

  /**
   * Bytes of an unfinished character decode to one replacement character at the end. Where spaces are cleaned up, what
   * follows a space may yet take it away.
   */
  #finalLength(text: string): number {
    if (this.tokenizer.cleansUpSpaces && text.includes(" ")) return text.lastIndexOf(" ");
    return text.endsWith(replacement) ? text.length - 1 : text.length;
  }

  /**
   * Forgets the window's first tokens, where the rest alone decodes to the same text. A window never begins within a
   * character. A decoder may treat what comes first in its own way, but it goes on doing so for the same first token.
   */
  #moveOn(text: string): void {
    for (let start = this.#ids.length - kept; start > kept; start--) {
      const first = this.#decode([this.#ids[start]!]);
      if (first === "" || first.includes(replacement)) continue;
      const rest = this.#ids.slice(start), tail = this.#decode(rest), left = text.length - tail.length;
      if (left > this.#given || !text.endsWith(tail)) continue;
      this.#ids = rest;
      this.#given -= left;
      return;
    }
  }
}
