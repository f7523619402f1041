// Assertions about what a function throws, or what its promise is rejected with.

import { AssertionError } from "./assertion_error.ts";

// deno-lint-ignore no-explicit-any -- as the registry's package declares it: any arguments make the error
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

/** Fails unless `fn` throws; returns what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Fails unless `fn` throws an error of the class whose message contains `msgIncludes`; returns that error. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  classOrMsg?: ErrorClass<E> | string,
  msgIncludes?: string,
  msg?: string,
): unknown {
  const asked = expectation(classOrMsg, msgIncludes, msg);
  try {
    fn();
  } catch (error) {
    asked.check(error, "thrown");
    return error;
  }
  throw new AssertionError(`Expected function to throw${asked.suffix}`);
}

/** Fails unless the promise that `fn` returns is rejected; returns what it was rejected with. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** Fails unless it is rejected with an error of the class whose message contains `msgIncludes`; returns that error. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  classOrMsg?: ErrorClass<E> | string,
  msgIncludes?: string,
  msg?: string,
): Promise<unknown> {
  const asked = expectation(classOrMsg, msgIncludes, msg);
  let promise: unknown;
  try {
    promise = fn();
  } catch (cause) {
    throw new AssertionError(`Function throws when expected to reject${asked.suffix}`, { cause });
  }
  if (typeof (promise as PromiseLike<unknown> | null | undefined)?.then !== "function") {
    throw new AssertionError(`Function returned no promise when expected to reject${asked.suffix}`);
  }
  try {
    await promise;
  } catch (error) {
    asked.check(error, "rejected");
    return error;
  }
  throw new AssertionError(`Expected function to reject${asked.suffix}`);
}

function expectation(classOrMsg: ErrorClass<Error> | string | undefined, msgIncludes?: string, msg?: string) {
  const ErrorClass: (abstract new (...args: never[]) => unknown) | undefined = typeof classOrMsg === "string"
    ? undefined
    : classOrMsg;
  const said = typeof classOrMsg === "string" ? classOrMsg : msg;
  const suffix = said ? `: ${said}` : ".";

  function check(error: unknown, how: "thrown" | "rejected"): void {
    if (ErrorClass === undefined) return;
    if (!(error instanceof Error)) {
      throw new AssertionError(`A non-Error object was ${how}${suffix}`);
    }
    if (!(error instanceof ErrorClass)) {
      const expected = `Expected error to be instance of "${ErrorClass.name}", but was "${error.constructor.name}"`;
      throw new AssertionError(`${expected}${suffix}\n\n${error.stack ?? error}`, { cause: error });
    }
    if (msgIncludes !== undefined && !error.message.includes(msgIncludes)) {
      const expected = `Expected error message to include "${msgIncludes}", but got "${error.message}"`;
      throw new AssertionError(`${expected}${suffix}`, { cause: error });
    }
  }
  return { check, suffix };
}
