// The error of a database that cannot be used for now. It knows neither database.

/**
 * The database is lost, full, locked or too slow. What was asked has not happened, or nobody knows whether it has; asked
 * again later it may.
 */
export class StoreUnavailableError extends Error {
  override readonly name = "StoreUnavailableError";

  /** @param why What the database says, in a few words. */
  constructor(why: string, cause?: unknown) {
    super(`The store cannot be used for now (${why}); try again shortly.`, { cause });
  }
}
