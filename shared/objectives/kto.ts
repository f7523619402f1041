// KTO, arXiv 2402.01306 eq. 8: L = λ_y·(1 − σ(s·β·(r − z0))), s = +1 for desirable and −1 for undesirable rows, with
// r = Σ_t log π(y_t) − log π_ref(y_t) over the completion. Written as graph operators on log-probs; the reference point
// z0 is an input, so no gradient flows through it. It does not know where log-probs come from.

import type { Builder } from "../onnx/builder.ts";
import { attribute } from "../onnx/builder.ts";

/** float32 inputs of the objective; `tokens` are scored positions, `rows` the rows of a micro-batch. */
export const ktoInputs = {
  referenceLogProbs: { name: "reference_log_probs", shape: ["tokens"] },
  /** +1 desirable, −1 undesirable. */
  sign: { name: "sign", shape: ["rows"] },
  /** λ of the row's class, divided by the rows of the effective batch; 0 for padding. */
  weight: { name: "weight", shape: ["rows"] },
  referencePoint: { name: "reference_point", shape: [] },
} as const;

/** Outputs of the objective. */
export const ktoOutputs = { loss: "loss", logRatios: "log_ratios" } as const;

/**
 * Appends KTO to a scored graph.
 *
 * @param logProbs float32 [tokens]
 * @param rowOfToken int64 [tokens]
 * @returns the scalar loss: the micro-batch's share of the batch mean
 */
export function kto(build: Builder, logProbs: string, rowOfToken: string, beta: number): string {
  const { referenceLogProbs, sign, weight, referencePoint } = ktoInputs;
  const perToken = build.subtract(logProbs, referenceLogProbs.name);
  const noRows = build.subtract(sign.name, sign.name);
  const logRatios = build.operator("ScatterElements", [noRows, rowOfToken, perToken], {
    axis: attribute.int(0),
    reduction: attribute.string("add"),
  }, { output: ktoOutputs.logRatios });
  const advantage = build.multiply(build.subtract(logRatios, referencePoint.name), build.float(beta));
  const utility = build.operator("Sigmoid", [build.multiply(sign.name, advantage)]);
  const losses = build.multiply(weight.name, build.subtract(build.float(1), utility));
  return build.operator("ReduceSum", [losses], { keepdims: attribute.int(0) }, { output: ktoOutputs.loss });
}
