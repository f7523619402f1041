// The assertions of jsr:@std/assert@1 that the tests here use, by the same names and with the same meaning, written for
// this project: deno.json's "links" puts this package in the registry's place, so that a machine that cannot reach JSR
// can run the tests. Without that line the registry's own package serves the same imports. Nothing here knows Prospect.

export { AssertionError } from "./assertion_error.ts";
export { equal } from "./equal.ts";
export {
  assert,
  assertAlmostEquals,
  assertArrayIncludes,
  assertEquals,
  assertExists,
  assertFalse,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertNotMatch,
  assertNotStrictEquals,
  assertStrictEquals,
  assertStringIncludes,
  fail,
} from "./values.ts";
export { assertRejects, assertThrows } from "./errors.ts";
