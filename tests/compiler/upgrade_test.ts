// The opset upgrade: a tiny graph of an old form of an operator computes the same after it, at the compiler's opset.

import { assertEquals, assertStrictEquals } from "@std/assert";
import { compiledOpset, upgradeOpset } from "../../shared/compiler/upgrade.ts";
import { attribute, Builder } from "../../shared/onnx/builder.ts";
import { cloneGraph, type Graph, microsoft, sortTopologically } from "../../shared/onnx/graph.ts";
import { writeModel } from "../../shared/onnx/write_model.ts";
import { floats, sessionFor } from "./sessions.ts";

const { int, ints, float } = attribute;

interface Old {
  what: string;
  opset: number;
  /** Appends operators that read `x`, `[2, 3, 4]`, and returns what is compared. */
  apply: (build: Builder) => string[];
}

const of = (operator: string, opset: number, attributes: Parameters<Builder["operator"]>[2]): Old => ({
  what: `${operator} of opset ${opset} with ${
    Object.entries(attributes!).map(([name, { value }]) => `${name} ${value}`).join(", ") || "nothing"
  }`,
  opset,
  apply: (build) => [build.operator(operator, ["x"], attributes)],
});

const reductions = ["Max", "Min", "Mean", "Prod", "L1", "L2", "SumSquare", "LogSumExp"];

const olds: Old[] = [
  ...reductions.flatMap((name) => [
    of(`Reduce${name}`, 14, { axes: ints([-1]), keepdims: int(0) }),
    of(`Reduce${name}`, 17, { axes: ints([0, 2]) }),
    of(`Reduce${name}`, 13, { keepdims: int(0) }),
  ]),
  of("ReduceLogSum", 14, { axes: ints([1]) }),
  of("ReduceSum", 12, { axes: ints([1]), keepdims: int(0) }),
  of("ReduceSum", 11, {}),
  of("Unsqueeze", 12, { axes: ints([0, 2]) }),
  {
    what: "Squeeze of opset 11, with and without axes",
    opset: 11,
    apply: (build) => {
      const wide = build.operator("Unsqueeze", ["x"], { axes: ints([0, 2]) });
      return [build.operator("Squeeze", [wide], { axes: ints([2]) }), build.operator("Squeeze", [wide])];
    },
  },
  {
    what: "Split of opset 11 with sizes",
    opset: 11,
    apply: (build) => build.operators("Split", ["x"], 2, { axis: int(2), split: ints([1, 3]) }),
  },
  ...[11, 13, 17].map((opset): Old => ({
    what: `Split of opset ${opset} into equal parts`,
    opset,
    apply: (build) => build.operators("Split", ["x"], 3, { axis: int(1) }),
  })),
  ...[{}, { axis: int(0) }, { axis: int(2) }, { axis: int(-1) }].flatMap((axis) => [
    of("Softmax", 12, axis),
    of("LogSoftmax", 11, axis),
    of("Softmax", 13, axis),
  ]),
  of("Slice", 9, { starts: ints([1, 0]), ends: ints([3, 2]), axes: ints([2, 1]) }),
  of("Slice", 9, { starts: ints([1]), ends: ints([2]) }),
  of("Clip", 9, { min: float(-0.5), max: float(0.25) }),
  of("Clip", 10, { max: float(0.25) }),
  of("Pad", 10, { pads: ints([0, 0, 1, 1, 0, 0]), value: float(7) }),
  of("Dropout", 11, { ratio: float(0.5) }),
];

const data = floats(Array.from({ length: 24 }, (_, i) => 1.1 + Math.sin(7 * i)), [2, 3, 4]);

async function run(graph: Graph) {
  const session = await sessionFor(writeModel(graph));
  const results = await session.run({ x: data });
  await session.release();
  return graph.outputs.map(({ name }) => {
    const { dims, data } = results[name]!;
    const { buffer, byteOffset, byteLength } = data as Float32Array;
    return { dims, bytes: new Uint8Array(buffer.slice(byteOffset, byteOffset + byteLength)) };
  });
}

for (const { what, opset, apply } of olds) {
  Deno.test(`${what} computes the same after the upgrade`, async () => {
    const graph: Graph = {
      irVersion: 7,
      opsets: new Map([["", opset], [microsoft, 1]]),
      inputs: [{ name: "x", dataType: "float32", shape: [2, 3, 4] }],
      outputs: [],
      nodes: [],
      initializers: new Map(),
    };
    const outputs = apply(new Builder(graph, "old"));
    graph.outputs = outputs.map((name) => ({ name }));
    const before = await run(graph), upgraded = cloneGraph(graph);
    for (const node of upgraded.nodes) node.attributes = new Map(node.attributes);
    upgradeOpset(upgraded, "tiny.onnx");
    sortTopologically(upgraded);
    assertStrictEquals(upgraded.opsets.get(""), compiledOpset);
    assertEquals(await run(upgraded), before);
  });
}

Deno.test("a graph of a newer opset stays as it is", () => {
  const graph: Graph = {
    irVersion: 11,
    opsets: new Map([["", 23]]),
    inputs: [],
    outputs: [],
    nodes: [],
    initializers: new Map(),
  };
  upgradeOpset(graph, "tiny.onnx");
  assertEquals([graph.irVersion, graph.opsets.get("")], [11, 23]);
});
