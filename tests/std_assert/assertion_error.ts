// What a failed assertion throws.

/** A failed assertion: `message` says what was expected and what was there. */
export class AssertionError extends Error {
  override name = "AssertionError";
}
