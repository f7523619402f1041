// Products that ONNX Runtime's optimizer fused with a transposition, a factor or an activation, as ordinary operators.
// The product keeps the node's name, which says what layer it is. It does not know layers.

import { attribute, type Builder } from "../../onnx/builder.ts";
import { floatAttribute, intAttribute } from "../../onnx/graph.ts";
import { declaredShape, type Decomposition } from "./rule.ts";

/** Swaps the last two axes of a value of any number of them. */
function flipped(value: string, build: Builder): string {
  if (declaredShape(build, value)?.length === 2) return build.transpose(value, [1, 0]);
  const part = (ends: { start?: number; end?: number }) =>
    build.operator(
      "Shape",
      [value],
      Object.fromEntries(Object.entries(ends).map(([name, at]) => [name, attribute.int(at)])),
    );
  const leading = part({ end: -2 }), last = part({ start: -2 });
  const matrices = build.operator("Reshape", [value, build.concat([build.ints([-1]), last], 0)]);
  const turned = build.concat([leading, build.gather(last, build.ints([1, 0]), 0)], 0);
  return build.operator("Reshape", [build.transpose(matrices, [0, 2, 1]), turned]);
}

/** FusedMatMul(a, b) = α·a'·b', where ' is the transposition that transA and transB ask for. */
const fusedMatMul: Decomposition = (node, build, refuse) => {
  for (const name of ["transBatchA", "transBatchB"]) if (intAttribute(node, name, 0) === 1) refuse(`${name} 0`);
  const [a, b] = ["transA", "transB"].map((name, i) =>
    intAttribute(node, name, 0) === 1 ? flipped(node.inputs[i]!, build) : node.inputs[i]!
  ) as [string, string];
  const alpha = floatAttribute(node, "alpha", 1), output = node.outputs[0]!;
  if (alpha === 1) build.operator("MatMul", [a, b], {}, { name: node.name, output });
  else {
    const product = build.operator("MatMul", [a, b], {}, { name: node.name, output: build.fresh("product") });
    build.operator("Mul", [product, build.float(alpha)], {}, { output });
  }
};

/** FusedGemm is Gemm and then an activation with up to three parameters of its own. */
const fusedGemm: Decomposition = (node, build, refuse) => {
  const own = (name: string) => name.startsWith("activation");
  const activation = node.attributes.get("activation")?.value as string | undefined;
  const parameters: Record<string, string[]> = { Relu: [], Sigmoid: [], Tanh: [], LeakyRelu: ["alpha"] };
  const names = parameters[activation ?? ""];
  if (activation === undefined || !names) return refuse(`an activation of ${Object.keys(parameters).join(", ")}`);
  const attributes = Object.fromEntries([...node.attributes].filter(([name]) => !own(name)));
  const product = build.operator("Gemm", node.inputs, attributes, { name: node.name, output: build.fresh("product") });
  const given = names.flatMap((name) => {
    const parameter = node.attributes.get(`activation_${name}`);
    return parameter ? [[name, parameter] as const] : [];
  });
  build.operator(activation, [product], Object.fromEntries(given), { output: node.outputs[0]! });
};

export const products: Record<string, Decomposition> = {
  "com.microsoft.FusedMatMul": fusedMatMul,
  "com.microsoft.FusedGemm": fusedGemm,
};
