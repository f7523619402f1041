// What is said of settings that cannot be.

import { assertEquals, assertThrows } from "@std/assert";
import { parseTrainSettings } from "../../services/trainer/settings.ts";
import { InputError } from "../../shared/errors.ts";

Deno.test("a setting that cannot be is named with its flag, its value and what it must be, in plain words", () => {
  const sentences: [Record<string, unknown>, string][] = [
    [{ epochs: 1.5 }, "--epochs cannot be 1.5: it must be a whole number."],
    [{ epochs: 0 }, "--epochs cannot be 0: it must be above 0."],
    [{ epochs: NaN }, "--epochs cannot be NaN: it must be a number."],
    [{ learningRate: -1 }, "--learning-rate cannot be -1: it must be above 0."],
    [{ seed: -1 }, "--seed cannot be -1: it must be 0 or more."],
    [{ maxLength: 1 }, "--max-length cannot be 1: it must be 2 or more."],
    [{ heldOut: 0.95 }, "--held-out cannot be 0.95: it must be 0.9 or less."],
    [{ targetModules: [] }, "--target-modules cannot be []: it must not be empty."],
    [{ schedule: "zig" }, '--schedule cannot be "zig": it must be one of linear, cosine, constant.'],
    [{ objective: "luck" }, '--objective cannot be "luck": it must be kto.'],
    [{ full: "yes" }, '--full cannot be "yes": it must be true or false.'],
  ];
  for (const [given, message] of sentences) {
    assertEquals(assertThrows(() => parseTrainSettings({ out: "x", ...given }), InputError).message, message);
  }
});
