// Finds the checkpoint's linear layers, under their PEFT names, in an exported graph: also where an exporter packed q,
// k and v into one product. It reads node names and shapes only; it does not change the graph.

import type { Graph, Node } from "../onnx/graph.ts";

export interface LinearLayer {
  /** PEFT's module name, e.g. `model.layers.0.self_attn.q_proj`. */
  module: string;
  /** The product that computes it (perhaps together with others). */
  node: Node;
  inSize: number;
  outSize: number;
  /** First column of the product that belongs to this layer. */
  outOffset: number;
  /** Columns of the whole product. */
  width: number;
}

/** What the finder needs of config.json. */
export interface AttentionSizes {
  num_attention_heads?: number | null | undefined;
  num_key_value_heads?: number | null | undefined;
  head_dim?: number | null | undefined;
  hidden_size?: number | null | undefined;
}

/** Module path of a node: exporters name nodes after it, `/model/layers.0/self_attn/q_proj/MatMul`. */
function modulePath(node: Node): string | undefined {
  const parts = node.name.split("/").filter((part) => part !== "");
  if (parts.length < 2) return undefined;
  // The GenAI builder says `attn` where the checkpoints that it reads say `self_attn`.
  return parts.slice(0, -1).join(".").replace(/\.layers\.(\d+)\.attn\./, ".layers.$1.self_attn.");
}

/** Layers that one product holds: a packed `qkv_proj` is three. */
function split(module: string, width: number, config: AttentionSizes): { module: string; outSize: number }[] {
  if (!module.endsWith(".qkv_proj")) return [{ module, outSize: width }];
  const heads = config.num_attention_heads ?? 0, kvHeads = config.num_key_value_heads ?? heads;
  const size = config.head_dim ?? (config.hidden_size ?? 0) / heads;
  const parent = module.slice(0, -"qkv_proj".length);
  const parts = [["q_proj", heads], ["k_proj", kvHeads], ["v_proj", kvHeads]] as const;
  const layers = parts.map(([name, count]) => ({ module: parent + name, outSize: count * size }));
  return layers.reduce((sum, layer) => sum + layer.outSize, 0) === width ? layers : [{ module, outSize: width }];
}

/** Every linear layer of the decoder blocks, in graph order. The output head is left out, as PEFT's `all-linear` does. */
export function linearLayers(graph: Graph, config: AttentionSizes): LinearLayer[] {
  const layers: LinearLayer[] = [];
  for (const node of graph.nodes) {
    if (node.operator !== "MatMul" && node.operator !== "Gemm") continue;
    const weight = graph.initializers.get(node.inputs[1] ?? "");
    const path = modulePath(node);
    if (!weight || weight.dims.length !== 2 || !path || !/\.\d+\./.test(path)) continue;
    const [inSize, width] = weight.dims as [number, number];
    let outOffset = 0;
    for (const { module, outSize } of split(path, width, config)) {
      layers.push({ module, node, inSize, outSize, outOffset, width });
      outOffset += outSize;
    }
  }
  return layers;
}
