// What is fused again for the sake of the last bit is what the fused kernel computes.

import { assertEquals } from "@std/assert";
import { decomposePrefix } from "../../shared/compiler/decompose/decompose.ts";
import { sumAsKernels } from "../../shared/compiler/kernel_sums.ts";
import { attribute } from "../../shared/onnx/builder.ts";
import { type Graph, microsoft, type Node } from "../../shared/onnx/graph.ts";

function node(operator: string, inputs: string[], output: string, more: Partial<Node> = {}): Node {
  return {
    operator,
    domain: "",
    name: output,
    inputs,
    outputs: [output],
    attributes: new Map(),
    metadata: new Map(),
    ...more,
  };
}

/** A sum, its norm over `axis`, and a product whose kernel rounds activations. */
function normOver(axis: number): Graph {
  return {
    irVersion: 10,
    opsets: new Map([["", 21], [microsoft, 1]]),
    inputs: ["x", "y"].map((name) => ({ name, dataType: "float32", shape: ["batch", 32, 32] })),
    outputs: [{ name: "product" }],
    nodes: [
      node("Add", ["x", "y"], "sum", { name: `${decomposePrefix}/Add` }),
      node("SimplifiedLayerNormalization", ["sum", "scale"], "norm", {
        attributes: new Map([["axis", attribute.int(axis)], ["epsilon", attribute.float(1e-6)]]),
      }),
      node("MatMulNBits", ["norm", "weight", "scales"], "product", {
        domain: microsoft,
        attributes: new Map([["accuracy_level", attribute.int(4)]]),
      }),
    ],
    initializers: new Map(),
  };
}

Deno.test("a norm over another axis than the last is not fused with its sum, whose kernel knows no other", () => {
  const last = normOver(-1), other = normOver(1);
  sumAsKernels(last);
  sumAsKernels(other);
  assertEquals(last.nodes.map(({ operator }) => operator), ["SkipSimplifiedLayerNormalization", "MatMulNBits"]);
  assertEquals(other, normOver(1));
});
