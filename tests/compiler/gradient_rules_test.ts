// Every gradient rule against finite differences, in every use that exporters are known to make of its operator, and
// a plain refusal where a rule does not cover a use. The uses are in the files beside this one.

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { gradientRules } from "../../shared/compiler/differentiate.ts";
import { InputError } from "../../shared/errors.ts";
import { elementwiseUses, refusedElementwise } from "./elementwise_uses.ts";
import { any, checkUse, compileUse, frozen, type Use } from "./gradient_check.ts";
import { layoutUses, refusedLayout } from "./layout_uses.ts";
import { productUses, refusedProducts } from "./products_uses.ts";
import { quantizedUses, refusedQuantized } from "./quantized_uses.ts";
import { reductionUses, refusedReductions } from "./reductions_uses.ts";

const uses: Record<string, Use[]> = {
  ...elementwiseUses,
  ...productUses,
  ...quantizedUses,
  ...layoutUses,
  ...reductionUses,
};
const refused: Record<string, Use[]> = {
  ...refusedElementwise,
  ...refusedProducts,
  ...refusedQuantized,
  ...refusedLayout,
  ...refusedReductions,
};

Deno.test("no gradient rule goes unchecked", () => {
  assertEquals(Object.keys(uses).sort(), Object.keys(gradientRules).sort());
  for (const [key, list] of Object.entries(uses)) {
    assertEquals(new Set(list.map(({ use }) => use)).size, list.length, `${key} has two uses of one name`);
  }
});

for (const [key, list] of Object.entries(uses)) {
  Deno.test(`the gradient of ${key} is what finite differences say, in ${list.length} uses`, async () => {
    for (const use of list) await checkUse(key, use);
  });
}

Deno.test("an optional output that is left out does not drag operators that are not trained onto the path", async () => {
  await compileUse({
    use: "LayerNormalization without its mean, beside a Clip without its minimum",
    inputs: { x: any(2, 4), scale: frozen(any(4)), other: frozen(any(2, 4)) },
    apply: (build) => {
      const [normal] = build.operators("LayerNormalization", ["x", "scale"], 1);
      build.graph.nodes.at(-1)!.outputs.push("", "");
      return build.multiply(normal!, build.operator("Clip", ["other", "", build.float(1)]));
    },
  });
});

for (const [key, list] of Object.entries(refused)) {
  Deno.test(`${key} is refused where its gradient rule does not reach: ${list.map(({ use }) => use).join("; ")}`, async () => {
    for (const use of list) {
      assertMatch(
        (await assertRejects(() => compileUse(use), InputError)).message,
        /^tiny\.onnx: [\w.]+ node "\S+" cannot be differentiated: expected .+\.$/,
        use.use,
      );
    }
  });
}
