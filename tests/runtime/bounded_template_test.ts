// Templates end, and build no more than memory holds; what honest ones do is what the library does.

import { assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { Template } from "@huggingface/jinja";
import { BoundedTemplate } from "../../shared/runtime/bounded_template.ts";

/** Each would run for hours, or take gigabytes. */
const endless: Record<string, [source: string, why: RegExp]> = {
  "counts to a trillion": ["{% for i in range(1000000 * 1000000) %}{% endfor %}", /counts to 1000000000000/],
  "counts within counting": [
    `{% for i in range(1000000) %}{% for j in range(10) %}${"{{ 1 }}".repeat(500)}{% endfor %}{% endfor %}`,
    /does not end/,
  ],
  "doubles a text": [
    "{% set ns = namespace(a='x') %}{% for i in range(60) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}{{ ns.a | length }}",
    /builds more text/,
  ],
  "keeps many long texts": [
    "{% set ns = namespace(a='x', all=[]) %}{% for i in range(24) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}" +
    "{% for i in range(1000) %}{% set ns.all = ns.all + [ns.a | upper] %}{% endfor %}",
    /builds more text/,
  ],
  "doubles a list": [
    "{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
    /builds more text/,
  ],
};

for (const [what, [source, why]] of Object.entries(endless)) {
  Deno.test(`a template that ${what} is refused`, () => {
    assertMatch(assertThrows(() => new BoundedTemplate(source).render({}), Error).message, why);
  });
}

Deno.test("other templates give what the library gives", () => {
  const source = "{{ strftime_now('%d') | length }}{{ range(3) | join(',') }}{{ range(5, 1, -2) | list | join(',') }}" +
    "{% if True and true and not none %}{{ name | upper }}{% endif %}{% for i in range(2, 2) %}x{% endfor %}";
  assertStrictEquals(new BoundedTemplate(source).render({ name: "ann" }), new Template(source).render({ name: "ann" }));
  assertMatch(String(assertThrows(() => new BoundedTemplate("{{ raise_exception('no') }}").render({}))), /^Error: no$/);
});

Deno.test("a conversation's arguments do not replace a template's own functions", () => {
  assertEquals(new BoundedTemplate("{{ range(2) | length }}").render({ range: "mine" }), "2");
});
