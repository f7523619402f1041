// Arrays cut into elements: what JSON.parse takes whole comes out the same piece by piece, and nothing else does.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import fc from "fast-check";
import { ArrayError, elementsOf } from "../../shared/feedback/json_array.ts";

const encoder = new TextEncoder(), decoder = new TextDecoder();

async function* blocksOf(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

const cut = (text: string, size: number, longest = 1e6) => Array.fromAsync(elementsOf(blocksOf(text, size), longest));

/** The array that a text is when it is read element by element. @throws whatever is wrong with it */
const read = async (text: string, size: number) =>
  (await cut(text, size)).map(({ bytes }) => JSON.parse(decoder.decode(bytes)));

const whitespace = fc.constantFrom("", " ", "\n", "\r\n\t");

Deno.test("an array comes out element by element as JSON.parse has it whole, wherever its blocks are cut", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.jsonValue()), whitespace, fc.nat(3), fc.integer({ min: 1, max: 9 }), async (
      values,
      space,
      indent,
      size,
    ) => {
      const text = space + JSON.stringify(values, null, indent) + space;
      assertEquals(await read(text, size), JSON.parse(text));
    }),
  );
});

Deno.test("what JSON.parse refuses is refused, and what it takes is taken, whatever became of an array's text", async () => {
  let refused = 0, taken = 0;
  const change = fc.record({
    at: fc.nat(),
    drop: fc.nat(3),
    add: fc.constantFrom("", "[", "]", "{", "}", ",", '"', "\\", "1", " "),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.jsonValue({ maxDepth: 2 }), { maxLength: 4 }),
      change,
      async (values, { at, drop, add }) => {
        const whole = JSON.stringify(values), place = 1 + at % whole.length;
        const text = whole.slice(0, place) + add + whole.slice(place + drop);
        let expected: unknown;
        try {
          expected = JSON.parse(text);
        } catch {
          refused++;
          await assertRejects(() => read(text, 3), Error, undefined, text);
          return;
        }
        taken++;
        assertEquals(await read(text, 3), expected, text);
      },
    ),
    { numRuns: 3000 },
  );
  assert(refused > 300 && taken > 300, `${refused} refused, ${taken} taken`);
});

Deno.test("elements say on which line they begin, and what is wrong with an array says where", async () => {
  const lines = (await cut('\ufeff\n[\n1,{"a":"\\"]",\n"b":[2,\n3]}\n,\n\n"four"]\n', 4)).map((
    { line, position },
  ) => [line, position]);
  assertEquals(lines, [[3, 1], [3, 2], [8, 3]]);
  const refusals: [text: string, line: number, position: number, message: RegExp][] = [
    ["[1,\n2", 2, 2, /does not end/],
    ["[1]\n\n2", 3, 2, /after the array's end/],
    ["[1]]", 1, 2, /after the array's end/],
    [`[1,\n"${"x".repeat(50)}"]`, 2, 2, /longer than 40 bytes/],
  ];
  for (const [text, line, position, message] of refusals) {
    const error = await assertRejects(() => cut(text, 4, 40), ArrayError);
    assertEquals([error.line, error.position], [line, position], text);
    assertMatch(error.message, message);
  }
});
