// The way of an answer's pieces from the worker that makes them to whoever reads them, in its own time. It does not know
// what is in them.

import type { AnswerEnd, AnswerPiece } from "./answers.ts";
import type { WaitingPiece } from "./answer_text.ts";

/** Most pieces that wait to be read: far more than a client lags behind that reads at all. */
const mostUnread = 4096;

export class AnswerStream {
  #pieces: WaitingPiece[] = [];
  #outcome: { end: AnswerEnd } | { error: unknown } | undefined;
  #wake = () => {};

  /** Whether anything was given out: such an answer cannot be begun again. */
  given = false;

  /** @param describe makes of what waited what is given out */
  constructor(readonly describe: (piece: WaitingPiece) => AnswerPiece) {}

  /** Whether as much waits as may. */
  get full(): boolean {
    return this.#pieces.length >= mostUnread;
  }

  push(piece: WaitingPiece): void {
    this.given = true;
    this.#pieces.push(piece);
    this.#wake();
  }

  end(end: AnswerEnd): void {
    this.#outcome ??= { end };
    this.#wake();
  }

  /** Ends the answer with an error, after the pieces that are there. */
  fail(error: unknown): void {
    this.#outcome ??= { error };
    this.#wake();
  }

  /** Ends the answer with an error, at once. */
  abort(error: unknown): void {
    this.#pieces = [];
    this.fail(error);
  }

  /** The pieces, then the end. `onLeave` is called once when it was read to its end, or given up. */
  async *read(onLeave: () => void): AsyncGenerator<AnswerPiece, AnswerEnd> {
    try {
      while (true) {
        const piece = this.#pieces.shift();
        if (piece) yield this.describe(piece);
        else if (this.#outcome === undefined) await new Promise<void>((resolve) => this.#wake = resolve);
        else if ("error" in this.#outcome) throw this.#outcome.error;
        else return this.#outcome.end;
      }
    } finally {
      onLeave();
    }
  }
}
