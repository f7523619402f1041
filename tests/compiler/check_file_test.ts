// ONNX Runtime's own verdict on a file, whatever the compiler would drop of it. Each file is a committed export with one
// thing changed.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { InferenceSession } from "onnxruntime-node";
import { checkFile } from "../../shared/compiler/check_file.ts";
import { compileScoring } from "../../shared/compiler/compile.ts";
import { InputError } from "../../shared/errors.ts";
import { attribute } from "../../shared/onnx/builder.ts";
import { type Graph, microsoft, type Node } from "../../shared/onnx/graph.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { skeletonOf } from "../../shared/onnx/skeleton.ts";
import { writeModel } from "../../shared/onnx/write_model.ts";
import { sessionOptions } from "../../shared/runtime/session.ts";

const exports = fileURLToPath(new URL("../exports", import.meta.url));
const llama = `${exports}/llama32-genai/onnx/model_q4.onnx`;
const config = JSON.parse(Deno.readTextFileSync(`${exports}/llama32-genai/config.json`));

/** Runs with the path of a changed copy of the export. */
async function withChanged(change: (graph: Graph) => void, run: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "prospect-test-" }), path = join(folder, "model_q4.onnx");
  try {
    const graph = readModel(llama, { inlineLimit: Infinity });
    change(graph);
    await Deno.writeFile(path, writeModel(graph));
    await run(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const inMask = ({ name }: Node) => name.includes("attn_mask_subgraph/ReduceSum");

for (
  const [what, change, expected] of [
    [
      "an attribute that the operator does not have",
      (graph) => graph.nodes.find(inMask)!.attributes.set("keepdimz", attribute.int(1)),
      /node "\S*ReduceSum" \(ReduceSum\): Unrecognized attribute: keepdimz/,
    ],
    [
      "an input that nobody writes",
      (graph) => graph.nodes.find(inMask)!.inputs[0] = "nowhere",
      /Node input 'nowhere' is not a graph input/,
    ],
    [
      "an output that nobody writes",
      (graph) => graph.outputs.push({ name: "present.9.key", dataType: "float32", shape: ["n"] }),
      /Graph output \(present\.9\.key\) does not exist/,
    ],
  ] as [string, (graph: Graph) => void, RegExp][]
) {
  Deno.test(`${what}, in a part that the compiler drops, is an InputError in ONNX Runtime's words`, async () => {
    await withChanged(change, async (path) => {
      for (const open of [() => checkFile(path), () => compileScoring(path, config, undefined)]) {
        const error = await assertRejects(() => open(), Error);
        assert(error instanceof InputError && error.constructor === InputError, `${error}`);
        assert(error.message.startsWith(`${path}: `) && !error.message.includes("\n"), error.message);
        assertMatch(error.message, expected);
      }
    });
  });
}

Deno.test("a file that was mended is judged anew", async () => {
  await withChanged((graph) => graph.nodes.find(inMask)!.inputs[0] = "nowhere", async (path) => {
    await assertRejects(() => checkFile(path), InputError);
    await Deno.copyFile(llama, path);
    await checkFile(path);
    await Deno.writeFile(path, new Uint8Array(10));
    await assertRejects(() => checkFile(path), InputError);
  });
});

Deno.test("an operator that only other devices have a kernel for is no fault of the file", async () => {
  const change = (graph: Graph) =>
    graph.nodes.push({
      operator: "BiasAdd",
      domain: microsoft,
      name: "elsewhere",
      inputs: ["/model/embed_tokens/GatherBlockQuantized/output_0", "model.layers.0.input_layernorm.weight", "x"],
      outputs: ["added"],
      attributes: new Map(),
      metadata: new Map(),
    }, {
      operator: "Identity",
      domain: "",
      name: "same",
      inputs: ["/model/embed_tokens/GatherBlockQuantized/output_0"],
      outputs: ["x"],
      attributes: new Map(),
      metadata: new Map(),
    });
  await withChanged(change, async (path) => {
    await assertRejects(
      () => InferenceSession.create(path, { ...sessionOptions(dirname(path)) }),
      Error,
      "implementation",
    );
    await checkFile(path);
  });
});

for (const file of ["llama32-genai/onnx/model_q4.onnx", "phi3-genai/onnx/model.onnx"]) {
  Deno.test(`${file} without its weights is small, and ONNX Runtime finds the same inputs and outputs in it`, async () => {
    const path = join(exports, file), skeleton = skeletonOf(path, readModel(path));
    const weights = [...readModel(path).initializers.values()].reduce(
      (sum, { data }) => sum + (data.kind === "external" ? data.length : 0),
      0,
    );
    assert(skeleton.length < Deno.statSync(path).size - weights + 150 * 40, basename(path));
    const options = sessionOptions(dirname(path));
    const [bare, whole] = [
      await InferenceSession.create(skeleton, options),
      await InferenceSession.create(path, options),
    ];
    assertEquals(bare.inputMetadata, whole.inputMetadata);
    assertEquals(bare.outputMetadata, whole.outputMetadata);
    await Promise.all([bare.release(), whole.release()]);
  });
}
