// Supervised fine-tuning: the negative log-prob of each target token, weighted. Used for pretraining. It does not know
// where log-probs come from.

import { attribute, type Builder } from "../onnx/builder.ts";

/** float32 inputs of the objective. */
export const nextTokenInputs = {
  /** Weight of each token, divided by the tokens of the effective batch; 0 for padding. */
  tokenWeight: { name: "token_weight", shape: ["tokens"] },
} as const;

/** Appends Σ −w·log π to a scored graph and returns the scalar loss. */
export function nextToken(build: Builder, logProbs: string): string {
  const weighted = build.multiply(build.negate(logProbs), nextTokenInputs.tokenWeight.name);
  return build.operator("ReduceSum", [weighted], { keepdims: attribute.int(0) }, { output: "loss" });
}
