// Which modules PEFT's settings mean. The answers are those of peft 0.21's own function, run on these very tables.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { isTarget, type ModuleChoice, pythonPattern, targetModulesOf } from "../../shared/runtime/module_patterns.ts";

const modules = [
  "model.layers.0.self_attn.q_proj",
  "model.layers.1.self_attn.q_proj",
  "model.layers.11.self_attn.q_proj",
  "model.layers.1.self_attn.k_proj",
  "model.layers.1.mlp.up_proj",
  "lm_head",
  "model.blocks.2.moe.experts.1.up_proj",
];

const both = ["q_proj", "up_proj"];
const cases: [Partial<ModuleChoice>, string][] = [
  [{ target_modules: both }, "1110101"],
  [{ target_modules: ["layers.1.self_attn.q_proj"] }, "0100000"],
  [{ target_modules: ["_proj"] }, "0000000"],
  [{ target_modules: ".*\\.(q|up)_proj" }, "1110101"],
  [{ target_modules: "q_proj" }, "0000000"],
  [{ target_modules: "(?i).*\\.SELF_ATTN\\.(?P<which>q|k)_proj\\Z" }, "1111000"],
  [{ target_modules: both, exclude_modules: ["layers.1.self_attn.q_proj"] }, "1010101"],
  [{ target_modules: both, exclude_modules: ".*\\.mlp\\..*" }, "1110001"],
  [{ target_modules: both, layers_to_transform: 1 }, "0100100"],
  [{ target_modules: both, layers_to_transform: [1, 2] }, "0100101"],
  [{ target_modules: both, layers_to_transform: [1, 2], layers_pattern: "blocks" }, "0000001"],
  [{ target_modules: both, layers_to_transform: [1, 2], layers_pattern: ["layers", "blocks"] }, "0100101"],
  // A whole name is meant whatever the layer numbers say.
  [{ target_modules: ["q_proj", "lm_head"], layers_to_transform: [0] }, "1000010"],
  [{ target_modules: ["q_proj"], layers_to_transform: [] }, "1110000"],
];

Deno.test("lists, regular expressions, exclusions and layer numbers mean the modules that PEFT takes them to mean", () => {
  const nothing = { exclude_modules: null, layers_to_transform: null, layers_pattern: null };
  for (const [choice, expected] of cases) {
    const meant = modules.map((module) => isTarget({ ...nothing, ...choice } as ModuleChoice, module) ? "1" : "0");
    assertEquals(meant.join(""), expected, JSON.stringify(choice));
  }
  for (const word of ["all-linear", "ALL-linear"]) {
    assert(modules.every((module) => isTarget({ ...nothing, target_modules: word }, module)));
  }
});

Deno.test("a Python pattern that JavaScript cannot say is an error, not another pattern", () => {
  for (const pattern of ["a++", "(?>a)", "(?P<n>a)(?P=m)[", "("]) {
    assertThrows(() => pythonPattern(pattern, (each) => `^(?:${each})$`), SyntaxError, undefined, pattern);
  }
  assert(pythonPattern("(?P<n>a)(?P=n)", (each) => `^(?:${each})$`).test("aa"));
  assert(pythonPattern("\\\\Z", (each) => `^(?:${each})$`).test("\\Z"), "an escaped backslash before a Z");
});

Deno.test("the modules of a new adapter are named by their ends only where these mean nothing else", () => {
  const all = ["h.0.attn.c_proj", "h.0.mlp.c_proj", "h.0.attn.c_attn", "h.1.attn.c_attn"];
  assertEquals(targetModulesOf(all, all), ["c_attn", "c_proj"]);
  assertEquals(targetModulesOf(["h.1.attn.c_attn", "h.0.attn.c_attn"], all), ["c_attn"]);
  assertEquals(targetModulesOf(["h.0.attn.c_proj"], all), ["h.0.attn.c_proj"]);
  assertEquals(targetModulesOf(["h.0.attn.c_attn", "h.0.mlp.c_proj"], all), ["h.0.attn.c_attn", "h.0.mlp.c_proj"]);
});
