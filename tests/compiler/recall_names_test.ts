// Nodes that a quantising script wrote without metadata get back what the float32 file beside says.

import { assert, assertEquals } from "@std/assert";
import { recallNames } from "../../shared/compiler/recall_names.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { sharedTest } from "../feedback/shared_files.ts";

const scopes = "pkg.torch.onnx.name_scopes";

for (const [file, operator] of [["fp16", "MatMul"], ["q4", "MatMulNBits"], ["quantized", "MatMulInteger"]] as const) {
  sharedTest("fixtures/llama-dynamo", `the products of llama-dynamo/model_${file} get their module paths`, (folder) => {
    const path = `${folder}/onnx/model_${file}.onnx`, graph = readModel(path);
    const products = () => graph.nodes.filter((node) => node.operator === operator);
    const known = () => products().map(({ metadata }) => metadata.get(scopes)).filter((path) => path !== undefined);
    assertEquals(known().length, 0);
    recallNames(graph, path);
    assertEquals(known().length, products().length);
    assert(known().some((path) => path.includes("'model.layers.1.mlp.down_proj'")));
  });
}

sharedTest("fixtures/llama-dynamo", "a file alone, or beside a broken one, stays as it is", async (folder) => {
  const temporary = await Deno.makeTempDir({ prefix: "prospect-test-" });
  try {
    const path = `${temporary}/model_q4.onnx`;
    await Deno.copyFile(`${folder}/onnx/model_q4.onnx`, path);
    const before = readModel(path);
    for (const broken of [false, true]) {
      if (broken) await Deno.writeTextFile(`${temporary}/model.onnx`, "not a model");
      const graph = readModel(path);
      recallNames(graph, path);
      assertEquals(graph.nodes, before.nodes);
    }
  } finally {
    await Deno.remove(temporary, { recursive: true });
  }
});
