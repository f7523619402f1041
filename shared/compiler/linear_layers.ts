// Finds the checkpoint's linear layers, under their PEFT names, in an exported graph: also where an exporter packed q,
// k and v into one product, or split one layer into several. It reads names and shapes only; it does not change the
// graph.

import { type Graph, intAttribute, type Node, producers } from "../onnx/graph.ts";
import { quantizedOperand } from "./gradients/quantized.ts";
import { storedOperand } from "./stored_matrix.ts";

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
  /** Where an exporter split the layer: the products that compute its columns behind those of `node`, in order. */
  continued?: Product[];
}

/** A product of the graph with its number of columns. */
export interface Product {
  node: Node;
  width: number;
}

/** What the finder needs of config.json. */
export interface AttentionSizes {
  /** Says which checkpoint the graph was made of, and so which tensors PEFT adapts as one. */
  model_type?: string | undefined;
  num_attention_heads?: number | null | undefined;
  num_key_value_heads?: number | null | undefined;
  head_dim?: number | null | undefined;
  hidden_size?: number | null | undefined;
  sliding_window?: number | null | undefined;
  use_sliding_window?: boolean | null | undefined;
}

/** Layers that some checkpoints keep in one tensor: PEFT then has one adapter for all of it. */
const queryKeyValue = { module: "qkv_proj", parts: ["q_proj", "k_proj", "v_proj"] };
const gateUp = { module: "gate_up_proj", parts: ["gate_proj", "up_proj"] };

/** Which tensors of a checkpoint are such, by config.json's model_type. This is about names alone. */
const packedInCheckpoint: Record<string, { module: string; parts: string[] }[]> = {
  phi3: [queryKeyValue, gateUp],
  glm: [gateUp],
  glm4: [gateUp],
};

/** Modules that the GenAI builder calls as most checkpoints do, by the model_type of those that do not. */
const otherNames: Record<string, Record<string, string>> = { phi: { o_proj: "dense" } };

/** The sentence about a graph without layers. @param what what that means for the caller */
export const noLayer = (path: string, what: string): string =>
  `${path}: no linear layer was found under a name that Prospect knows; ${what}. (Of torch's dynamo exporter, a ` +
  `quantised file needs the float32 file beside it, which has the names.)`;

/** Where torch's dynamo exporter keeps the modules around a node. */
const scopesKey = "pkg.torch.onnx.name_scopes";

/** The strings of a Python list, as that exporter writes them. */
const listed = (text: string | undefined) => [...(text ?? "").matchAll(/'([^']*)'/g)].map(([, entry]) => entry!);

/**
 * Module path by the scopes of a node and their classes. A class of the exporter's own around the model, which handed the
 * cache in and out, is no part of it: names begin inside the first class of transformers.
 */
function scopedPath(scopes: string[], classes: string[]): string | undefined {
  const path = scopes.at(-2), around = scopes[classes.findIndex((name) => name.startsWith("transformers"))];
  return around && path?.startsWith(`${around}.`) ? path.slice(around.length + 1) : path;
}

/**
 * Module path of a node. Most exporters name nodes after it, `/model/layers.0/self_attn/q_proj/MatMul`; torch's dynamo
 * exporter keeps the scopes of a node in its metadata, as a Python list whose last entry is the operation.
 */
function modulePath(node: Node, config: AttentionSizes): string | undefined {
  const scopes = node.metadata.get(scopesKey);
  if (scopes !== undefined) {
    return scopedPath(listed(scopes), listed(node.metadata.get("pkg.torch.onnx.class_hierarchy")));
  }
  const parts = node.name.replace(/^fused /, "").split("/").filter((part) => part !== "").slice(0, -1);
  if (parts.length === 0) return undefined;
  // The GenAI builder says `attn` where the checkpoints that it reads say `self_attn`.
  return parts.join(".").replace(/(\.layers\.\d+)\.attn\.(.+)$/, (_, layer: string, name: string) => {
    return `${layer}.self_attn.${otherNames[config.model_type ?? ""]?.[name] ?? name}`;
  });
}

const inBlock = /\.\d+\./;

/** Module path by the weight, where that kept the checkpoint's name: optimizers give nodes names of their own. */
function weightPath(node: Node, writer: Map<string, Node>): string | undefined {
  let weight = node.inputs[1] ?? "";
  for (let read = writer.get(weight); read; read = writer.get(weight)) weight = read.inputs[0] ?? "";
  return weight.match(/^(.*)\.weight(?:_Q\d|_quantized)?$/)?.[1];
}

/**
 * What a path lacks in front: TorchScript leaves out a module that was not called itself but only one inside it, as OPT's
 * `model`. The weights that kept their names have it.
 */
function missingPrefix(path: string, initializers: Iterable<string>): string {
  const block = path.match(/^.*?\.\d+\./)?.[0];
  if (block === undefined) return "";
  let prefix = "";
  for (const name of initializers) {
    if (name.startsWith(block)) return "";
    const at = name.indexOf(`.${block}`);
    if (at >= 0) prefix = name.slice(0, at + 1);
  }
  return prefix;
}

/** Sizes `[in, out]` of the weight that a node multiplies its first input by, or undefined where it is no such node. */
export function weightSizes(
  node: Node,
  graph: Graph,
  writer: Map<string, Node>,
): [number, number] | undefined {
  const plain = node.operator === "MatMul" || node.operator === "Gemm";
  if (plain && intAttribute(node, "transA", 0) === 1) return undefined;
  // Through a Transpose too: exports without constant folding keep torch's [out, in] and turn it on the way.
  const operand = plain ? storedOperand(graph, node.inputs[1] ?? "", writer) : quantizedOperand(graph, node, writer);
  if (!operand) return undefined;
  const { matrix: { rows, columns }, transposed } = operand;
  const turned = transposed !== (plain && intAttribute(node, "transB", 0) === 1);
  return turned ? [columns, rows] : [rows, columns];
}

/** Layers that one product holds: a packed `qkv_proj` is three, unless the checkpoint has it packed itself. */
function split(module: string, width: number, config: AttentionSizes): { module: string; outSize: number }[] {
  const whole = [{ module, outSize: width }];
  if (!module.endsWith(".qkv_proj") || packedInCheckpoint[config.model_type ?? ""]?.includes(queryKeyValue)) {
    return whole;
  }
  const heads = config.num_attention_heads ?? 0, kvHeads = config.num_key_value_heads ?? heads;
  const size = config.head_dim ?? (config.hidden_size ?? 0) / heads;
  const parent = module.slice(0, -"qkv_proj".length);
  const parts = [["q_proj", heads], ["k_proj", kvHeads], ["v_proj", kvHeads]] as const;
  const layers = parts.map(([name, count]) => ({ module: parent + name, outSize: count * size }));
  return layers.reduce((sum, layer) => sum + layer.outSize, 0) === width ? layers : whole;
}

/** Puts together again what the checkpoint has in one tensor and an exporter split into products of the same input. */
function join(layers: LinearLayer[], config: AttentionSizes): LinearLayer[] {
  const byModule = new Map(layers.map((layer) => [layer.module, layer]));
  for (const { module, parts } of packedInCheckpoint[config.model_type ?? ""] ?? []) {
    for (const first of layers.filter((layer) => layer.module.endsWith(`.${parts[0]}`))) {
      const parent = first.module.slice(0, -parts[0]!.length);
      const found = parts.map((part) => byModule.get(parent + part));
      if (!found.every((layer) => layer && layer.node.inputs[0] === first.node.inputs[0])) continue;
      const pieces = found as LinearLayer[];
      for (const piece of pieces) byModule.delete(piece.module);
      byModule.set(parent + module, {
        ...first,
        module: parent + module,
        outSize: pieces.reduce((sum, piece) => sum + piece.outSize, 0),
        continued: pieces.slice(1).map(({ node, width }) => ({ node, width })),
      });
    }
  }
  return [...byModule.values()];
}

/** Every linear layer of the decoder blocks. The output head is left out, as PEFT's `all-linear` does. */
export function linearLayers(graph: Graph, config: AttentionSizes): LinearLayer[] {
  const layers: LinearLayer[] = [];
  const writer = producers(graph);
  for (const node of graph.nodes) {
    const sizes = weightSizes(node, graph, writer);
    if (!sizes) continue;
    const path = [modulePath(node, config), weightPath(node, writer)].find((each) => inBlock.test(each ?? ""));
    if (path === undefined) continue;
    const [inSize, width] = sizes;
    // Scopes leave nothing out.
    const name = node.metadata.has(scopesKey) ? path : missingPrefix(path, graph.initializers.keys()) + path;
    let outOffset = 0;
    for (const { module, outSize } of split(name, width, config)) {
      layers.push({ module, node, inSize, outSize, outOffset, width });
      outOffset += outSize;
    }
  }
  return join(layers, config);
}
