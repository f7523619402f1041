// The layer finder against `lora_map.json`, which was made by looking for each checkpoint weight's values in the
// exported file: names and places must agree although the finder sees no values.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type AttentionSizes, linearLayers } from "../../shared/compiler/linear_layers.ts";
import { attribute, Builder } from "../../shared/onnx/builder.ts";
import type { Graph } from "../../shared/onnx/graph.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { sharedTest } from "../feedback/shared_files.ts";

type LoraMap = Record<string, {
  weight_shape_in_out: [number, number];
  onnx: {
    initializer: string;
    initializer_shape: [number, number];
    out_offset: number;
    out_size: number;
    consumers: { node: string }[];
  }[];
}>;

for (
  const fixture of [
    "llama-genai",
    "llama-untied-genai",
    "llama-optimum",
    "llama-dynamo",
    "llama-genai-mha",
    "qwen2-genai",
    "qwen2-optimum",
    "gemma3-genai",
    "gpt2-optimum",
  ]
) {
  sharedTest(
    `fixtures/${fixture}`,
    `${fixture}: linear layers have the checkpoint's names and are where its values are`,
    (folder) => {
      const json = (name: string): unknown => JSON.parse(readFileSync(`${folder}/${name}`, "utf8"));
      const map = json("lora_map.json") as LoraMap;
      const found = linearLayers(readModel(`${folder}/onnx/model.onnx`), json("config.json") as AttentionSizes);
      const actual = found.map(({ module, node, inSize, outSize, outOffset, width }) => ({
        module,
        node: node.name,
        initializer: node.inputs[1],
        sizes: [inSize, outSize],
        outOffset,
        width,
      }));
      const expected = Object.entries(map).map(([module, { weight_shape_in_out, onnx: [place] }]) => ({
        module,
        node: place!.consumers[0]!.node,
        initializer: place!.initializer,
        sizes: weight_shape_in_out,
        outOffset: place!.out_offset,
        width: place!.initializer_shape[1],
      }));
      const byModule = (a: { module: string }, b: { module: string }) => a.module < b.module ? -1 : 1;
      assert.deepEqual(actual.toSorted(byModule), expected.toSorted(byModule));
      for (const [module, { onnx: [place] }] of Object.entries(map)) {
        assert.equal(found.find((layer) => layer.module === module)!.outSize, place!.out_size);
      }
    },
  );
}

Deno.test("weights that an exporter left as torch keeps them, [out, in], are found with their own sizes", () => {
  const graph: Graph = {
    irVersion: 10,
    opsets: new Map([["", 21]]),
    inputs: [{ name: "x", dataType: "float32", shape: ["rows", 3] }],
    outputs: [],
    nodes: [],
    initializers: new Map(["q", "k"].map((name) => [name, {
      name,
      dataType: "float32",
      dims: [5, 3],
      data: { kind: "inline", bytes: new Uint8Array(60) },
    }])),
  };
  const build = new Builder(graph, "test");
  const module = "/model/layers.0/self_attn";
  build.operator("MatMul", ["x", build.transpose("q", [1, 0])], {}, { name: `${module}/q_proj/MatMul` });
  build.operator("Gemm", ["x", "k"], { transB: attribute.int(1) }, { name: `${module}/k_proj/Gemm` });
  assert.deepEqual(
    linearLayers(graph, {}).map(({ module, inSize, outSize, width }) => [module, inSize, outSize, width]),
    [["model.layers.0.self_attn.q_proj", 3, 5, 5], ["model.layers.0.self_attn.k_proj", 3, 5, 5]],
  );
});
