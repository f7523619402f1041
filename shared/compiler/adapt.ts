// Adds LoRA (arXiv 2106.09685) to a graph: y = xW + ((xA)B)·scaling, with A and B as graph inputs, so that one graph
// serves every adapter and a rank of 0 gives exactly the base model. It does not know training, files or PEFT's layout
// on disk, which is transposed: A here is [in, rank], B is [rank, out].

import { InputError } from "../errors.ts";
import { Builder } from "../onnx/builder.ts";
import { type Graph, redirect, sortTopologically } from "../onnx/graph.ts";
import type { LinearLayer } from "./linear_layers.ts";

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
    throw new InputError(
      `${path}: no linear layer was found under a name that Prospect knows; LoRA has nothing to adapt.`,
    );
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

/**
 * Injects LoRA at the given layers. Inputs are named as PEFT names the tensors and may have any rank, 0 included.
 *
 * @param scaling per module, e.g. alpha/rank; 1 where the caller folds it into B
 */
export function injectLora(graph: Graph, layers: LinearLayer[], scaling: (module: string) => number): void {
  const build = new Builder(graph, "lora");
  const products = new Map<string, LinearLayer[]>();
  for (const layer of layers) {
    const output = layer.node.outputs[0]!;
    products.set(output, [...products.get(output) ?? [], layer]);
  }
  for (const [output, parts] of products) {
    const { node, width } = parts[0]!;
    const pieces: string[] = [];
    let column = 0;
    const leave = (count: number, x: string) => {
      // Columns of a packed product without an adapter get a delta of zero: a product with rank 0.
      if (count === 0) return;
      const name = build.fresh("none");
      const empty = (dims: number[]) => {
        const tensor = { name: build.fresh("empty"), dataType: "float32" as const, dims };
        graph.initializers.set(tensor.name, { ...tensor, data: { kind: "inline", bytes: new Uint8Array(0) } });
        return tensor.name;
      };
      const inside = build.matMul(x, empty([parts[0]!.inSize, 0]));
      pieces.push(build.operator("MatMul", [inside, empty([0, count])], {}, { name }));
    };
    for (const layer of parts) {
      const { a, b } = loraNames(layer.module);
      const x = node.inputs[0]!;
      leave(layer.outOffset - column, x);
      const rank = `rank of ${layer.module}`;
      graph.inputs.push(
        { name: a, dataType: "float32", shape: [layer.inSize, rank] },
        { name: b, dataType: "float32", shape: [rank, layer.outSize] },
      );
      const scale = scaling(layer.module);
      const inside = build.matMul(x, a);
      pieces.push(build.matMul(scale === 1 ? inside : build.multiply(inside, build.float(scale)), b));
      column = layer.outOffset + layer.outSize;
    }
    leave(width - column, node.inputs[0]!);
    const delta = pieces.length === 1 ? pieces[0]! : build.concat(pieces, -1);
    const sum = build.fresh("adapted");
    redirect(graph, output, sum);
    build.operator("Add", [output, delta], {}, { output: sum });
  }
  sortTopologically(graph);
}
