// Gradients of operators that work element by element, with broadcasting. y is the output, g its gradient.

import { floatAttribute, inlineNumbers } from "../../onnx/graph.ts";
import { type GradientContext, type GradientRule, toInput, unbroadcast } from "./rule.ts";

/** Rule of a one-input operator: gives the factor that the output gradient is multiplied by. */
function factor(derivative: (context: GradientContext, x: string, y: string) => string): GradientRule {
  return (context) => {
    const { node, build, outputs } = context;
    return [build.multiply(outputs[0]!, derivative(context, node.inputs[0]!, node.outputs[0]!))];
  };
}

function two(
  left: (c: GradientContext, g: string) => string,
  right: (c: GradientContext, g: string) => string,
): GradientRule {
  return (context) => {
    const g = context.outputs[0]!;
    return [
      context.wanted(0) ? toInput(context, 0, left(context, g)) : undefined,
      context.wanted(1) ? toInput(context, 1, right(context, g)) : undefined,
    ];
  };
}

const normalDensityAtZero = 1 / Math.sqrt(2 * Math.PI);

/** d/dx of GELU: exact, Φ(x) + x·φ(x), or its tanh approximation. */
const gelu: GradientRule = factor(({ node, build }, x) => {
  const approximate = node.attributes.get("approximate");
  const half = build.float(0.5), one = build.float(1);
  if (approximate?.kind !== "string" || approximate.value !== "tanh") {
    const cumulative = build.multiply(
      half,
      build.add(one, build.operator("Erf", [build.multiply(x, build.float(Math.SQRT1_2))])),
    );
    const exponent = build.operator("Exp", [build.multiply(build.multiply(x, x), build.float(-0.5))]);
    const density = build.multiply(exponent, build.float(normalDensityAtZero));
    return build.add(cumulative, build.multiply(x, density));
  }
  const scale = build.float(Math.sqrt(2 / Math.PI)), cubic = build.float(0.044715);
  const square = build.multiply(x, x);
  const inner = build.multiply(scale, build.add(x, build.multiply(cubic, build.multiply(square, x))));
  const tanh = build.operator("Tanh", [inner]);
  const slope = build.multiply(scale, build.add(one, build.multiply(build.float(3 * 0.044715), square)));
  const sech2 = build.subtract(one, build.multiply(tanh, tanh));
  const left = build.multiply(half, build.add(one, tanh));
  return build.add(left, build.multiply(build.multiply(half, x), build.multiply(sech2, slope)));
});

/** x^p for a constant p. */
const power: GradientRule = (context) => {
  const { node, build, outputs, wanted, refuse } = context;
  const [x, p] = node.inputs as [string, string];
  const exponents = inlineNumbers(build.graph.initializers.get(p));
  if (wanted(1) || exponents?.length !== 1) return refuse("a constant exponent");
  const exponent = exponents[0]!;
  const slope = exponent === 2 ? x : build.operator("Pow", [x, build.float(exponent - 1)]);
  // An exponent of more axes than x adds axes to the output.
  return [toInput(context, 0, build.multiply(outputs[0]!, build.multiply(build.float(exponent), slope))), undefined];
};

/** The larger (or smaller) of the inputs gets the gradient; at a tie the first does. */
function extreme(comparison: string): GradientRule {
  return (context) => {
    const { node, build, outputs, refuse } = context;
    if (node.inputs.length !== 2) return refuse("two inputs");
    const [a, b] = node.inputs as [string, string];
    const first = build.operator(comparison, [a, b]);
    const zero = build.float(0), g = outputs[0]!;
    return [
      context.wanted(0) ? toInput(context, 0, build.operator("Where", [first, g, zero])) : undefined,
      context.wanted(1) ? toInput(context, 1, build.operator("Where", [first, zero, g])) : undefined,
    ];
  };
}

/** Clip to bounds, either of which may be left out: the gradient passes inside them. */
const clip: GradientRule = ({ node, build, outputs }) => {
  const [x, low, high] = node.inputs as [string, string?, string?];
  const inside = [
    ...(low ? [build.operator("GreaterOrEqual", [x, low])] : []),
    ...(high ? [build.operator("LessOrEqual", [x, high])] : []),
  ];
  const zero = build.float(0);
  return [inside.reduce((g, test) => build.operator("Where", [test, g, zero]), outputs[0]!)];
};

export const elementwiseGradients: Record<string, GradientRule> = {
  Identity: ({ outputs }) => [outputs[0]],
  Add: two((_, g) => g, (_, g) => g),
  Sub: two((_, g) => g, ({ build }, g) => build.negate(g)),
  Mul: two(
    ({ build, node }, g) => build.multiply(g, node.inputs[1]!),
    ({ build, node }, g) => build.multiply(g, node.inputs[0]!),
  ),
  Div: two(
    ({ build, node }, g) => build.divide(g, node.inputs[1]!),
    ({ build, node }, g) => build.negate(build.divide(build.multiply(g, node.outputs[0]!), node.inputs[1]!)),
  ),
  Sum: (context) =>
    context.node.inputs.map((_, i) => context.wanted(i) ? toInput(context, i, context.outputs[0]!) : undefined),
  Neg: ({ build, outputs }) => [build.negate(outputs[0]!)],
  Abs: factor(({ build }, x) => build.operator("Sign", [x])),
  Exp: factor((_, _x, y) => y),
  Log: ({ node, build, outputs }) => [build.divide(outputs[0]!, node.inputs[0]!)],
  Sqrt: ({ node, build, outputs }) => [build.divide(build.multiply(build.float(0.5), outputs[0]!), node.outputs[0]!)],
  Reciprocal: factor(({ build }, _x, y) => build.negate(build.multiply(y, y))),
  Sin: factor(({ build }, x) => build.operator("Cos", [x])),
  Cos: factor(({ build }, x) => build.negate(build.operator("Sin", [x]))),
  Tanh: factor(({ build }, _x, y) => build.subtract(build.float(1), build.multiply(y, y))),
  Sigmoid: factor(({ build }, _x, y) => build.multiply(y, build.subtract(build.float(1), y))),
  Erf: factor(({ build }, x) =>
    build.multiply(build.float(2 / Math.sqrt(Math.PI)), build.operator("Exp", [build.negate(build.multiply(x, x))]))
  ),
  Relu: ({ node, build, outputs }) => [
    build.operator("Where", [
      build.operator("Greater", [node.inputs[0]!, build.float(0)]),
      outputs[0]!,
      build.float(0),
    ]),
  ],
  LeakyRelu: ({ node, build, outputs }) => {
    const positive = build.operator("Greater", [node.inputs[0]!, build.float(0)]);
    const slope = build.float(floatAttribute(node, "alpha", 0.01));
    return [build.operator("Where", [positive, outputs[0]!, build.multiply(outputs[0]!, slope)])];
  },
  Clip: clip,
  Gelu: gelu,
  Pow: power,
  Max: extreme("GreaterOrEqual"),
  Min: extreme("LessOrEqual"),
  Where: ({ node, build, outputs, wanted }) => {
    const [condition, x, y] = node.inputs as [string, string, string];
    const zero = build.float(0), g = outputs[0]!, from = build.shape(node.outputs[0]!);
    return [
      undefined,
      wanted(1) ? unbroadcast(build, build.operator("Where", [condition, g, zero]), from, build.shape(x)) : undefined,
      wanted(2) ? unbroadcast(build, build.operator("Where", [condition, zero, g]), from, build.shape(y)) : undefined,
    ];
  },
};
