// What compiled low-precision graphs hold and when, how stored weights are read piece by piece, and what is refused in
// one sentence.

import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { compileScoring, compileTraining, type Trained } from "../../shared/compiler/compile.ts";
import {
  multiplyStored,
  multiplyStoredTranspose,
  quantizedOperand,
} from "../../shared/compiler/gradients/quantized.ts";
import { widen } from "../../shared/compiler/half_precision.ts";
import { fuseBlockBias } from "../../shared/compiler/block_products.ts";
import { fuseDynamicInt8 } from "../../shared/compiler/low_precision.ts";
import { type Operand, storedOperand } from "../../shared/compiler/stored_matrix.ts";
import { InputError } from "../../shared/errors.ts";
import { attribute, Builder } from "../../shared/onnx/builder.ts";
import { type Graph, microsoft } from "../../shared/onnx/graph.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { dataTypes, messages } from "../../shared/onnx/schema.ts";
import { writeModel } from "../../shared/onnx/write_model.ts";
import { sharedTest } from "../feedback/shared_files.ts";
import { type Fixture, loraOf, readFixture } from "./golden_runs.ts";
import { type File, files, filesOf, lowPrecisionFixtures, withFile } from "./low_precision_runs.ts";
import { matMulNBits, randomIntegers, randomScales, stored } from "./quantized_uses.ts";
import { floats, sessionFor } from "./sessions.ts";

const objective = { kind: "kto", beta: 0.1 } as const;

/** Runs with the fixture's file copied to a folder where further files may be written. */
async function inCopy(fixture: Fixture, run: (copy: Fixture, folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "prospect-test-" });
  try {
    const model = `${folder}/model.onnx`;
    await Deno.copyFile(fixture.model, model);
    await run({ ...fixture, model }, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What is looked at of a compiled graph, whose outputs have no types and so are not for `readModel`. */
interface Written {
  initializer: {
    name: string;
    dataType: number;
    rawData: Uint8Array;
    externalData: { key: string; value: string }[];
  }[];
  node: { name: string; opType: string; input: string[]; output: string[] }[];
}

const parse = (bytes: Uint8Array) => (messages.model.decode(bytes) as unknown as { graph: Written }).graph;

for (const name of lowPrecisionFixtures) {
  for (const file of filesOf(name)) {
    sharedTest(
      `fixtures/${name}`,
      `${name}/${file}: compiled graphs hold no float copy of a weight`,
      async (folder) => {
        const fixture = withFile(await readFixture(folder), file);
        const original = [...readModel(fixture.model).initializers.values()];
        const compiled = await compileTraining(fixture.model, fixture.config, loraOf(fixture), objective);
        for (const { initializer, node } of [parse(compiled.scoring), parse(compiled.gradient)]) {
          const stored = new Set<string>();
          for (const { name, dataType, rawData, externalData } of initializer) {
            if (externalData.length === 0) {
              assert(rawData.length <= 4096, `${name} holds ${rawData.length} bytes`);
              continue;
            }
            stored.add(name);
            if (dataType !== dataTypes.float32.code) continue;
            const offset = Number(externalData.find(({ key }) => key === "offset")!.value);
            const source = original.find(({ data }) =>
              data.kind === "external" && data.offset <= offset && offset < data.offset + data.length
            );
            assertEquals(source?.dataType, "float32", `${name} is not float32 in the file`);
          }
          // Each reader makes its own float32 weight, so that none lives from the forward to the backward pass.
          for (const { opType, input, output } of node) {
            if (!["Cast", "DequantizeLinear"].includes(opType) || !stored.has(input[0]!)) continue;
            assertEquals(node.filter((each) => each.input.includes(output[0]!)).length, 1, `readers of ${output}`);
          }
        }
      },
    );
  }
}

// ---- weights read in pieces --------------------------------------------------------------------------------------

const rows = 24, columns = 48;

/** Stored matrices [24, 48], or their transposes, each appended to a graph. */
const storedKinds: Record<string, (build: Builder) => Operand> = {
  float16: (build) => {
    const weight = stored(build, "weight", "float16", [rows, columns], randomScales(1, rows * columns));
    return storedOperand(build.graph, build.cast(weight, dataTypes.float32.code))!;
  },
  "int8, one scale": (build) => {
    const weight = stored(build, "weight", "int8", [rows, columns], randomIntegers(1, rows * columns, 256));
    const scale = stored(build, "scale", "float32", [], [1 / 64]), zero = stored(build, "zero", "int8", [], [3]);
    return storedOperand(build.graph, build.operator("DequantizeLinear", [weight, scale, zero]))!;
  },
  "uint8 turned over, a scale per row of the file": (build) => {
    const weight = stored(build, "weight", "uint8", [rows, columns], randomIntegers(1, rows * columns, 256));
    const scale = stored(build, "scale", "float32", [rows], randomScales(2, rows));
    const turned = build.transpose(weight, [1, 0]);
    return storedOperand(
      build.graph,
      build.operator("DequantizeLinear", [turned, scale], { axis: attribute.int(1) }),
    )!;
  },
  "4-bit blocks, an odd number of packed zero points": (build) => {
    matMulNBits(build, "x", { bits: 4, block: 16, inner: columns, outer: rows, zeroPoints: "packed" });
    const operand = quantizedOperand(build.graph, build.graph.nodes.at(-1)!)!;
    build.graph.nodes.pop();
    return operand;
  },
  "8-bit blocks": (build) => {
    matMulNBits(build, "x", { bits: 8, block: 16, inner: columns, outer: rows, zeroPoints: "none" });
    const operand = quantizedOperand(build.graph, build.graph.nodes.at(-1)!)!;
    build.graph.nodes.pop();
    return operand;
  },
};

for (const [kind, make] of Object.entries(storedKinds)) {
  Deno.test(`products with a stored weight are the same read whole or in pieces: ${kind}`, async () => {
    for (const multiply of [multiplyStored, multiplyStoredTranspose]) {
      const graph: Graph = {
        irVersion: 10,
        opsets: new Map([["", 21], [microsoft, 1]]),
        inputs: [],
        outputs: [],
        nodes: [],
        initializers: new Map(),
      };
      const build = new Builder(graph, "test"), operand = make(build);
      const over = operand.transposed !== (multiply === multiplyStoredTranspose) ? columns : rows;
      graph.inputs.push({ name: "x", dataType: "float32", shape: [3, over] });
      // 5 rows of float32 at most: five pieces, of unequal sizes.
      const whole = multiply(build, "x", operand), pieces = multiply(build, "x", operand, 5 * columns * 4);
      graph.outputs = [{ name: whole }, { name: pieces }];
      const session = await sessionFor(writeModel(graph));
      const results = await session.run({ x: floats(randomScales(9, 3 * over), [3, over]) });
      const expected = results[whole]!, actual = results[pieces]!;
      assertEquals(actual.dims, [3, rows + columns - over]);
      assertEquals(actual.dims, expected.dims);
      (actual.data as Float32Array).forEach((value, i) => {
        const difference = Math.abs(value - (expected.data as Float32Array)[i]!);
        assert(difference < 1e-4, `${multiply.name}, ${i}: off by ${difference}`);
      });
      await session.release();
    }
  });
}

Deno.test("float16 bytes are widened to the same numbers", () => {
  const values = [0, -0, 1, -2.5, 65504, -65504, 2 ** -24, 2 ** -14, Infinity, -Infinity, 1 / 3];
  const half = Float16Array.from(values);
  assertEquals(
    widen(new Uint8Array(half.buffer)),
    new Uint8Array(Float32Array.from(half).buffer),
    "in each bit, -0 too",
  );
  assert(Number.isNaN(new Float32Array(widen(new Uint8Array(Float16Array.of(NaN).buffer)).buffer)[0]));
});

Deno.test("dynamic int8 in the form that ONNX Runtime's optimizer saves (MatMulIntegerToFloat) is fused too", () => {
  const graph: Graph = {
    irVersion: 10,
    opsets: new Map([["", 21], [microsoft, 1]]),
    inputs: [{ name: "x", dataType: "float32", shape: ["batch", 4] }],
    outputs: [],
    nodes: [],
    initializers: new Map(),
  };
  const build = new Builder(graph, "test");
  const [quantised, scale, zero] = build.operators("DynamicQuantizeLinear", ["x"], 3) as [string, string, string];
  const weight = stored(build, "weight", "int8", [4, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
  const weightScale = stored(build, "scale", "float32", [], [0.5]), weightZero = stored(build, "zero", "int8", [], [0]);
  const inputs = [quantised, weight, scale, weightScale, zero, weightZero];
  graph.outputs = [{ name: build.operator("MatMulIntegerToFloat", inputs, {}, { domain: microsoft, output: "y" }) }];
  fuseDynamicInt8(graph);
  assertEquals(graph.nodes.map(({ operator, inputs, outputs }) => ({ operator, inputs, outputs })), [
    { operator: "DynamicQuantizeMatMul", inputs: ["x", "weight", "scale", "zero"], outputs: ["y"] },
  ]);
});

// ---- refusals ----------------------------------------------------------------------------------------------------

/** A test that changes a fixture's file and expects one sentence. */
function refused(
  sentence: string,
  file: File,
  change: (graph: Graph) => void,
  expected: RegExp[],
  trained?: Trained,
): void {
  sharedTest("fixtures/llama-optimum", sentence, async (folder) => {
    await inCopy(withFile(await readFixture(folder), file), async (fixture, temporary) => {
      const graph = readModel(fixture.model), path = `${temporary}/changed.onnx`;
      change(graph);
      await Deno.writeFile(path, writeModel(graph) as Uint8Array<ArrayBuffer>);
      const error = await assertRejects(
        () => compileTraining(path, fixture.config, trained ?? loraOf(fixture), objective),
        InputError,
      );
      for (const part of [new RegExp(`^${path}: `), ...expected]) assertMatch(error.message, part);
      assertMatch(error.message, /^[^\n]+\.$/);
    });
  });
}

const full: Trained = { kind: "full" };
for (const file of files) {
  refused(`every weight of ${file} cannot be trained, and what can is said`, file, () => {}, [
    /--full/,
    file === "model_fp16" ? /float16/ : /quantised/,
    /--dtype fp32/,
    /LoRA/,
  ], full);
}

const nBits = (graph: Graph) => graph.nodes.find(({ operator }) => operator === "MatMulNBits")!;
const named = [/MatMulNBits node "\/model\/layers\.0\/self_attn\/q_proj\/MatMul_Q4"/, /--dtype/];
for (const bits of [1, 2, 3, 5]) {
  refused(
    `${bits}-bit products are refused`,
    "model_q4",
    (graph) => nBits(graph).attributes.set("bits", attribute.int(bits)),
    [...named, new RegExp(`a ${bits}-bit product`)],
  );
}
refused(
  "a product whose groups are reordered is refused",
  "model_q4",
  (graph) => nBits(graph).inputs.push("", "g_idx"),
  [...named, /g_idx/],
);
refused(
  "an 8-bit product whose zero points are floats is refused",
  "model_q4",
  (graph) => {
    const node = nBits(graph), zero = { ...graph.initializers.get(node.inputs[2]!)!, name: "zero" };
    graph.initializers.set("zero", zero);
    node.inputs[3] = "zero";
    node.attributes.set("bits", attribute.int(8));
  },
  [...named, /float zero points/],
);
refused(
  "4-bit weights that ordinary operators dequantise block by block are refused, with what to leave out",
  "model_q4",
  (graph) => {
    const node = nBits(graph);
    Object.assign(node, { operator: "DequantizeLinear", domain: "", inputs: node.inputs.slice(1, 3) });
  },
  [/: DequantizeLinear node "/, /a weight in blocks/, /without use_qdq/, /--dtype/],
);
for (const operator of ["MatMulBnb4", "MatMulFpQ4"]) {
  refused(
    `${operator} is refused`,
    "model_q4",
    (graph) => nBits(graph).operator = operator,
    [new RegExp(`com\\.microsoft\\.${operator} node "`), /does not read/, /--dtype/],
  );
}
for (const operator of ["QLinearMatMul", "QuantizeLinear"]) {
  refused(
    `${operator} is refused`,
    "model_q4",
    (graph) => Object.assign(nBits(graph), { operator, domain: "" }),
    [new RegExp(`: ${operator} node "`), /does not read/, /--dtype/],
  );
}

sharedTest("fixtures/llama-optimum", "a quantisation that is not read is refused for scoring too", async (folder) => {
  await inCopy(withFile(await readFixture(folder), "model_q4"), async (fixture, temporary) => {
    const graph = readModel(fixture.model), path = `${temporary}/changed.onnx`;
    nBits(graph).operator = "MatMulBnb4";
    await Deno.writeFile(path, writeModel(graph) as Uint8Array<ArrayBuffer>);
    await assertRejects(() => compileScoring(path, fixture.config, undefined), InputError);
  });
});

// ---- biases of 4-bit products ------------------------------------------------------------------------------------

for (
  const [what, dims, fuses] of [["its bias", [16], true], ["another row for every input", [3, 16], false]] as const
) {
  Deno.test(`a 4-bit product ${fuses ? "takes in" : "is left beside"} ${what}, and the result stays`, async () => {
    const graph: Graph = {
      irVersion: 10,
      opsets: new Map([["", 21], [microsoft, 1]]),
      inputs: [{ name: "x", dataType: "float32", shape: [3, 32] }],
      outputs: [],
      nodes: [],
      initializers: new Map(),
    };
    const build = new Builder(graph, "test"), count = dims.reduce<number>((product, size) => product * size, 1);
    const product = matMulNBits(build, "x", { bits: 4, block: 16, inner: 32, outer: 16, zeroPoints: "none" });
    const bias = stored(build, "bias", "float32", [...dims], randomScales(5, count));
    const sum = build.add(bias, product);
    graph.outputs = [{ name: sum }];
    const run = async () => {
      const results = await (await sessionFor(writeModel(graph))).run({ x: floats(randomScales(9, 96), [3, 32]) });
      return results[sum]!.data as Float32Array;
    };
    const before = await run();
    fuseBlockBias(graph);
    assertStrictEquals(graph.nodes.some(({ operator }) => operator === "Add"), !fuses);
    (await run()).forEach((value, i) => assert(Math.abs(value - before[i]!) < 1e-5, `${i}: ${value}, ${before[i]}`));
  });
}
