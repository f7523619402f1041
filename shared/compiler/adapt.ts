// Adds LoRA (arXiv 2106.09685) to a graph: y = xW + ((xA)B)·scaling, with A and B as graph inputs, so that one graph
// serves every adapter and a rank of 0 gives exactly the base model. It does not know training, files or PEFT's layout
// on disk, which is transposed: A here is [in, rank], B is [rank, out].

import { InputError } from "../errors.ts";
import { attribute, Builder } from "../onnx/builder.ts";
import { type Graph, type Node, redirect, sortTopologically } from "../onnx/graph.ts";
import { type LinearLayer, noLayer } from "./linear_layers.ts";

/** Names of a module's LoRA inputs: PEFT's own names of the two tensors. */
export function loraNames(module: string): { a: string; b: string } {
  return { a: `base_model.model.${module}.lora_A.weight`, b: `base_model.model.${module}.lora_B.weight` };
}

/**
 * The layers whose name, or its last part, is asked for.
 *
 * @param targets PEFT's `target_modules`: `q_proj`, `self_attn.q_proj`, a full name, or `all-linear`
 * @param asker what named the targets, for messages: a flag or an adapter folder
 * @throws InputError for a target that the model does not have.
 */
export function selectTargets(layers: LinearLayer[], targets: string[], path: string, asker: string): LinearLayer[] {
  if (layers.length === 0) {
    throw new InputError(noLayer(path, "LoRA has nothing to adapt"));
  }
  if (targets.includes("all-linear")) return layers;
  const matches = (layer: LinearLayer, target: string) =>
    layer.module === target || layer.module.endsWith(`.${target}`);
  for (const target of targets) {
    if (layers.some((layer) => matches(layer, target))) continue;
    const names = [...new Set(layers.map((layer) => layer.module.split(".").at(-1)!))].join(", ");
    throw new InputError(`${asker}: ${path} has no linear layer "${target}"; it has ${names}.`);
  }
  return layers.filter((layer) => targets.some((target) => matches(layer, target)));
}

/** The columns of one product that a pair of LoRA matrices adds to. */
interface Piece {
  node: Node;
  inSize: number;
  /** Columns of the whole product, and which of them these are. */
  width: number;
  offset: number;
  size: number;
  a: string;
  b: string;
  scaling: number;
}

/** A layer's pieces: one, or one for each product that an exporter split it into, with the columns of B that are its. */
function piecesOf(layer: LinearLayer, scaling: number, build: Builder): Piece[] {
  const { node, inSize, outSize, width, outOffset, continued = [] } = layer;
  const { a, b } = loraNames(layer.module);
  const piece = { node, inSize, width, offset: outOffset, size: outSize, a, b, scaling };
  if (continued.length === 0) return [piece];
  const products = [{ node, width }, ...continued];
  const columns = build.operators("Split", [b, build.ints(products.map((product) => product.width))], products.length, {
    axis: attribute.int(1),
  });
  return products.map((product, i) => ({ ...piece, ...product, offset: 0, size: product.width, b: columns[i]! }));
}

/**
 * Injects LoRA at the given layers. Inputs are named as PEFT names the tensors and may have any rank, 0 included.
 *
 * @param scaling per module, e.g. alpha/rank; 1 where the caller folds it into B
 */
export function injectLora(graph: Graph, layers: LinearLayer[], scaling: (module: string) => number): void {
  const build = new Builder(graph, "lora");
  const products = new Map<string, Piece[]>();
  for (const layer of layers) {
    const { a, b } = loraNames(layer.module), rank = `rank of ${layer.module}`;
    graph.inputs.push(
      { name: a, dataType: "float32", shape: [layer.inSize, rank] },
      { name: b, dataType: "float32", shape: [rank, layer.outSize] },
    );
    for (const piece of piecesOf(layer, scaling(layer.module), build)) {
      const output = piece.node.outputs[0]!;
      products.set(output, [...products.get(output) ?? [], piece]);
    }
  }
  for (const [output, parts] of products) {
    const { node, width, inSize } = parts[0]!, x = node.inputs[0]!;
    const deltas: string[] = [];
    let column = 0;
    const leave = (count: number) => {
      // Columns of a packed product without an adapter get a delta of zero: a product with rank 0.
      if (count === 0) return;
      const name = build.fresh("none");
      const empty = (dims: number[]) => {
        const tensor = { name: build.fresh("empty"), dataType: "float32" as const, dims };
        graph.initializers.set(tensor.name, { ...tensor, data: { kind: "inline", bytes: new Uint8Array(0) } });
        return tensor.name;
      };
      const inside = build.matMul(x, empty([inSize, 0]));
      deltas.push(build.operator("MatMul", [inside, empty([0, count])], {}, { name }));
    };
    for (const { offset, size, a, b, scaling } of parts) {
      leave(offset - column);
      const inside = build.once(`${x} by ${a}`, () => {
        const product = build.matMul(x, a);
        return scaling === 1 ? product : build.multiply(product, build.float(scaling));
      });
      deltas.push(build.matMul(inside, b));
      column = offset + size;
    }
    leave(width - column);
    const delta = deltas.length === 1 ? deltas[0]! : build.concat(deltas, -1);
    const sum = build.fresh("adapted");
    redirect(graph, output, sum);
    build.operator("Add", [output, delta], {}, { output: sum });
  }
  sortTopologically(graph);
}
