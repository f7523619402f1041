// Uses of the matrix products, for the check against finite differences. It does not know how gradients are checked.

import { attribute, type Builder } from "../../shared/onnx/builder.ts";
import type { Shape } from "../../shared/onnx/graph.ts";
import { any, frozen, type Use } from "./gradient_check.ts";

const apply = (build: Builder) => build.matMul("a", "b");
const matMul = (use: string, a: Shape, b: Shape): Use => ({ use, inputs: { a: any(...a), b: any(...b) }, apply });

/** Every combination of the two transposes, with other attributes and a bias of a shape. */
function gemm(use: string, bias: Shape | undefined, alpha: number, beta: number): Use[] {
  return [[0, 0], [0, 1], [1, 0], [1, 1]].map(([transA, transB]) => ({
    use: `${use}, transA ${transA}, transB ${transB}`,
    inputs: {
      a: transA ? any(3, 2) : any(2, 3),
      b: transB ? any(4, 3) : any(3, 4),
      ...(bias ? { c: any(...bias) } : {}),
    },
    apply: (build) =>
      build.operator("Gemm", ["a", "b", ...(bias ? ["c"] : [])], {
        transA: attribute.int(transA!),
        transB: attribute.int(transB!),
        alpha: attribute.float(alpha),
        beta: attribute.float(beta),
      }),
  }));
}

export const productUses: Record<string, Use[]> = {
  MatMul: [
    matMul("two matrices", [2, 3], [3, 4]),
    matMul("a batch through one matrix", [2, 2, 3], [3, 2]),
    matMul("four axes through one matrix", [2, 1, 2, 3], [3, 2]),
    matMul("batches of matrices", [2, 2, 3], [2, 3, 2]),
    matMul("heads of a batch", [2, 2, 2, 3], [2, 2, 3, 2]),
    matMul("left batch broadcast", [1, 2, 3], [2, 3, 2]),
    matMul("right batch broadcast", [2, 2, 2, 3], [2, 1, 3, 2]),
    matMul("both batches broadcast", [2, 1, 2, 3], [1, 2, 3, 2]),
    matMul("a matrix against a batch", [2, 3], [2, 3, 2]),
    matMul("three axes against four", [2, 2, 3], [2, 1, 3, 2]),
    matMul("four axes against three", [2, 1, 2, 3], [2, 3, 2]),
    matMul("open rows through a weight", ["batch", "sequence", 4], [4, 2]),
    matMul("open rows of heads through a weight", ["batch", 2, "sequence", 4], [4, 2]),
    matMul("attention: queries by keys", ["batch", 2, "sequence", 4], ["batch", 2, 4, "sequence"]),
    matMul("attention: weights by values", ["batch", 2, "sequence", "sequence"], ["batch", 2, "sequence", 4]),
    matMul("one head of keys for all", ["batch", 2, "sequence", 4], ["batch", 1, 4, "sequence"]),
    matMul("inverse frequencies by positions", [1, 4, 1], ["batch", 1, "sequence"]),
    { use: "frozen weight", inputs: { a: any("batch", 2, 3), b: frozen(any(3, 2)) }, apply },
    { use: "frozen rows", inputs: { a: frozen(any("batch", 2, 3)), b: any(3, 2) }, apply },
    {
      use: "a matrix by itself",
      inputs: { a: any(3, 3) },
      apply: (build) => build.matMul("a", "a"),
    },
    {
      use: "one input of three products, as LoRA and packed projections have it",
      inputs: { x: any("batch", "sequence", 4), a: any(4, 2), b: any(2, 4), w: frozen(any(4, 4)) },
      apply: (build) => build.add(build.matMul("x", "w"), build.matMul(build.matMul("x", "a"), "b")),
    },
  ],
  Gemm: [
    ...gemm("no bias", undefined, 1, 1),
    ...gemm("bias vector, alpha and beta", [4], 0.5, -2),
    ...gemm("bias column", [2, 1], -1.5, 1),
    ...gemm("bias matrix", [2, 4], 1, 0.25),
    ...gemm("bias scalar", [], 2, 3),
    {
      use: "open rows",
      inputs: { a: any("batch", 3), b: any(3, 2), c: any(2) },
      apply: (build) => build.operator("Gemm", ["a", "b", "c"]),
    },
    {
      use: "frozen weight",
      inputs: { a: any("batch", 3), b: frozen(any(3, 2)), c: frozen(any(1, 2)) },
      apply: (build) => build.operator("Gemm", ["a", "b", "c"]),
    },
  ],
};

/** Uses that the rules say they do not cover. */
export const refusedProducts: Record<string, Use[]> = {
  MatMul: [
    matMul("a vector on the left", [3], [3, 2]),
    matMul("a vector on the right", [2, 3], [3]),
    matMul("a weight of open size", ["batch", "sequence"], ["sequence", 2]),
  ],
};
