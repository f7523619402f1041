// The KTO objective as a graph of its own, against numbers computed in float64 from TRL's and the paper's formula.
// It knows no model: log-probs are fed.

import { assert, assertEquals } from "@std/assert";
import { differentiate } from "../../shared/compiler/differentiate.ts";
import { measureShapes } from "../../shared/compiler/measure.ts";
import { kto, ktoInputs } from "../../shared/objectives/kto.ts";
import { Builder } from "../../shared/onnx/builder.ts";
import { type Graph, prune, sortTopologically } from "../../shared/onnx/graph.ts";
import { writeModel } from "../../shared/onnx/write_model.ts";
import { floats, ints, sessionFor } from "./sessions.ts";

const policy = [-12.3, -40.1, -7.5, -22.0], reference = [-13.0, -39.0, -7.9, -20.5];
const labels = [true, false, true, false];

interface Expected {
  beta: number;
  undesirable: number;
  z0: number;
  losses: number[];
  mean: number;
  gradient: number[];
}

/** λ_D is 1 throughout; `losses` are per row, λ included. */
const table: Expected[] = [
  {
    beta: 0.1,
    undesirable: 1,
    z0: 0.575,
    losses: [.4968750406894684, .45822263071636316, .5043748883497734, .44831033065729997],
    mean: .4769457226032262,
    gradient: [-.006249755865732689, .006206366285393466, -.0062495215087981755, .006183204452081059],
  },
  {
    beta: 0.1,
    undesirable: 1.5,
    z0: 0.575,
    losses: [.4968750406894684, .6873339460745447, .5043748883497734, .67246549598595],
    mean: .5902623427749341,
    gradient: [-.006249755865732689, .009309549428090199, -.0062495215087981755, .009274806678121588],
  },
  {
    beta: 0.5,
    undesirable: 1,
    z0: 0.575,
    losses: [.4843800842769844, .30206157399190914, .5218610539716013, .26163265856198137],
    mean: .3924838427006191,
    gradient: [-.031219502279100735, .026352547438679944, -.031190261789906342, .02414762631697138],
  },
  {
    beta: 0.1,
    undesirable: 1,
    z0: 0,
    losses: [.48250714233361025, .4725276956554062, .49000133312003447, .4625701546562504],
    mean: .47690158144132533,
    gradient: [-.006242349998266586, .00623113181234995, -.006247500666515587, .006214975166938575],
  },
];

const runtimeSizes = new Map([
  ["tokens", { value: "log_probs", axis: 0 }],
  ["rows", { value: ktoInputs.sign.name, axis: 0 }],
]);

/** Runs the objective and its gradient; token i belongs to row `rowOf[i]`. */
async function run(
  beta: number,
  feeds: { policy: number[]; reference: number[]; rowOf: number[]; sign: number[]; weight: number[]; z0: number },
) {
  const graph: Graph = {
    irVersion: 10,
    opsets: new Map([["", 21]]),
    inputs: [
      { name: "log_probs", dataType: "float32", shape: ["tokens"] },
      { name: "row_of_token", dataType: "int64", shape: ["tokens"] },
      ...Object.values(ktoInputs).map(({ name, shape }) => ({ name, dataType: "float32" as const, shape: [...shape] })),
    ],
    outputs: [],
    nodes: [],
    initializers: new Map(),
  };
  assertEquals(kto(new Builder(graph, "objective"), "log_probs", "row_of_token", beta), "loss");
  const { shapes } = await measureShapes(graph, ".", []);
  const build = new Builder(graph, "backward", shapes, runtimeSizes);
  const gradient = differentiate(build, "loss", ["log_probs"], "kto.onnx").get("log_probs")!;
  graph.outputs = ["loss", "log_ratios", gradient].map((name) => ({ name }));
  prune(graph);
  sortTopologically(graph);
  const session = await sessionFor(writeModel(graph));
  const results = await session.run({
    log_probs: floats(feeds.policy),
    row_of_token: ints(feeds.rowOf),
    reference_log_probs: floats(feeds.reference),
    sign: floats(feeds.sign),
    weight: floats(feeds.weight),
    reference_point: floats([feeds.z0], []),
  });
  await session.release();
  const values = (name: string) => [...results[name]!.data as Float32Array];
  return { loss: values("loss")[0]!, logRatios: values("log_ratios"), gradient: values(gradient) };
}

function near(actual: number[], expected: number[], tolerance: number, what: string): void {
  assertEquals(actual.length, expected.length, what);
  actual.forEach((value, i) => {
    assert(Math.abs(value - expected[i]!) <= tolerance, `${what}, ${i}: ${value} where float64 has ${expected[i]}`);
  });
}

const sign = labels.map((label) => label ? 1 : -1);
const ratios = policy.map((value, i) => value - reference[i]!);

for (const { beta, undesirable, z0, losses, mean, gradient } of table) {
  const name = `β ${beta}, λ_U ${undesirable}, z0 ${z0}`;
  const lambda = labels.map((label) => label ? 1 : undesirable);
  // A log-prob of −40 has an error of 2e-6 in float32; the loss turns at most λ·β/4 of it into its own.
  const lossTolerance = 1e-6 * beta * undesirable + 1e-7;

  Deno.test(`KTO's loss and gradient are the float64 ones: ${name}`, async () => {
    const result = await run(beta, {
      policy,
      reference,
      rowOf: [0, 1, 2, 3],
      sign,
      weight: lambda.map((each) => each / 4),
      z0,
    });
    near([result.loss], [mean], lossTolerance, "loss");
    near(result.logRatios, ratios, 4e-6, "log-ratios");
    near(result.gradient, gradient, 2e-8 + 1e-6 * beta * beta, "gradient");
  });

  Deno.test(`KTO's loss of each row alone is the float64 one: ${name}`, async () => {
    for (const i of labels.keys()) {
      const result = await run(beta, {
        policy: [policy[i]!],
        reference: [reference[i]!],
        rowOf: [0],
        sign: [sign[i]!],
        weight: [lambda[i]!],
        z0,
      });
      near([result.loss], [losses[i]!], lossTolerance, `row ${i}`);
      near(result.gradient, [4 * gradient[i]!], 1e-7 + 4e-6 * beta * beta, `row ${i}, gradient`);
    }
  });
}

Deno.test("a row's tokens are summed in whatever order they come, and each gets the row's whole gradient", async () => {
  const [first] = table as [Expected];
  // Three tokens to rows 0 and 2, two to rows 1 and 3, mixed; a padding token goes to a fifth row of weight 0.
  const rowOf = [2, 0, 1, 3, 0, 2, 1, 4, 0, 3, 2];
  const share = (values: number[]) =>
    rowOf.map((row) => row === 4 ? -100 : values[row]! / rowOf.filter((each) => each === row).length);
  const result = await run(first.beta, {
    policy: share(policy),
    reference: share(reference).map((value, i) => rowOf[i] === 4 ? -1 : value),
    rowOf,
    sign: [...sign, 1],
    weight: [...labels.map(() => 0.25), 0],
    z0: first.z0,
  });
  near([result.loss], [first.mean], 3e-7, "loss");
  near(result.logRatios.slice(0, 4), ratios, 1e-5, "log-ratios");
  near(result.gradient, rowOf.map((row) => first.gradient[row] ?? 0), 1e-7, "gradient");
});

Deno.test("shares of micro-batches add up to the batch's loss, whatever the split", async () => {
  const [first] = table as [Expected];
  for (const parts of [[[0], [1], [2], [3]], [[0, 3], [1, 2]], [[1, 2, 0], [3]]]) {
    let loss = 0;
    const gradient = [0, 0, 0, 0];
    for (const part of parts) {
      const pick = (values: number[]) => part.map((i) => values[i]!);
      const result = await run(first.beta, {
        policy: pick(policy),
        reference: pick(reference),
        rowOf: part.map((_, i) => i),
        sign: pick(sign),
        weight: part.map(() => 1 / 4),
        z0: first.z0,
      });
      loss += result.loss;
      part.forEach((row, i) => gradient[row] = result.gradient[i]!);
    }
    near([loss], [first.mean], 3e-7, "loss");
    near(gradient, first.gradient, 3e-8, "gradient");
  }
});

Deno.test("a hopeless row saturates: its loss is λ and its gradient 0, never NaN", async () => {
  for (const ratio of [1e4, -1e4]) {
    const result = await run(0.1, {
      policy: [ratio, ratio],
      reference: [0, 0],
      rowOf: [0, 1],
      sign: [1, -1],
      weight: [1, 1],
      z0: 0,
    });
    near([result.loss], [1], 1e-6, "loss");
    near(result.gradient, [0, 0], 1e-12, "gradient");
  }
});
