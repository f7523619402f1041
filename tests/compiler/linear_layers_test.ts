// The layer finder against `lora_map.json`, which was made by looking for each checkpoint weight's values in the
// exported file: names and places must agree although the finder sees no values.

import { assertEquals, assertStrictEquals } from "@std/assert";
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
      assertEquals(actual.toSorted(byModule), expected.toSorted(byModule));
      for (const [module, { onnx: [place] }] of Object.entries(map)) {
        assertStrictEquals(found.find((layer) => layer.module === module)!.outSize, place!.out_size);
      }
    },
  );
}

/** A graph of products of `x`, each with its own weight. */
function products(write: (build: Builder) => void, weights: Record<string, number[]>): Graph {
  const graph: Graph = {
    irVersion: 10,
    opsets: new Map([["", 21]]),
    inputs: [{ name: "x", dataType: "float32", shape: ["rows", 3] }],
    outputs: [],
    nodes: [],
    initializers: new Map(
      Object.entries(weights).map(([name, dims]) => [name, {
        name,
        dataType: "float32",
        dims,
        data: { kind: "inline", bytes: new Uint8Array() },
      }]),
    ),
  };
  write(new Builder(graph, "test"));
  return graph;
}

const found = (graph: Graph, config: AttentionSizes = {}) =>
  linearLayers(graph, config).map(({ module, inSize, outSize }) => `${module} ${inSize}→${outSize}`);

Deno.test("weights that an exporter left as torch keeps them, [out, in], are found with their own sizes", () => {
  const graph = products((build) => {
    const module = "/model/layers.0/self_attn";
    build.operator("MatMul", ["x", build.transpose("q", [1, 0])], {}, { name: `${module}/q_proj/MatMul` });
    build.operator("Gemm", ["x", "k"], { transB: attribute.int(1) }, { name: `${module}/k_proj/Gemm` });
  }, { q: [5, 3], k: [4, 3] });
  assertEquals(found(graph), ["model.layers.0.self_attn.q_proj 3→5", "model.layers.0.self_attn.k_proj 3→4"]);
});

Deno.test("a module that TorchScript left out of the nodes' names is read off the weights' names", () => {
  const graph = products((build) => {
    build.operator("MatMul", ["x", "onnx::MatMul_1"], {}, { name: "/decoder/layers.0/fc1/MatMul" });
  }, { "onnx::MatMul_1": [3, 5], "model.decoder.layers.0.fc1.bias": [5] });
  assertEquals(found(graph), ["model.decoder.layers.0.fc1 3→5"]);
});

Deno.test("a layer that the GenAI builder calls by another name has its checkpoint's", () => {
  const graph = products((build) => {
    build.operator("MatMul", ["x", "o"], {}, { name: "/model/layers.0/attn/o_proj/MatMul" });
  }, { o: [3, 3] });
  assertEquals(found(graph), ["model.layers.0.self_attn.o_proj 3→3"]);
  assertEquals(found(graph, { model_type: "phi" }), ["model.layers.0.self_attn.dense 3→3"]);
});

Deno.test("a class of an exporter's own around the model is no part of a layer's name", () => {
  const graph = products((build) => {
    build.operator("MatMul", ["x", "val_1"], {}, { name: "node_linear_1" });
    build.graph.nodes[0]!.metadata = new Map([
      ["pkg.torch.onnx.name_scopes", "['', 'm', 'm.model', 'm.model.layers.0', 'm.model.layers.0.fc1', 'linear_1']"],
      [
        "pkg.torch.onnx.class_hierarchy",
        "['__main__.W', 'transformers.a.ForCausalLM', 'transformers.a.Model', 'transformers.a.Layer', 'torch.nn.Linear', 'x']",
      ],
    ]);
  }, { val_1: [3, 5], "m.model.layers.0.norm.weight": [3] });
  assertEquals(found(graph), ["model.layers.0.fc1 3→5"]);
});

Deno.test("a layer whose node an optimizer renamed is found by its weight, or behind what it put in front", () => {
  const graph = products((build) => {
    const turned = build.transpose("transformer.h.0.attn.c_attn.weight", [1, 0]);
    build.operator("MatMul", ["x", turned], {}, { name: "FullyConnect_MatMul_0" });
    build.operator("Gemm", ["x", "w"], {}, { name: "fused /model/layers.1/fc2/Gemm" });
    build.operator("MatMul", ["x", "onnx::MatMul_9"], {}, { name: "MatMul_9" });
  }, { "transformer.h.0.attn.c_attn.weight": [9, 3], w: [3, 4], "onnx::MatMul_9": [3, 3] });
  assertEquals(found(graph), ["transformer.h.0.attn.c_attn 3→9", "model.layers.1.fc2 3→4"]);
});
