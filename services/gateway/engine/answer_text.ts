// An answer's text as it grows: tokens go in, pieces that may be given out come out. What may be the beginning of a stop
// text is held back. It does not know where tokens come from.

import type { DrawnToken, ScoredToken } from "../../../workers/protocol.ts";
import type { ChatTokenizer } from "../../../shared/runtime/chat_tokenizer.ts";
import type { Alternative, AnswerPiece, TokenLogProb } from "./answers.ts";
import { Detokenizer } from "./detokenizer.ts";
import type { TokenBytes } from "./token_bytes.ts";

/** What an answer's text is made with. */
export interface TextSettings {
  tokenizer: ChatTokenizer;
  tokenBytes: TokenBytes;
  /** Texts that end the answer. */
  stop: readonly string[];
  /** Whether pieces report their tokens. */
  reportsTokens: boolean;
}

/**
 * A piece until someone reads it. Its tokens are each an id and a log-prob, then those of the alternatives: described in
 * full they take ten times the memory, and a client may leave thousands unread.
 */
export type WaitingPiece = Omit<AnswerPiece, "tokens"> & { tokens: Float64Array[] };

const pack = ({ token, logProb, top }: DrawnToken): Float64Array =>
  Float64Array.from([token, logProb, ...top.flatMap((each: ScoredToken) => [each.token, each.logProb])]);

/** The length of the longest end of `text` that is the beginning of a stop text. */
function heldLength(text: string, stop: readonly string[]): number {
  let held = 0;
  for (const each of stop) {
    for (let length = Math.min(each.length - 1, text.length); length > held; length--) {
      if (text.endsWith(each.slice(0, length))) held = length;
    }
  }
  return held;
}

/**
 * Where the stop text that is complete first begins; of several that end at one place, the longest. So it does not matter
 * which tokens the text came in.
 */
function stopPlace(text: string, stop: readonly string[]): number | undefined {
  const found = stop.map((each) => ({ start: text.indexOf(each), length: each.length })).filter(({ start }) =>
    start >= 0
  );
  found.sort((a, b) => a.start + a.length - b.start - b.length || a.start - b.start);
  return found[0]?.start;
}

export class AnswerText {
  #detokenizer: Detokenizer;
  #stop: string[];
  /** Final text that has not been given out. */
  #pending = "";
  /** Length of the text that has. */
  #given = 0;
  /** Tokens that have not been given out, each with the place in the text where it begins. */
  #tokens: { start: number; drawn: DrawnToken }[] = [];
  #decoder = new TextDecoder();
  /** Tokens of which some text has been given out, or that stood before such. */
  completionTokens = 0;
  /** Sum of their raw log-probs. */
  logProb = 0;
  /** Whether a stop text has ended the answer: no further token belongs to it. */
  stopped = false;

  constructor(readonly settings: TextSettings) {
    this.#detokenizer = new Detokenizer(settings.tokenizer);
    this.#stop = settings.stop.filter((each) => each !== "");
  }

  /** Takes the next token. @returns what may be given out now */
  push(drawn: DrawnToken): WaitingPiece | undefined {
    this.#tokens.push({ start: this.#given + this.#pending.length, drawn });
    this.#pending += this.#detokenizer.push(drawn.token);
    return this.#release(false);
  }

  /** What was held back, once no token follows. */
  end(): WaitingPiece | undefined {
    this.#pending += this.#detokenizer.end();
    return this.#release(true);
  }

  #release(last: boolean): WaitingPiece | undefined {
    const place = stopPlace(this.#pending, this.#stop);
    this.stopped = place !== undefined;
    const length = place ?? this.#pending.length - (last ? 0 : heldLength(this.#pending, this.#stop));
    const text = this.#pending.slice(0, length);
    this.#pending = this.#pending.slice(length);
    this.#given += length;
    const complete = last && !this.stopped
      ? this.#tokens.length
      : this.#tokens.filter(({ start }) => start < this.#given).length;
    const tokens = this.#tokens.splice(0, complete);
    this.completionTokens += tokens.length;
    const logProb = tokens.reduce((sum, { drawn }) => sum + drawn.logProb, 0);
    this.logProb += logProb;
    if (text === "" && tokens.length === 0) return undefined;
    return {
      text,
      tokens: this.settings.reportsTokens ? tokens.map(({ drawn }) => pack(drawn)) : [],
      completionTokens: tokens.length,
      logProb,
    };
  }

  /** What is given out of a piece, once it is. */
  describe({ tokens, ...piece }: WaitingPiece): AnswerPiece {
    const named = (scored: Float64Array, at: number): Alternative => {
      const bytes = this.settings.tokenBytes(scored[at]!);
      return { token: this.#decoder.decode(Uint8Array.from(bytes)), bytes, logProb: scored[at + 1]! };
    };
    const reported = tokens.map((scored): TokenLogProb => ({
      ...named(scored, 0),
      top: Array.from({ length: scored.length / 2 - 1 }, (_, i) => named(scored, 2 * i + 2)),
    }));
    return { ...piece, tokens: reported };
  }
}
