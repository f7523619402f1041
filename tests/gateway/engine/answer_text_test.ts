// Stop texts and reported tokens: whatever tokens a stop text is spread over, what is given out is the text before it.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { AnswerText } from "../../../services/gateway/engine/answer_text.ts";
import { readTokenBytes } from "../../../services/gateway/engine/token_bytes.ts";
import { Random } from "../../../shared/random.ts";
import type { DrawnToken } from "../../../workers/protocol.ts";
import { type NamedTokenizer, randomIds, texts, tokenizers } from "./text_fixtures.ts";

const all = tokenizers();

const drawn = (token: number, i: number): DrawnToken => ({
  token,
  logProb: -(i + 1),
  top: [{ token: 5, logProb: -2 }],
});

function begin({ tokenizer, folder }: NamedTokenizer, stop: string[]): AnswerText {
  return new AnswerText({ tokenizer, tokenBytes: readTokenBytes(folder), stop, reportsTokens: true });
}

/** All that is given out, as a route would read it. */
function answer(text: AnswerText, ids: number[]) {
  const pieces = [];
  for (const [i, id] of ids.entries()) {
    const piece = text.push(drawn(id, i));
    if (piece) pieces.push(text.describe(piece));
    if (text.stopped) break;
  }
  const last = text.stopped ? undefined : text.end();
  if (last) pieces.push(text.describe(last));
  return { text: pieces.map(({ text }) => text).join(""), tokens: pieces.flatMap(({ tokens }) => tokens) };
}

/** The text before the stop text that is complete first, by reading the whole letter by letter. */
function before(whole: string, stop: string[]): string {
  for (let end = 1; end <= whole.length; end++) {
    const lengths = stop.filter((each) => whole.slice(0, end).endsWith(each)).map(({ length }) => length);
    if (lengths.length > 0) return whole.slice(0, end - Math.max(...lengths));
  }
  return whole;
}

for (const each of all) {
  const { name, tokenizer } = each;

  Deno.test(`${name}: an answer ends before its first stop text, wherever tokens part it`, () => {
    const random = new Random(13), text = begin(each, []);
    assertEquals(text.end(), undefined);
    let ended = 0;
    for (let run = 0; run < 40; run++) {
      const ids = randomIds(each, random), whole = tokenizer.decode(ids, { skipSpecialTokens: true });
      // Pieces of the answer itself, some of them lengthened so that they begin alike and then do not come.
      const stop = Array.from({ length: 1 + random.int(4) }, () => {
        const start = random.int(whole.length), piece = whole.slice(start, start + 1 + random.int(12));
        return random.next() < 0.5 ? piece : piece + "never";
      });
      const text = begin(each, stop), given = answer(text, ids);
      assertStrictEquals(given.text, before(whole, stop), `run ${run}: stop at ${JSON.stringify(stop)}`);
      assertStrictEquals(text.stopped, stop.some((piece) => whole.includes(piece)));
      assertEquals(text.completionTokens, given.tokens.length);
      if (text.stopped) ended++;
      const sum = given.tokens.reduce((total, { logProb }) => total + logProb, 0);
      assert(Math.abs(text.logProb - sum) < 1e-9);
    }
    assert(ended > 5 && ended < 40, `${ended} of 40 were ended by a stop text`);
  });

  Deno.test(`${name}: reported tokens are the answer's, in order, with bytes that join to its text`, () => {
    for (const whole of texts.filter((text) => !/[\ufffd\ufeff]/.test(text))) {
      const ids = tokenizer.encode(whole), { text, tokens } = answer(begin(each, []), ids);
      assertEquals(tokens.map(({ logProb }) => logProb), ids.map((_, i) => -(i + 1)));
      const joined = new TextDecoder().decode(Uint8Array.from(tokens.flatMap(({ bytes }) => bytes)));
      assert([text, ` ${text}`].includes(joined), JSON.stringify([text, joined]));
      assert(tokens.every(({ top }) => top.length === 1 && top[0]!.logProb === -2));
    }
  });
}

Deno.test("text that may begin a stop text is held back, and given out once it does not", () => {
  const each = all[0]!, { tokenizer } = each, ids = tokenizer.encode("one two three");
  assert(ids.length >= 3);
  const text = begin(each, ["one two four"]), pieces = ids.map((id, i) => text.push(drawn(id, i)));
  assertEquals(pieces[0], undefined);
  assertEquals(pieces.map((piece) => piece?.text ?? "").join("") + (text.end()?.text ?? ""), "one two three");
});

Deno.test("tokens are not reported where nobody asked for them, but counted", () => {
  const [{ tokenizer, folder }] = all as [NamedTokenizer, ...NamedTokenizer[]];
  const text = new AnswerText({ tokenizer, tokenBytes: readTokenBytes(folder), stop: [], reportsTokens: false });
  const ids = tokenizer.encode("What is this?"), given = answer(text, ids);
  assertEquals(given.tokens, []);
  assertEquals(text.completionTokens, ids.length);
});
