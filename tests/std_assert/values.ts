// Assertions about values. Each returns nothing and throws an AssertionError that shows both sides; `msg` is put behind
// the first sentence. What a function throws is asserted in errors.ts.

import { AssertionError } from "./assertion_error.ts";
import { difference, written } from "./difference.ts";
import { equal } from "./equal.ts";

const sentence = (text: string, msg: string | undefined) => msg ? `${text}: ${msg}` : `${text}.`;

/** Fails unless `expr` is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** Fails unless `expr` is falsy. */
export function assertFalse(expr: unknown, msg = ""): asserts expr is false | 0 | "" | null | undefined {
  if (expr) throw new AssertionError(msg);
}

/** Fails. */
export function fail(msg?: string): never {
  throw new AssertionError(sentence("Failed assertion", msg));
}

/** Fails unless both are equal in depth, as `equal` says. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) return;
  throw new AssertionError(`${sentence("Values are not equal", msg)}\n${difference(actual, expected)}`);
}

/** Fails if both are equal in depth, as `equal` says. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (!equal(actual, expected)) return;
  throw new AssertionError(sentence(`Expected actual: ${written(actual)} not to be: ${written(expected)}`, msg));
}

/** Fails unless both are the same by `Object.is`: -0 is not 0, and an object is only itself. */
export function assertStrictEquals<T>(actual: unknown, expected: T, msg?: string): asserts actual is T {
  if (Object.is(actual, expected)) return;
  if (written(actual) !== written(expected)) {
    throw new AssertionError(`${sentence("Values are not strictly equal", msg)}\n${difference(actual, expected)}`);
  }
  const text = sentence("Values have the same structure but are not reference-equal", msg);
  throw new AssertionError(`${text}\n\n${written(actual)}`);
}

/** Fails if both are the same by `Object.is`. */
export function assertNotStrictEquals<T>(actual: T, expected: T, msg?: string): void {
  if (!Object.is(actual, expected)) return;
  const text = sentence('Expected "actual" to not be strictly equal to', msg);
  throw new AssertionError(`${text}\n\n${written(actual)}`);
}

/**
 * Fails unless both numbers are at most `tolerance` apart.
 *
 * @param tolerance by default a ten-millionth of `expected`
 */
export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, msg?: string): void {
  if (Object.is(actual, expected)) return;
  const most = tolerance ??
    (Number.isFinite(expected) ? Math.abs(expected) * 1e-7 : 1e-7);
  const apart = Math.abs(expected - actual);
  if (apart <= most) return;
  const text = `Expected actual: "${actual}" to be close to "${expected}": delta "${apart}" is greater than "${most}"`;
  throw new AssertionError(sentence(text, msg));
}

/** Fails unless `actual` matches `expected`. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (expected.test(actual)) return;
  throw new AssertionError(sentence(`Expected actual: "${actual}" to match: "${expected}"`, msg));
}

/** Fails if `actual` matches `expected`. */
export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void {
  if (!expected.test(actual)) return;
  throw new AssertionError(sentence(`Expected actual: "${actual}" to not match: "${expected}"`, msg));
}

/** Fails unless `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (actual.includes(expected)) return;
  throw new AssertionError(sentence(`Expected actual: "${actual}" to contain: "${expected}"`, msg));
}

/** Any list but a string. */
export type ArrayLikeArg<T> = ArrayLike<T> & object;

/** Fails unless each element of `expected` is equal in depth to one of `actual`. */
export function assertArrayIncludes<T>(actual: ArrayLikeArg<T>, expected: ArrayLikeArg<T>, msg?: string): void {
  const there = Array.from(actual);
  const missing = Array.from(expected).filter((element) => !there.some((other) => equal(other, element)));
  if (missing.length === 0) return;
  const text = `Expected actual: "${written(actual)}" to include: "${written(expected)}"`;
  throw new AssertionError(`${sentence(text, msg)}\nmissing: ${written(missing)}`);
}

/** Fails if `actual` is null or undefined. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  if (actual !== undefined && actual !== null) return;
  throw new AssertionError(sentence(`Expected actual: "${actual}" to not be null or undefined`, msg));
}

/** Fails unless `actual` is an object of `expectedType`. */
export function assertInstanceOf<
  T extends abstract new (...args: never[]) => unknown,
>(actual: unknown, expectedType: T, msg = ""): asserts actual is InstanceType<T> {
  if (actual instanceof expectedType) return;
  const is = typeof actual === "object" && actual !== null
    ? `an instance of "${actual.constructor?.name ?? "Object"}"`
    : `of type "${actual === null ? "null" : typeof actual}"`;
  throw new AssertionError(
    sentence(`Expected object to be an instance of "${expectedType.name || "anonymous class"}" but was ${is}`, msg),
  );
}

/** Fails unless `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) {
    throw out(`Expect ${written(actual)} > ${written(expected)}`, msg);
  }
}

/** Fails unless `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual >= expected)) {
    throw out(`Expect ${written(actual)} >= ${written(expected)}`, msg);
  }
}

/** Fails unless `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) {
    throw out(`Expect ${written(actual)} < ${written(expected)}`, msg);
  }
}

/** Fails unless `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual <= expected)) {
    throw out(`Expect ${written(actual)} <= ${written(expected)}`, msg);
  }
}

const out = (text: string, msg: string | undefined) => new AssertionError(sentence(text, msg));
