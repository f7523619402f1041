// The two ways a command may end early without being broken: its input is unusable, or someone stopped it.
// Knows nothing of commands or exit handling; it only names the exit status each error asks for.

/**
 * Input that cannot be used. The message is one clear sentence: what is wrong, where (file:line, field) and how to mend
 * it. Commands print the message alone (no stack) and exit with {@link InputError.exitCode}.
 */
export class InputError extends Error {
  /** The exit status a command ends with. */
  static readonly exitCode = 2;
  override readonly name = "InputError";
}

/** The user (or a signal) stopped the work. Commands exit with {@link InterruptedError.exitCode}, 128 + SIGINT. */
export class InterruptedError extends Error {
  /** The exit status a command ends with. */
  static readonly exitCode = 130;
  override readonly name = "InterruptedError";
}

/** A model that the compiler cannot take: usable input for stock inference, but not for training. */
export class RefusedModelError extends InputError {}

/** A file cannot be written: the disk is full, the folder read-only. Commands end as for other unusable input. */
export class WriteError extends InputError {}
