// The way of an answer's pieces from the worker that makes them to whoever reads them, in its own time. It does not know
// what is in them.

import type { AnswerEnd, AnswerPiece } from "./answers.ts";

export class AnswerStream {
  #pieces: AnswerPiece[] = [];
  #outcome: { end: AnswerEnd } | { error: unknown } | undefined;
  #wake = () => {};

  /** Whether anything was given out: such an answer cannot be begun again. */
  given = false;

  push(piece: AnswerPiece): void {
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
        if (piece) yield piece;
        else if (this.#outcome === undefined) await new Promise<void>((resolve) => this.#wake = resolve);
        else if ("error" in this.#outcome) throw this.#outcome.error;
        else return this.#outcome.end;
      }
    } finally {
      onLeave();
    }
  }
}
