// Rotary scalings are the published formulas, and what one table cannot follow shortens the model.

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { readDecoder } from "../../shared/architectures/families.ts";
import { rotary } from "../../shared/architectures/rotary.ts";

const base = { theta: 10000, size: 8, positions: 4096, originalPositions: undefined };
const read = (scaling: object, change: object = {}) => rotary({ ...base, ...change }, scaling, "it");

function near(actual: number[], expected: number[]): void {
  assertEquals(actual.length, expected.length);
  actual.forEach((each, i) => assert(Math.abs(each / expected[i]! - 1) < 1e-6, `${i}: ${each}, not ${expected[i]}`));
}

Deno.test("YaRN keeps the fast pairs, stretches the slow ones and blends between", () => {
  // size·ln(original/(2π·turns))/(2·ln theta) is 1.5 for 32 turns and 3.02 for one: a ramp from pair 1 to pair 4.
  const { rotary: { frequencies, magnitude } } = read({
    rope_type: "yarn",
    factor: 4,
    original_max_position_embeddings: 6600,
  });
  const blend = (kept: number) => kept + (1 - kept) / 4;
  near(frequencies, [1, 0.1, 0.01 * blend(2 / 3), 0.001 * blend(1 / 3)]);
  near([magnitude], [0.1 * Math.log(4) + 1]);
  near([read({ rope_type: "yarn", factor: 4, mscale: 1, mscale_all_dim: 1 }).rotary.magnitude], [1]);
});

Deno.test("linear divides, and dynamic changes nothing up to max_position_embeddings", () => {
  near(read({ type: "linear", factor: 4 }).rotary.frequencies, [0.25, 0.025, 0.0025, 0.00025]);
  const dynamic = read({ type: "dynamic", factor: 4 });
  near(dynamic.rotary.frequencies, [1, 0.1, 0.01, 0.001]);
  assertEquals(dynamic.positions, 4096);
});

Deno.test("LongRoPE is written with its short factors and ends where they do, and the user is told", () => {
  const scaling = { type: "longrope", short_factor: [1, 2, 4, 8], long_factor: [9, 9, 9, 9] };
  const { rotary: { frequencies, magnitude }, positions } = read(scaling, { originalPositions: 1024 });
  near(frequencies, [1, 0.05, 0.0025, 0.000125]);
  near([magnitude], [Math.sqrt(1 + Math.log(4) / Math.log(1024))]);
  assertEquals(positions, 1024);
  assertThrows(() => read({ ...scaling, short_factor: [1] }), Error, "short_factor has 1 numbers, not 4");
  const { decoder, remark } = readDecoder({
    model_type: "phi3",
    vocab_size: 64,
    hidden_size: 32,
    intermediate_size: 24,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    max_position_embeddings: 131072,
    original_max_position_embeddings: 4096,
    rope_scaling: scaling,
  }, "it");
  assertEquals(decoder.positions, 4096);
  assertMatch(remark!, /up to 4096 tokens/);
});
