// Reverse-mode differentiation of a graph: walks it backwards from a scalar loss and appends, rule by rule, ordinary
// operators that compute the gradient of each trained input. It does not know any operator itself (gradients/ does).

import { RefusedModelError } from "../errors.ts";
import { type Builder, UnknownShapeError } from "../onnx/builder.ts";
import { type Graph, type Node, operatorKey, sortTopologically } from "../onnx/graph.ts";
import { elementwiseGradients } from "./gradients/elementwise.ts";
import { layoutGradients } from "./gradients/layout.ts";
import { productGradients } from "./gradients/products.ts";
import { quantizedGradients } from "./gradients/quantized.ts";
import { reductionGradients } from "./gradients/reductions.ts";
import type { GradientContext, GradientRule } from "./gradients/rule.ts";

/** Every gradient rule, by operator (with its domain where that is not ai.onnx). */
export const gradientRules: Readonly<Record<string, GradientRule>> = {
  ...elementwiseGradients,
  ...productGradients,
  ...quantizedGradients,
  ...layoutGradients,
  ...reductionGradients,
};

/** Operators through which nothing flows back: their outputs are shapes, indices or truth values. */
const withoutGradient = new Set([
  "Shape",
  "Size",
  "Range",
  "ConstantOfShape",
  "Equal",
  "Less",
  "LessOrEqual",
  "Greater",
  "GreaterOrEqual",
  "And",
  "Or",
  "Not",
  "IsNaN",
  "IsInf",
  "Sign",
  "Floor",
  "Ceil",
  "Round",
  "ArgMax",
  "ArgMin",
  "NonZero",
  "Mod",
]);

/** Values that change when one of `trained` does, along paths that carry gradients. */
function dependents(graph: Graph, trained: Iterable<string>): Set<string> {
  const found = new Set(trained);
  for (const node of graph.nodes) {
    if (withoutGradient.has(operatorKey(node)) || !node.inputs.some((input) => found.has(input))) continue;
    for (const output of node.outputs) if (output !== "") found.add(output);
  }
  return found;
}

/** Applies a rule; a size that the compiler cannot name is a refusal like any other. */
function apply(rule: GradientRule, context: GradientContext): (string | undefined)[] {
  try {
    return rule(context);
  } catch (error) {
    if (!(error instanceof UnknownShapeError)) throw error;
    return context.refuse(
      `sizes that are fixed, or batch and sequence and their products ("${error.value}" has another)`,
    );
  }
}

/**
 * Appends the gradients of `loss` to the builder's graph.
 *
 * @param build builder whose shapes cover every value on the path
 * @param loss a scalar value
 * @param trained graph inputs or initializers
 * @returns for each of `trained`, the value that holds its gradient
 * @throws RefusedModelError naming operator, node and expectation where a rule is missing or does not cover a use, or where a
 * trained tensor does not reach the loss.
 */
export function differentiate(build: Builder, loss: string, trained: string[], path: string): Map<string, string> {
  const graph = build.graph;
  sortTopologically(graph);
  const reached = dependents(graph, trained);
  const gradients = new Map<string, string[]>([[loss, [build.float(1)]]]);
  const total = (value: string): string | undefined => {
    const parts = gradients.get(value);
    return parts?.reduce((sum, part) => build.add(sum, part));
  };
  const forward: Node[] = [...graph.nodes];
  for (const node of forward.reverse()) {
    if (!node.outputs.some((output) => reached.has(output) && gradients.has(output))) continue;
    const key = operatorKey(node);
    const refuse = (expected: string): never => {
      throw new RefusedModelError(
        `${path}: ${key} node "${node.name}" cannot be differentiated: expected ${expected}.`,
      );
    };
    const rule = gradientRules[key];
    if (!rule) {
      refuse(
        `an operator with a gradient rule (there are ${
          Object.keys(gradientRules).length
        }); see ARCHITECTURE.md on adding one`,
      );
    }
    const outputs = node.outputs.map((output) => reached.has(output) ? total(output) : undefined);
    const results = apply(rule!, { node, build, outputs, wanted: (i) => reached.has(node.inputs[i]!), refuse });
    results.forEach((gradient, i) => {
      const input = node.inputs[i];
      if (gradient === undefined || input === undefined || !reached.has(input)) return;
      const parts = gradients.get(input);
      if (parts) parts.push(gradient);
      else gradients.set(input, [gradient]);
    });
  }
  return new Map(trained.map((name) => {
    const gradient = total(name);
    if (gradient === undefined) {
      throw new RefusedModelError(`${path}: "${name}" has no influence on the log-probs, so it cannot be trained.`);
    }
    return [name, gradient];
  }));
}
