// The package that stands in for jsr:@std/assert does what the registry's package documents. A check of its own
// judges here, so that an assertion that never fails is noticed. Run on the registry's, only the rows of `stricter` and
// the two tests of how a difference is shown fail.

import { readdirSync, readFileSync } from "node:fs";
import * as std from "@std/assert";
import { AssertionError, equal } from "@std/assert";

/** Fails with this text, unless so: what is under test here decides nothing by itself. */
function check(so: boolean, what: string): void {
  if (!so) throw new Error(what);
}

function failure(run: () => unknown): AssertionError {
  try {
    run();
  } catch (error) {
    if (error instanceof AssertionError) return error;
    throw error;
  }
  throw new Error(`passes: ${run}`);
}

async function failed(run: () => Promise<unknown>): Promise<AssertionError> {
  const error = await run().then(() => new Error(`passes: ${run}`), (error: unknown) => error);
  if (error instanceof AssertionError) return error;
  throw error;
}

class Point {
  constructor(public x: number) {}
}
class Other {
  constructor(public x: number) {}
}
class Hidden {
  #x: number;
  constructor(x: number) {
    this.#x = x;
  }
  get double(): number {
    return 2 * this.#x;
  }
}

const cycle = (end: unknown) => {
  const ring: Record<string, unknown> = { end };
  ring["next"] = { next: ring };
  return ring;
};
const sparse = (length: number, at: number, value: unknown) => {
  const array = new Array(length);
  array[at] = value;
  return array;
};
const named = (name: string) => Symbol.for(name);
const once = () => {};

const same: Record<string, [unknown, unknown]> = {
  "NaN": [NaN, NaN],
  "0 and -0": [[0], [-0]],
  "0 and -0 of floats": [new Float32Array([0, NaN]), new Float32Array([-0, NaN])],
  "keys in another order": [{ a: 1, b: 2 }, { b: 2, a: 1 }],
  "objects in depth": [{ a: [{ b: new Map([["c", new Set([1])]]) }] }, { a: [{ b: new Map([["c", new Set([1])]]) }] }],
  "Map entries in another order": [new Map([["a", 1], ["b", 2]]), new Map([["b", 2], ["a", 1]])],
  "Map keys by what they hold": [new Map([[{ x: 1 }, 1], [{ x: 2 }, 2]]), new Map([[{ x: 2 }, 2], [{ x: 1 }, 1]])],
  "Set members in another order": [new Set([1, "a", { x: 1 }, [2]]), new Set([[2], { x: 1 }, "a", 1])],
  "Sets within Sets": [new Set([1, new Set([2, 3])]), new Set([new Set([3, 2]), 1])],
  "typed arrays": [new Uint8Array([1, 2]), new Uint8Array([1, 2])],
  "parts of larger buffers": [new Uint8Array([0, 1, 2]).subarray(1), new Uint8Array([1, 2])],
  "big integers": [new BigInt64Array([1n]), new BigInt64Array([1n])],
  "buffers": [new Uint8Array([1, 2]).buffer, new Uint8Array([1, 2]).buffer],
  "dates": [new Date(5), new Date(5)],
  "invalid dates": [new Date(NaN), new Date(NaN)],
  "patterns": [/a/g, /a/g],
  "addresses": [new URL("http://a/b?c"), new URL("http://a/b?c")],
  "queries": [new URLSearchParams("a=1"), new URLSearchParams("a=1")],
  "objects of a class": [new Point(1), new Point(1)],
  "objects whose getters agree": [new Hidden(1), new Hidden(1)],
  "a null prototype and a plain object": [Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
  "keys that are symbols": [{ [named("a")]: 1 }, { [named("a")]: 1 }],
  "holes in the same places": [sparse(3, 1, 1), sparse(3, 1, 1)],
  "rings": [cycle(1), cycle(1)],
  "the same function": [{ once }, { once }],
};

const different: Record<string, [unknown, unknown]> = {
  "text and number": ["1", 1],
  "null and undefined": [null, undefined],
  "undefined and a missing key": [{ a: 1, b: undefined }, { a: 1 }],
  "undefined under two names": [{ a: undefined }, { b: undefined }],
  "undefined and a hole": [[undefined], sparse(1, 5, 1).slice(0, 1)],
  "holes in other places": [sparse(3, 1, 1), sparse(3, 2, 1)],
  "an array and its like": [[1], { 0: 1 }],
  "order in arrays": [[1, 2], [2, 1]],
  "an array's beginning": [[1, 2, 3], [1, 2]],
  "an own property of an array": [Object.assign([1], { extra: 1 }), [1]],
  "text in a list": [["ab"], ["a", "b"]],
  "an object of a class and a plain one": [new Point(1), { x: 1 }],
  "objects of two classes": [new Point(1), new Other(1)],
  "objects of a class with other properties": [new Point(1), new Point(2)],
  "objects whose getters differ": [new Hidden(1), new Hidden(2)],
  "a Map and a Set": [new Map(), new Set()],
  "Map values": [new Map([["a", 1]]), new Map([["a", 2]])],
  "Map keys": [new Map([["a", undefined]]), new Map([["b", undefined]])],
  "Map keys by what they hold": [new Map([[{ x: 1 }, 1]]), new Map([[{ x: 2 }, 1]])],
  "Set sizes": [new Set([1, 2]), new Set([1])],
  "Set members": [new Set([1, 2]), new Set([1, 3])],
  "properties of Sets": [Object.assign(new Set([1]), { a: 1 }), new Set([1])],
  "typed arrays": [new Uint8Array([1, 2]), new Uint8Array([1, 3])],
  "typed arrays of two kinds": [new Uint8Array([1]), new Uint16Array([1])],
  "typed arrays of two lengths": [new Uint8Array([0]), new Uint8Array([0, 0])],
  "buffers": [new Uint8Array([1]).buffer, new Uint8Array([2]).buffer],
  "dates": [new Date(5), new Date(6)],
  "flags of patterns": [/a/g, /a/i],
  "addresses": [new URL("http://a/b"), new URL("http://a/c")],
  "symbols of one name": [{ [Symbol("a")]: 1 }, { [Symbol("a")]: 1 }],
  "functions of one text": [() => {}, () => {}],
  "errors of two messages": [new Error("a"), new Error("b")],
  "rings of two ends": [cycle(1), cycle(2)],
  "rings of two lengths": [cycle(cycle(1)), cycle(cycle(2))],
};

/** What differs here, and is taken for equal by version 1.0.19 of the registry. */
const stricter: Record<string, [unknown, unknown]> = {
  "lengths of holes": [new Array(2), new Array(3)],
  "two members equal to one": [new Set([{ x: 1 }, { x: 1 }]), new Set([{ x: 1 }, { x: 2 }])],
  "promises": [Promise.resolve(1), Promise.resolve(1)],
};

for (const [what, [a, b]] of Object.entries(same)) {
  Deno.test(`equal: ${what}`, () => {
    check(equal(a, b) && equal(b, a), "they are taken for different");
    std.assertEquals(a, b);
    failure(() => std.assertNotEquals(a, b));
  });
}

for (const [what, [a, b]] of Object.entries({ ...different, ...stricter })) {
  Deno.test(`not equal: ${what}`, () => {
    check(!equal(a, b) && !equal(b, a), "they are taken for equal");
    std.assertNotEquals(a, b);
    failure(() => std.assertEquals(a, b));
  });
}

Deno.test("weak references are compared by their objects", () => {
  const [one, two, three] = [{ a: 1 }, { a: 1 }, { a: 2 }];
  check(equal(new WeakRef(one), new WeakRef(two)), "equal objects");
  check(!equal(new WeakRef(one), new WeakRef(three)), "different objects");
  check(!equal(new WeakRef(one), one), "an object and a reference to it");
});

Deno.test("what nobody can look into is not compared", () => {
  for (const [a, b] of [[new WeakMap(), new WeakMap()], [new WeakSet(), new WeakSet()]]) {
    std.assertThrows(() => equal(a, b), TypeError);
    check(equal(a, a), "it is not itself");
  }
  check(!equal(new WeakMap(), new WeakSet()), "two kinds are taken for one");
});

Deno.test("a failed comparison shows the lines that differ, with what is around them and no more", () => {
  const rows = Array.from({ length: 200 }, (_, i) => `row ${i}`);
  const { message } = failure(() => std.assertEquals(rows, rows.with(100, "another"), "the rows"));
  const lines = message.split("\n");
  check(lines[0] === "Values are not equal: the rows", lines[0]!);
  check(lines.includes('-     "row 100",') && lines.includes('+     "another",'), message);
  check(lines.includes('      "row 99",') && !message.includes("row 90"), message);
  check(lines.length < 20, `${lines.length} lines`);
});

Deno.test("a failed comparison of texts shows their lines as they are", () => {
  const { message } = failure(() => std.assertEquals("one\ntwo\nthree", "one\n2\nthree"));
  check(message.includes("\n    one\n-   two\n+   2\n    three"), message);
});

Deno.test("a difference of many lines is shown too", () => {
  const many = (from: number) => Array.from({ length: 3000 }, (_, i) => from + i);
  const { message } = failure(() => std.assertEquals(many(0), many(10_000)));
  check(message.includes("-     0,") && message.includes("+     12999,"), "lines are missing");
});

Deno.test("strict equality is Object.is, and says so where only the objects are two", () => {
  std.assertStrictEquals(NaN, NaN);
  std.assertNotStrictEquals({}, {});
  check(failure(() => std.assertStrictEquals(0, -0)).message.startsWith("Values are not strictly equal."), "0 is -0");
  check(/same structure but/.test(failure(() => std.assertStrictEquals({ a: 1 }, { a: 1 })).message), "no word of it");
  failure(() => std.assertNotStrictEquals("a", "a"));
});

Deno.test("numbers are almost equal within the tolerance, by default a ten-millionth of the expected one", () => {
  std.assertAlmostEquals(1, 1 + 9e-8);
  std.assertAlmostEquals(-1e20, -1e20 - 1e12);
  std.assertAlmostEquals(0.01, 0.02, 0.1);
  std.assertAlmostEquals(Infinity, Infinity);
  std.assertAlmostEquals(NaN, NaN);
  failure(() => std.assertAlmostEquals(1, 1 + 2e-7));
  failure(() => std.assertAlmostEquals(1e-8, 1e-9));
  failure(() => std.assertAlmostEquals(NaN, 1, 10));
  failure(() => std.assertAlmostEquals(1, NaN, 10));
  failure(() => std.assertAlmostEquals(Infinity, -Infinity));
  failure(() => std.assertAlmostEquals(5, Infinity));
});

Deno.test("each assertion about one value fails where it has to, with its message", () => {
  std.assert("so");
  std.assertFalse(0);
  std.assertMatch("abc", /b/);
  std.assertNotMatch("abc", /d/);
  std.assertStringIncludes("abc", "bc");
  std.assertArrayIncludes([{ a: 1 }, 2], [{ a: 1 }]);
  std.assertExists(0);
  std.assertInstanceOf(new Point(1), Point);
  std.assertGreater(2, 1);
  std.assertGreaterOrEqual(2, 2);
  std.assertLess(1, 2);
  std.assertLessOrEqual(2, 2);
  const failing: Record<string, (msg: string) => void> = {
    assert: (msg) => std.assert(0, msg),
    assertFalse: (msg) => std.assertFalse("so", msg),
    assertMatch: (msg) => std.assertMatch("abc", /d/, msg),
    assertNotMatch: (msg) => std.assertNotMatch("abc", /b/, msg),
    assertStringIncludes: (msg) => std.assertStringIncludes("abc", "d", msg),
    assertArrayIncludes: (msg) => std.assertArrayIncludes([1, 2], [2, 3], msg),
    assertExists: (msg) => std.assertExists(undefined, msg),
    "assertExists of null": (msg) => std.assertExists(null, msg),
    assertInstanceOf: (msg) => std.assertInstanceOf({ x: 1 }, Point, msg),
    assertGreater: (msg) => std.assertGreater(2, 2, msg),
    assertGreaterOrEqual: (msg) => std.assertGreaterOrEqual(1, 2, msg),
    "assertGreaterOrEqual of NaN": (msg) => std.assertGreaterOrEqual(NaN, 2, msg),
    assertLess: (msg) => std.assertLess(2, 2, msg),
    assertLessOrEqual: (msg) => std.assertLessOrEqual(3, 2, msg),
    "assertLessOrEqual of NaN": (msg) => std.assertLessOrEqual(NaN, 2, msg),
    assertEquals: (msg) => std.assertEquals(1, 2, msg),
    assertNotEquals: (msg) => std.assertNotEquals(1, 1, msg),
    assertStrictEquals: (msg) => std.assertStrictEquals(1, 2, msg),
    assertNotStrictEquals: (msg) => std.assertNotStrictEquals(1, 1, msg),
    assertAlmostEquals: (msg) => std.assertAlmostEquals(1, 2, 0.5, msg),
    fail: (msg) => std.fail(msg),
  };
  for (const [name, run] of Object.entries(failing)) {
    check(failure(() => run("for this reason")).message.includes("for this reason"), name);
  }
});

Deno.test("what a function throws is returned, and has to be of the class and say the text", () => {
  const thrown = new RangeError("too far");
  const run = () => {
    throw thrown;
  };
  for (const error of [std.assertThrows(run), std.assertThrows(run, RangeError), std.assertThrows(run, Error, "far")]) {
    check(error === thrown, "another error");
  }
  check(/TypeError.*RangeError/.test(failure(() => std.assertThrows(run, TypeError)).message), "the classes");
  check(failure(() => std.assertThrows(run, RangeError, "near")).message.includes('"too far"'), "the message");
  check(failure(() => std.assertThrows(once, "no reason")).message.endsWith("to throw: no reason"), "msg alone");
  check(failure(() => std.assertThrows(once, Error, "x", "no reason")).message.endsWith("no reason"), "msg");
  const text = () => {
    throw "text";
  };
  check(std.assertThrows(text) === "text", "the text");
  failure(() => std.assertThrows(text, Error));
});

Deno.test("what a promise is rejected with is returned, and has to be of the class and say the text", async () => {
  const reason = new RangeError("too far");
  const run = () => Promise.reject(reason);
  const all = [std.assertRejects(run), std.assertRejects(run, RangeError), std.assertRejects(run, Error, "far")];
  for (const error of await Promise.all(all)) check(error === reason, "another error");
  await failed(() => std.assertRejects(run, TypeError));
  await failed(() => std.assertRejects(run, RangeError, "near"));
  const resolved = await failed(() => std.assertRejects(() => Promise.resolve(), "no reason"));
  check(resolved.message === "Expected function to reject: no reason", resolved.message);
  await failed(() => std.assertRejects(() => Promise.reject("text"), Error));
  await failed(() =>
    std.assertRejects(() => {
      throw reason;
    }, RangeError)
  );
  await failed(() => std.assertRejects((() => {}) as () => Promise<void>));
});

Deno.test("no test asserts with Node's library", () => {
  const tests = readdirSync(import.meta.dirname!, { recursive: true }).map((path) => `${import.meta.dirname}/${path}`);
  const others = tests.filter((path) => path.endsWith(".ts") && /from "node:asser[t]/.test(readFileSync(path, "utf8")));
  std.assertEquals(others, []);
});
