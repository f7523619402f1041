// Uses of the operators that work element by element, for the check against finite differences. Inputs keep away from
// kinks (ties, zeros) and poles. It does not know how gradients are checked.

import { attribute, type Builder } from "../../shared/onnx/builder.ts";
import { any, frozen, type Input, nonZero, positive, steps, type Use } from "./gradient_check.ts";

/** A one-input operator on fixed and on open sizes. */
function unary(operator: string, make: (...shape: (number | string)[]) => Input, more: Use[] = []): Use[] {
  const apply = (build: Builder) => build.operator(operator, ["x"]);
  return [
    { use: "fixed sizes", inputs: { x: make(3, 4) }, apply },
    { use: "open sizes", inputs: { x: make("batch", "sequence", 2) }, apply },
    ...more,
  ];
}

/** A two-input operator, broadcast every way there is. */
function binary(operator: string, a: typeof any, b: typeof any): Use[] {
  const apply = (build: Builder) => build.operator(operator, ["a", "b"]);
  const use = (use: string, left: (number | string)[], right: (number | string)[]): Use => ({
    use,
    inputs: { a: a(...left), b: b(...right) },
    apply,
  });
  return [
    use("same shapes", [2, 3], [2, 3]),
    use("right broadcast, lower rank", [2, 3, 4], [4]),
    use("left broadcast, lower rank", [3], [2, 2, 3]),
    use("both broadcast", [2, 1, 3], [4, 1]),
    use("ones in front", [2, 3], [1, 1, 2, 3]),
    use("right scalar", [2, 3], []),
    use("left scalar", [], [4]),
    use("two scalars", [], []),
    use("open sizes against a vector", ["batch", "sequence", 2], [2]),
    use("open sizes, both broadcast", ["batch", 1, 2], ["sequence", 1]),
    use("a scalar against open sizes", [1], ["batch", "sequence"]),
    { use: "left frozen", inputs: { a: frozen(a(2, 3)), b: b(1, 3) }, apply },
    { use: "right frozen", inputs: { a: a(3), b: frozen(b(2, 3)) }, apply },
  ];
}

const twice = (operator: string, make: typeof any): Use => ({
  use: "one value on both sides",
  inputs: { x: make(2, 3) },
  apply: (build) => build.operator(operator, ["x", "x"]),
});

const gelu = (approximate: string): Use => ({
  use: `approximate ${approximate}`,
  inputs: { x: any("batch", 4) },
  apply: (build) => build.operator("Gelu", ["x"], { approximate: attribute.string(approximate) }),
});

const powers: Use[] = [2, 3, 1, 0, 0.5, -1, -0.5].flatMap((exponent) => {
  const apply = (build: Builder) => build.operator("Pow", ["x", build.float(exponent)]);
  const whole = Number.isInteger(exponent) && exponent > 0;
  return [
    { use: `exponent ${exponent}`, inputs: { x: positive("batch", 3) }, apply },
    ...(whole ? [{ use: `exponent ${exponent} of both signs`, inputs: { x: any(2, 3) }, apply }] : []),
  ];
});

const where = (use: string, condition: Input, x: Input, y: Input): Use => ({
  use,
  inputs: { condition: frozen(condition), x, y },
  apply: (build) => build.operator("Where", [build.operator("Greater", ["condition", build.float(0)]), "x", "y"]),
});

export const elementwiseUses: Record<string, Use[]> = {
  Identity: unary("Identity", any),
  Add: [...binary("Add", any, any), twice("Add", any)],
  Sub: [...binary("Sub", any, any), twice("Sub", any)],
  Mul: [...binary("Mul", any, any), twice("Mul", any)],
  Div: [...binary("Div", any, positive), twice("Div", positive)],
  Sum: [
    ...binary("Sum", any, any),
    { use: "one input", inputs: { x: any(3) }, apply: (build) => build.operator("Sum", ["x"]) },
    {
      use: "three inputs, broadcast",
      inputs: { a: any("batch", 2), b: any(1, 1), c: any(2) },
      apply: (build) => build.operator("Sum", ["a", "b", "c"]),
    },
  ],
  Neg: unary("Neg", any),
  Abs: unary("Abs", nonZero),
  Exp: unary("Exp", any),
  Log: unary("Log", positive),
  Sqrt: unary("Sqrt", positive),
  Reciprocal: unary("Reciprocal", positive),
  Sin: unary("Sin", any),
  Cos: unary("Cos", any),
  Tanh: unary("Tanh", any),
  Sigmoid: unary("Sigmoid", any),
  Erf: unary("Erf", any),
  Relu: unary("Relu", nonZero),
  LeakyRelu: unary("LeakyRelu", nonZero, [{
    use: "alpha 0.3",
    inputs: { x: nonZero(6) },
    apply: (build) => build.operator("LeakyRelu", ["x"], { alpha: attribute.float(0.3) }),
  }]),
  Clip: [["-0.55", "0.55"], ["", "0.55"], ["-0.55", ""], ["", ""]].map(([low, high]) => ({
    use: `between ${low || "nothing"} and ${high || "nothing"}`,
    inputs: { x: steps(0, "batch", 6) },
    apply: (build) =>
      build.operator("Clip", ["x", ...[low, high].map((bound) => bound ? build.float(Number(bound)) : "")]),
  })),
  Gelu: unary("Gelu", any, [gelu("none"), gelu("tanh")]),
  Pow: [
    ...powers,
    {
      use: "an exponent of more axes than its base",
      inputs: { x: positive(3) },
      apply: (build) => {
        const bytes = new Uint8Array(Float32Array.of(3).buffer);
        build.graph.initializers.set("p", {
          name: "p",
          dataType: "float32",
          dims: [1, 1],
          data: { kind: "inline", bytes },
        });
        return build.operator("Pow", ["x", "p"]);
      },
    },
    {
      use: "an integer exponent",
      inputs: { x: any(4) },
      apply: (build) => build.operator("Pow", ["x", build.int(3)]),
    },
  ],
  Max: binary("Max", (...shape) => steps(0, ...shape), (...shape) => steps(0.2, ...shape)),
  Min: binary("Min", (...shape) => steps(0, ...shape), (...shape) => steps(0.2, ...shape)),
  Where: [
    where("same shapes", nonZero(2, 3), any(2, 3), any(2, 3)),
    where("condition broadcast", nonZero(3), any(2, 3), any(2, 1)),
    where("condition of more axes", nonZero(2, 2, 3), any(2, 3), any()),
    where("open sizes", nonZero("batch", 1, "sequence"), any("batch", 2, "sequence"), any(1)),
    where("left frozen", nonZero("sequence", 1), frozen(any(1)), any("batch", "sequence", 2)),
    where("right frozen", nonZero(4), any(4), frozen(any())),
  ],
};

/** Uses that the rules say they do not cover. */
export const refusedElementwise: Record<string, Use[]> = {
  Pow: [
    {
      use: "trained exponent",
      inputs: { x: positive(3), p: any(1) },
      apply: (build) => build.operator("Pow", ["x", "p"]),
    },
    {
      use: "exponent that is fed",
      inputs: { x: positive(3), p: frozen(any(1)) },
      apply: (build) => build.operator("Pow", ["x", "p"]),
    },
  ],
  Max: [{
    use: "three inputs",
    inputs: { a: any(2), b: any(2), c: any(2) },
    apply: (build) => build.operator("Max", ["a", "b", "c"]),
  }],
  Min: [{ use: "one input", inputs: { a: any(2) }, apply: (build) => build.operator("Min", ["a"]) }],
};
